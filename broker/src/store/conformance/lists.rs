//! Lists of jobs: whatever finds the rows of a page, it holds the jobs that were asked for, newest first, and nothing else.

use super::*;
use crate::core::change::SellerRow;

const SELLERS: [&str; 2] = [SELLER, "91110000MA0000001L"];
const DISKS: [&str; 2] = ["661234567890", "661234567891"];
const JOBS: u64 = 40;

/// A job that differs from its neighbours in every way that can be asked for.
fn job(number: u64) -> (Arc<Job>, Vec<Change>) {
    let pick = |texts: [&'static str; 2], every: u64| texts[usize::try_from(number / every % 2).unwrap()];
    // The clock went back once: places rise with it no more.
    let at = Timestamp(1_700_000_000_000 + i64::try_from(if number == 7 { 900 } else { number * 10 }).unwrap());
    let prefix = pick(["A", "AB"], 3);
    let event = Event {
        revision: 0,
        at,
        origin: None,
        what: What::Accepted {
            key: JobKey { seller: pick(SELLERS, 1).parse().unwrap(), serial: format!("{prefix}{number}").parse().unwrap() },
            operation: Operation::Issue,
            kind: if number.is_multiple_of(5) { InvoiceKind::ElectronicOrdinary } else { InvoiceKind::Roll },
            issue_point: None,
            priority: Priority::Bulk,
            original: None,
            about: None,
            invoice: Some(Default::default()),
            hash: format!("hash of {number}"),
            fields: Default::default(),
            mark: None,
            place: number,
            trace: None,
        },
    };
    let accepted = Arc::new(Job::accept(&event).unwrap());
    let mut changes = vec![Change::Job { job: accepted.clone(), event }];
    let disk = pick(DISKS, 4).parse().unwrap();
    let (attempt, epoch) = (1, 1);
    let handed = |job: &Arc<Job>| next(job, What::Assigned { attempt, disk, agent: agent(), epoch, sequence: number });
    let last = match number % 4 {
        0 => accepted,
        1 => {
            let (job, change) = next(&accepted, What::Cancelled { by: "k".to_owned(), reason: String::new() });
            changes.push(change);
            job
        }
        2 => {
            let (job, change) = handed(&accepted);
            changes.push(change);
            job
        }
        _ => {
            let (job, change) = handed(&accepted);
            changes.push(change);
            let text = "not begun".to_owned();
            let next_step = Next::Queue { waiting: None };
            let (job, change) = next(&job, What::GivenBack { attempt, epoch, text, next: next_step });
            changes.push(change);
            // A job that has been at two disks is one of both.
            let (attempt, disk) = (2, DISKS[0].parse().unwrap());
            let again = What::Assigned { attempt, disk, agent: agent(), epoch, sequence: JOBS + number };
            let (job, change) = next(&job, again);
            changes.push(change);
            job
        }
    };
    (last, changes)
}

fn belongs(job: &Job, filter: &JobFilter) -> bool {
    (filter.sellers.is_empty() || filter.sellers.contains(&job.key.seller))
        && (filter.states.is_empty() || filter.states.contains(&job.state))
        && filter.serial_prefix.as_ref().is_none_or(|prefix| job.key.serial.as_str().starts_with(prefix))
        && filter.kind.is_none_or(|kind| job.kind == kind)
        && filter.disk.as_ref().is_none_or(|disk| job.attempts.iter().any(|attempt| attempt.disk == *disk))
        && filter.since.is_none_or(|since| job.accepted_at >= since)
        && filter.until.is_none_or(|until| job.accepted_at < until)
}

/// Every combination of filters, some that few jobs pass and some that many do, a page of seven at a time.
pub(crate) async fn a_list_holds_what_was_asked_for_and_nothing_else<B: Bench>(bench: B) {
    let store = bench.open().await;
    let mut jobs = Vec::new();
    for seller in SELLERS {
        let body = serde_json::from_str(r#"{"name":"示例"}"#).unwrap();
        store.commit(&[Change::Seller(SellerRow { seller: seller.parse().unwrap(), body })]).await.unwrap();
    }
    for number in 1..=JOBS {
        let (job, changes) = job(number);
        store.commit(&changes).await.unwrap();
        jobs.push(job);
    }
    jobs.reverse();
    let store = bench.reopen(store).await;
    let sellers: [&[&str]; 3] = [&[], &SELLERS[..1], &SELLERS];
    let states: [&[JobState]; 4] =
        [&[], &[JobState::Assigned], &[JobState::Cancelled], &[JobState::Queued, JobState::Cancelled, JobState::Issued]];
    let moment = |at: i64| Some(Timestamp(1_700_000_000_000 + at));
    let moments = [(None, None), (moment(50), None), (None, moment(45)), (moment(395), moment(1000)), (moment(30), moment(60))];
    for combination in 0..sellers.len() * states.len() * moments.len() * 3 * 3 * 3 {
        let mut rest = combination;
        let mut pick = |of: usize| {
            let place = rest % of;
            rest /= of;
            place
        };
        let (since, until) = moments[pick(moments.len())];
        let filter = JobFilter {
            sellers: sellers[pick(sellers.len())].iter().map(|seller| seller.parse().unwrap()).collect(),
            states: states[pick(states.len())].to_vec(),
            serial_prefix: [None, Some("AB"), Some("A39")][pick(3)].map(str::to_owned),
            kind: [None, Some(InvoiceKind::ElectronicOrdinary), Some(InvoiceKind::PaperSpecial)][pick(3)],
            disk: [None, Some(DISKS[1]), Some("999999999999")][pick(3)].map(|disk| disk.parse().unwrap()),
            since,
            until,
            ..JobFilter::default()
        };
        let wanted: Vec<u64> = jobs.iter().filter(|job| belongs(job, &filter)).map(|job| job.place).collect();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.jobs(&filter, cursor.as_deref(), 7).await.unwrap();
            seen.extend(page.jobs.iter().map(|job| job.place));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, wanted, "{filter:?}");
    }
}
