//! I6: same question, same answer.

use super::*;
use crate::core::accept::Prepared;
use taxdisk_protocol::api::Operation;
use taxdisk_protocol::trace::{HAND_OVER, Traceparent};

fn refused(world: &mut World, submission: JobSubmission) -> Refusal {
    world.input(Input::Submit(Box::new(submission.into()))).unwrap_err()
}

#[test]
fn i6_the_same_content_is_answered_with_the_current_job() {
    let mut world = World::new();
    let first = world.submit("A1");
    assert!(!first.repeated);
    assert_eq!((first.state, first.waiting), (JobState::Queued, Some(Waiting::NoDisk)));
    let session = world.connect('a', DISK);
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, issued(7));
    // Ended: it lives in the store alone, and answers all the same. "200" and "200.00" are one amount.
    let mut again = submission("A1");
    again.invoice.as_mut().unwrap().lines[0].net = "200".to_owned();
    again.invoice.as_mut().unwrap().totals.net = "200".to_owned();
    let Reply::Submitted(Submitted::Repeated(view)) = world.ok(Input::Submit(Box::new(again.into()))) else {
        panic!("not repeated")
    };
    assert!(view.repeated);
    assert_eq!(view.issued.unwrap().number, "00000007");
    assert_eq!(world.job("A1").attempts.len(), 1);
}

#[test]
fn i6_a_trace_is_the_first_submissions_and_no_part_of_the_content() {
    let trace = |digit: &str| format!("00-{}-{}-01", digit.repeat(32), digit.repeat(16)).parse::<Traceparent>().ok();
    let traced = |digit| Box::new(Prepared::from(submission("A1")).traced(trace(digit)));
    let mut world = World::new();
    let Reply::Submitted(Submitted::New(first)) = world.ok(Input::Submit(traced("1"))) else { panic!("not new") };
    assert_eq!(first.trace_id, Some("1".repeat(32)));
    let hash = world.job("A1").version().hash.clone();
    for again in [traced("2"), Box::new(submission("A1").into())] {
        let Reply::Submitted(Submitted::Repeated(view)) = world.ok(Input::Submit(again)) else { panic!("not repeated") };
        assert_eq!(view.trace_id, first.trace_id);
    }
    assert_eq!(world.job("A1").version().hash, hash);
    // Whoever has no trace has the same content.
    let Reply::Submitted(Submitted::New(plain)) = world.ok(Input::Submit(Box::new(submission("A2").into()))) else {
        panic!("not new")
    };
    assert_eq!((plain.trace_id, world.job("A2").version().hash.as_str()), (None, hash.as_str()));
    // The hand-over is a step of it, the same one however often the attempt is told.
    let session = world.connect('a', DISK);
    let work = world.assigned(session).remove(0);
    assert_eq!(work.1.trace, trace("1").map(|trace| trace.step(HAND_OVER, 1)));
    world.leave(session, Left::Lost);
    let again = world.connect('a', DISK);
    let told = world.granted(again).into_iter().flat_map(|(_, open)| open).find(|open| open.assignment.attempt == work.1.attempt);
    assert_eq!(told.unwrap().assignment.trace, work.1.trace);
}

#[test]
fn i6_other_content_is_a_conflict_that_names_the_fields() {
    let mut world = World::new();
    world.submit("A1");
    let mut other = submission("A1");
    other.invoice.as_mut().unwrap().buyer.name = "别人".to_owned();
    let refusal = refused(&mut world, other);
    assert_eq!(refusal.code, "conflict");
    assert_eq!(refusal.differences.iter().map(|d| d.pointer.as_str()).collect::<Vec<_>>(), ["/invoice/buyer/name"]);
    assert_eq!(world.job("A1").revision, 1);
}

#[test]
fn i6_the_key_is_looked_up_before_anything_is_validated() {
    let mut world = World::new();
    world.submit("A1");
    // Wrong sums, and a void without an original: still the conflict, since the serial number is used.
    let mut broken = submission("A1");
    broken.operation = Operation::Void;
    broken.invoice.as_mut().unwrap().totals.gross = "1.00".to_owned();
    assert_eq!(refused(&mut world, broken.clone()).code, "conflict");
    broken.serial = "A2".to_owned();
    assert_eq!(refused(&mut world, broken.clone()).code, "invalid_invoice");
    broken.operation = Operation::Issue;
    let refusal = refused(&mut world, broken);
    assert_eq!(refusal.code, "invalid_invoice");
    assert!(!refusal.breaches.is_empty());
    assert!(!world.jobs.contains_key(&key("A2")), "nothing of a refused submission is stored");
}

