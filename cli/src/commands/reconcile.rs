//! `reconcile …`: after a backup was put back.

use serde_json::Value;
use taxdisk_protocol::api::{
    JobName, PairBody, ProposalView, ReconcileJobRequest, ReconcileNumberRequest, ReconcileView, ReleaseRequest,
};
use ureq::http::Method;

use super::admin::say;
use super::proposal;
use crate::EXIT_OK;
use crate::args::ReconcileCommand;
use crate::client::{Client, segment};
use crate::failure::Failure;

/// `reconcile …`
pub(super) fn run(client: &Client, command: ReconcileCommand, json: bool) -> Result<u8, Failure> {
    match command {
        ReconcileCommand::Show => {
            let view: ReconcileView = client.get("/v1/reconcile")?;
            say(json, &view, || text(&view));
        }
        ReconcileCommand::Number { disk, kind, code, number, job, forgotten, reason } => {
            let job = job.map(|parts| JobName { seller: parts[0].clone(), serial: parts[1].clone() });
            let shown = format!("{code} {number}");
            let body =
                ReconcileNumberRequest { disk, kind, pair: PairBody { code, number }, job: job.clone(), forgotten, reason };
            if waits(&client.send(Method::POST, "/v1/reconcile/numbers", &body)?, json) {
                return Ok(EXIT_OK);
            }
            say(json, &body, || match &job {
                Some(job) => format!("{shown} is the invoice of {} {}.", job.seller, job.serial),
                None => format!("{shown} is no job's of this ledger."),
            });
        }
        ReconcileCommand::Job { key, decision, attempt, disk, pair, reason } => {
            let pair = pair.map(|parts| PairBody { code: parts[0].clone(), number: parts[1].clone() });
            let body = ReconcileJobRequest { decision: decision.into(), attempt, disk, pair, reason };
            let path = format!("/v1/reconcile/jobs/{}/{}", segment(&key.seller), segment(&key.serial));
            if waits(&client.send(Method::POST, &path, &body)?, json) {
                return Ok(EXIT_OK);
            }
            say(json, &body, || format!("{} {} is decided.", key.seller, key.serial));
        }
        ReconcileCommand::ReleaseUnread { disk, reason } => {
            let body = ReleaseRequest { reason };
            let path = format!("/v1/reconcile/disks/{}/release-unread", segment(&disk));
            if waits(&client.send(Method::POST, &path, &body)?, json) {
                return Ok(EXIT_OK);
            }
            say(json, &body, || format!("Disk {disk} is released unread."));
        }
    }
    Ok(EXIT_OK)
}

/// Where two persons are asked for, the answer is what waits.
fn waits(answer: &Value, json: bool) -> bool {
    let proposal: Option<ProposalView> = serde_json::from_value(answer.clone()).ok();
    proposal.inspect(|proposal| proposal::waits(proposal, json)).is_some()
}

fn text(view: &ReconcileView) -> String {
    if view.disks.is_empty() && view.jobs.is_empty() && view.numbers.is_empty() {
        return "Everything is accounted for.".to_owned();
    }
    let mut text = String::new();
    for disk in &view.disks {
        let seller = disk.seller.as_deref().unwrap_or("-");
        let state = if disk.online { "is being read" } else { "is away: plug it in, or see `release-unread`" };
        text.push_str(&format!("disk {} of {seller} {state}; nothing is issued for this seller\n", disk.disk));
    }
    for job in &view.jobs {
        let joint = if job.result == "voided" { "" } else { "as " };
        let pair = job.pair.as_ref().map_or(String::new(), |pair| format!(" {joint}{} {}", pair.code, pair.number));
        let then = match job.result.as_str() {
            "unsettled" => "decide it: `taxdisk reconcile job`",
            "voided" => "its job hears of it when it is sent again; nothing else voids or reverses this invoice",
            _ => "its job gets it when it is sent again",
        };
        let name = format!("job {} {}, attempt {}", job.seller, job.serial, job.attempt);
        text.push_str(&format!("{name}: {}{pair} on disk {}; {then}\n", job.result, job.disk));
    }
    for number in &view.numbers {
        let mark = number.mark.as_deref().map_or(String::new(), |mark| format!(", mark {mark}"));
        let waiting =
            if number.waiting.is_empty() { "no job asks for it".to_owned() } else { number.waiting.join(", ") + " wait" };
        text.push_str(&format!(
            "number {} {} ({}) on disk {} of {}: {} for {:?}{mark}; {waiting}\n",
            number.pair.code, number.pair.number, number.kind, number.disk, number.seller, number.gross, number.buyer
        ));
    }
    text.trim_end().to_owned()
}