#[test]
fn i6_two_callers_in_one_commit_make_one_job() {
    let mut world = World::new();
    let replies = world.batch((0..3).map(|_| Input::Submit(Box::new(submission("A1").into()))).collect());
    let new = replies.iter().filter(|reply| matches!(reply, Ok(Reply::Submitted(Submitted::New(_))))).count();
    let repeated = replies.iter().filter(|reply| matches!(reply, Ok(Reply::Submitted(Submitted::Repeated(_))))).count();
    assert_eq!((new, repeated, world.jobs.len()), (1, 2, 1));
}

#[test]
fn what_no_disk_can_express_is_refused_and_what_one_can_is_routed_there() {
    let mut world = World::new();
    let session = world.join('a');
    let mut small = report("661111111111");
    small.capabilities = narrow();
    world.reports(session, vec![small.clone()]);
    let refusal = refused(&mut world, submission("A1"));
    assert_eq!(refusal.code, "not_expressible");
    assert_eq!(refusal.breaches[0].pointer, "/invoice/lines/0/name");
    world.reports(session, vec![small, report("662222222222")]);
    world.submit("A1");
    assert_eq!(world.job("A1").attempts[0].disk.as_str(), "662222222222");
}

#[test]
fn a_job_that_was_taken_before_any_disk_was_known_fails_proven_if_no_disk_can_express_it() {
    let mut world = World::new();
    world.submit("A1");
    let session = world.join('a');
    let mut small = report(DISK);
    small.capabilities = narrow();
    world.reports(session, vec![small]);
    assert_eq!(world.state("A1"), JobState::Failed);
    let problem = world.job("A1").problem.clone().unwrap();
    assert_eq!((problem.code.as_str(), problem.fault), ("not_expressible", taxdisk_protocol::api::Fault::Request));
    assert!(problem.text.contains("/invoice/lines/0/name"), "{}", problem.text);
    assert!(world.assigned(session).is_empty());
}

#[test]
fn a_seller_must_be_known_and_the_mark_is_his_choice() {
    let mut world = World::new();
    let mut stranger = submission("A1");
    stranger.seller = "110105123456789".to_owned();
    assert_eq!(refused(&mut world, stranger).code, "seller_unknown");
    assert_eq!(world.submit("A1").mark, Some(taxdisk_protocol::mark::mark(&key("A1"))));
    let body =
        SellerBody { name: "测试".to_owned(), disk_trouble: Default::default(), mark: false, warnings: Default::default() };
    world.ok(Input::PutSeller(seller().parse().unwrap(), body, "test".to_owned()));
    assert_eq!(world.submit("A2").mark, None);
    // Taken with a mark, it keeps it: the remark that goes to the disk never changes between attempts.
    assert!(world.submit("A1").mark.is_some());
}

#[test]
fn memory_is_bounded() {
    let mut world = World::with(Settings { max_open_jobs: 2, ..Settings::default() });
    world.submit("A1");
    world.submit("A2");
    assert_eq!(refused(&mut world, submission("A3")).code, "not_ready");
    // A repetition takes no memory.
    assert!(world.submit("A2").repeated);
}

#[test]
fn every_code_that_is_refused_with_stands_in_the_catalogue() {
    let sources = [
        include_str!("../accept.rs"),
        include_str!("../manage.rs"),
        include_str!("../reissue.rs"),
        include_str!("../session.rs"),
        include_str!("../mod.rs"),
        include_str!("../../ledger.rs"),
        include_str!("../../ledger/secrets.rs"),
    ];
    let mut seen = 0;
    for source in sources {
        for call in ["Refusal::new(", "refuse(", "refused(self, "] {
            for (at, _) in source.match_indices(call) {
                let Some(code) = source[at + call.len()..].trim_start().strip_prefix('"') else { continue };
                let code = code.split('"').next().unwrap();
                assert!(taxdisk_protocol::error::Code::from_name(code).is_some(), "{code} is not in the catalogue");
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "{seen}");
}
