//! The catalogue: every code that broker, agent and command line say, with what it means for the caller. One table; the
//! documentation page is rendered from it.
//!
//! It never tells anybody to take a new serial number. A serial number stays with its business document: sent again, it
//! answers with what became of it; sent under a new number, it may become a second invoice.

use super::{Issued, Retry, Who};
use crate::rules::Rule;

/// One row of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which code.
    pub code: Code,
    /// The code as it is written.
    pub name: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What it says, in short.
    pub title: &'static str,
    /// Does an invoice exist? A job's own state, where it is known, overrides this.
    pub issued: Issued,
    /// May the same request be sent again?
    pub retry: Retry,
    /// Who can do something about it?
    pub who: Who,
    /// What to do.
    pub help: &'static str,
}

macro_rules! catalogue {
    ($($code:ident $name:literal $status:literal $issued:ident $retry:ident $who:ident $title:literal $help:literal;)*) => {
        /// A code of the catalogue.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        /// Every code, in the order of the documentation.
        pub const CATALOGUE: &[Entry] = &[$(Entry {
            code: Code::$code,
            name: $name,
            status: $status,
            title: $title,
            issued: Issued::$issued,
            retry: Retry::$retry,
            who: Who::$who,
            help: $help,
        },)*];
    };
}

// issued `No` stands only where the key was looked up and no job is known under it. Where the request was not understood or
// not allowed, nothing was done with it, but an earlier one may have issued: `Unknown`.
catalogue! {
    // Requests that are not understood.
    MalformedJson "malformed_json" 400 Unknown Never Caller
        "The body is not JSON of the expected shape."
        "Correct the program that sends it; the detail names the place. Nothing was done with this request.";
    InvalidParameter "invalid_parameter" 400 Unknown Never Caller
        "A part of the address or query has a wrong form."
        "The detail names the parameter and what is expected.";
    MethodNotAllowed "method_not_allowed" 405 Unknown Never Caller
        "This address does not know this method."
        "See the API description at /openapi.json.";
    BodyTooLarge "body_too_large" 413 Unknown Never Caller
        "The body, a line of a batch or a frame is longer than allowed."
        "The detail names the limit. Send jobs one by one or as a batch of lines.";
    PayloadType "payload_type" 415 Unknown Never Caller
        "The content type is not supported."
        "Send application/json, or application/x-ndjson for a batch.";
    UnknownField "unknown_field" 422 Unknown Never Caller
        "The body holds a field that does not exist."
        "Correct the spelling or leave the field out. A misspelt field on a legal document is never ignored.";
    InvalidBody "invalid_body" 422 Unknown Never Caller
        "A value of the body is not allowed."
        "All broken rules are listed with their places.";
    // Content of a job.
    InvalidInvoice "invalid_invoice" 422 No After Caller
        "The job breaks an invoice rule."
        "All broken rules are listed with their places. Correct them and send the job again under the same serial number.";
    NotExpressible "not_expressible" 422 No After Caller
        "No disk of the seller can express this content."
        "The breaches name field, limit and characters. Change the content, or connect a disk that can express it; then send it again under the same serial number.";
    KindNotLicensed "kind_not_licensed" 422 No After Merchant
        "No disk of the seller is licensed for this invoice kind."
        "Choose a licensed kind, or have the kind added to the disk at the tax office.";
    OperationUnsupported "operation_unsupported" 422 No After Caller
        "No disk of the seller can do this operation, or the kind does not allow it."
        "Electronic invoices are reversed by a red invoice, never voided.";
    OriginalUndone "original_undone" 409 No After Caller
        "The original is void or reversed already, or another job is about to do it."
        "The detail names that job: fetch it. Nothing was done for this one; if that job fails, send this one again under its own serial number.";
    OriginalDiskUnknown "original_disk_unknown" 422 No After Administrator
        "It is not known which disk issued the original."
        "A disk voids only what it issued itself. Name an issue point that has that disk alone, then send the job again under the same serial number.";
    SellerUnknown "seller_unknown" 422 No After Administrator
        "The seller is not set up here."
        "Set the seller up, then send the job again under the same serial number.";
    Conflict "conflict" 409 Unknown Never Caller
        "This serial number was used with other content."
        "The differing fields are listed. Send the content that the serial number stands for; if the job has failed, ask for a re-issue with the changed content.";
    DuplicateInBatch "duplicate_in_batch" 409 Unknown Never Caller
        "This serial number occurs twice in one batch."
        "Nothing of the second line was stored. One business document has one serial number: find out which line is right.";
    WebhookAddress "webhook_address" 422 Unknown Never Caller
        "This address is not called."
        "The detail says why: webhooks go to https:// addresses of the world, unless the broker's configuration allows more. No job was touched.";
    // Re-issue, cancel, settle.
    JobIssued "job_issued" 409 Yes Never Caller
        "The invoice of this job exists."
        "Fetch the job: it holds code and number. To undo the invoice, void it or issue a red one.";
    JobInProgress "job_in_progress" 409 Unknown After Caller
        "The job is queued or at a disk; this cannot be done now."
        "Wait for its state (long poll with ?wait=30s), then ask again if there is still reason to.";
    JobUnsettled "job_unsettled" 409 Unknown After Administrator
        "It is not known yet whether the disk issued this job."
        "The disk is asked as soon as it answers. Keep the serial number; a second invoice must not be made meanwhile.";
    JobFailed "job_failed" 409 No After Caller
        "The job has failed; nothing was issued, and there is nothing left to cancel."
        "Ask for a re-issue if the invoice is still wanted.";
    AlreadyCancelled "already_cancelled" 409 No Never Caller
        "The job was cancelled."
        "Nothing was issued. Ask for a re-issue if the invoice is wanted after all.";
    CancelInProgress "cancel_in_progress" 409 Unknown After Caller
        "The job is at a disk; it was asked to give the job back."
        "Fetch the job: it becomes cancelled if the disk had not begun, and issued otherwise.";
    ReissueLimit "reissue_limit" 409 No After Administrator
        "The job was re-issued too often."
        "Find out why it fails each time; an administrator can allow more.";
    ReissueReason "reissue_reason" 422 Unknown After Caller
        "A re-issue needs a reason."
        "Say why; it is kept in the ledger.";
    BodyEnded "body_ended" 409 No After Caller
        "The content of this job has ended after the retention time."
        "Ask for the re-issue with the content: the same as before keeps its version. The serial number stays the same.";
    BulkKey "bulk_key" 409 Unknown Never Caller
        "This key was used for another bulk re-issue."
        "Look at that one. For another filter or reason take another key; jobs keep their serial numbers.";
    SettleRevision "settle_revision" 409 Unknown After Administrator
        "The job changed since it was looked at."
        "Look at it again and decide on what it shows now.";
    SettleNotUnsettled "settle_not_unsettled" 409 Unknown Never Administrator
        "Only an unsettled job can be settled by hand."
        "Fetch the job: its outcome is known, or it has not been tried.";
    SettleNeedsReadings "settle_needs_readings" 422 Unknown After Administrator
        "Settling by hand needs both readings and a reason."
        "Read the disk's current number and the expected number, and send what they show.";
    SettleSecondPerson "settle_second_person" 409 Unknown After Administrator
        "By the tax office's record, two persons decide."
        "The decision is noted. Another person looks the record up too and sends the same decision, with a key of their own.";
    SecondPerson "second_person" 409 Unknown After Administrator
        "Whoever proposes something does not confirm it."
        "Another person confirms it, with a name or key of their own; a key counts as its owner and whoever made it. Nothing was done.";
    ProposalsFull "proposals_full" 503 Unknown After Administrator
        "Too much waits for a second person already."
        "Nothing was done. Confirm or decline what waits, then ask again.";
    SettleContradiction "settle_contradiction" 422 Unknown After Administrator
        "The readings do not support the decision."
        "Issued needs the number present and this job's; not issued needs it absent or another's. The detail says what does not fit.";
    // Outcomes at a disk, in the `problem` of a job.
    DiskRefused "disk_refused" 422 No After Caller
        "The disk refused the content; nothing was issued."
        "Correct what the text names and ask for a re-issue under the same serial number.";
    DiskTrouble "disk_trouble" 503 No After Merchant
        "The disk could not issue; it is proven that nothing was issued."
        "Do what the text says (stock, report, limit, password, cable), then ask for a re-issue.";
    OutcomeUnknown "outcome_unknown" 409 Unknown After Administrator
        "Whether the disk issued could not be decided from its readings."
        "Keep the serial number. Reconnect the disk; if it still cannot be decided, an administrator settles the job with the readings.";
    // Who may call.
    Unauthorized "unauthorized" 401 Unknown After Caller
        "No valid API key was sent."
        "Send Authorization: Bearer and the key.";
    KeyExpired "key_expired" 401 Unknown After Administrator
        "The API key has expired."
        "Have a new key made.";
    Forbidden "forbidden" 403 Unknown After Administrator
        "The API key may not do this, or not for this seller."
        "Use a key with the role and the seller that the detail names.";
    NotFound "not_found" 404 Unknown Never Caller
        "There is no such thing here."
        "Check address, seller and serial number. A job that is not found may be sent under its own serial number at any time.";
    DiskUnknown "disk_unknown" 404 Unknown After Administrator
        "No disk with this number has ever been seen."
        "Connect it to a PC with an enrolled agent; it appears by itself.";
    DiskSeller "disk_seller" 409 Unknown After Administrator
        "The disk belongs to another taxpayer."
        "The taxpayer number inside the disk decides. Assign it to that seller, or connect the right disk.";
    OperationKey "operation_key" 409 Unknown Never Caller
        "This key was used for another operation on this disk."
        "Look at that one. For another operation take another key.";
    OperationBegun "operation_begun" 409 Unknown Never Administrator
        "The operation was handed to the disk's agent."
        "What has begun is not taken back: wait for its end. If its agent does not come back, connect the disk elsewhere; if the disk itself does not, abandon the operation.";
    OperationEnded "operation_ended" 409 Unknown Never Caller
        "The operation has ended."
        "Fetch it: its result says how.";
    OperationImpossible "operation_impossible" 422 Unknown Never Administrator
        "This disk cannot do this operation."
        "The detail says why. Nothing was sent to the disk.";
    // Agents.
    EnrollmentInvalid "enrollment_invalid" 403 Unknown Never Administrator
        "The enrolment code is not known."
        "Check it for typing errors, or make a new one.";
    EnrollmentExpired "enrollment_expired" 403 Unknown Never Administrator
        "The enrolment code has expired."
        "Make a new one.";
    EnrollmentUsed "enrollment_used" 409 Unknown Never Administrator
        "The enrolment code was used already."
        "If that was not you, revoke the agent that used it. Make a new code.";
    AgentUnknown "agent_unknown" 403 Unknown Never Administrator
        "This broker does not know the agent."
        "Enrol the PC, or correct the broker's address in its configuration.";
    AgentRevoked "agent_revoked" 403 Unknown Never Administrator
        "The agent's key was revoked."
        "Enrol the PC again if it is to issue. Its late outcomes are kept as evidence.";
    AgentWaiting "agent_waiting" 403 Unknown After Administrator
        "The agent enrolled by a code for many and is not approved yet."
        "An administrator compares the fingerprint of its key and approves it; the agent tries again by itself.";
    AgentProof "agent_proof" 403 Unknown Never Administrator
        "The agent's signature does not fit its key."
        "The state folder of the PC is damaged or of another agent. Enrol it again.";
    AgentClone "agent_clone" 409 Unknown After Administrator
        "Two copies of one agent are running, or its state went back to an older copy."
        "Nobody issues on its disks until one copy is gone. Keep the PC that holds the disk; enrol the other one anew.";
    LinkVersion "link_version" 426 Unknown After Administrator
        "Broker and agent speak no common version of the link."
        "Update the older of the two.";
    LinkOrder "link_order" 400 Unknown Safe Administrator
        "A frame came that does not belong here."
        "The link is closed and joined again by itself. If this repeats, versions do not fit.";
    LedgerChanged "ledger_changed" 409 Unknown Never Administrator
        "The broker's ledger is not the one that the agent was enrolled with."
        "Correct the broker's address, or enrol the PC with the new ledger.";
    // The service itself.
    RateLimited "rate_limited" 429 Unknown Safe Caller
        "Too many requests."
        "Wait as long as Retry-After says and send the same again.";
    Internal "internal" 500 Unknown Safe Administrator
        "Something failed inside."
        "Send the same again, under the same serial number: if it was accepted, the answer is the job. The log has the request id.";
    NotReady "not_ready" 503 Unknown Safe Administrator
        "The service is starting, stopping or full."
        "Send the same again in a moment, under the same serial number.";
    BrokerUnreachable "broker_unreachable" 503 Unknown Safe Administrator
        "The broker does not answer."
        "Check its address and that it runs. Then send the same again, under the same serial number.";
    Timeout "timeout" 504 Unknown Safe Caller
        "The answer took too long."
        "Send the same again, under the same serial number: nothing is issued twice.";
}

impl Code {
    /// The row of this code.
    pub fn entry(self) -> &'static Entry {
        // The table lists the codes in the order of their declaration: both come from one macro.
        &CATALOGUE[self as usize]
    }

    /// The code as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        self.entry().name
    }

    /// The code of a text that was read; `None` for one of a newer version.
    pub fn from_name(name: &str) -> Option<Code> {
        CATALOGUE.iter().find(|entry| entry.name == name).map(|entry| entry.code)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The documentation page of all codes and rules, `docs/errors.md`.
pub fn catalogue_markdown() -> String {
    let mut page = String::from(PAGE_HEAD);
    for Entry { name, status, title, issued, retry, who, help, .. } in CATALOGUE {
        let (issued, retry, who) = (word(issued), word(retry), word(who));
        page.push_str(&format!("| `{name}` | {status} | {issued} | {retry} | {who} | {title} {help} |\n"));
    }
    page.push_str(RULES_HEAD);
    for rule in Rule::ALL {
        page.push_str(&format!("| `{}` | {} |\n", rule.code(), rule.meaning()));
    }
    page
}

/// A word as it stands on the wire.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

const PAGE_HEAD: &str = "# Errors

<!-- Made from the table in protocol/src/error/catalogue.rs; a test compares them. -->

Every error is a problem document (RFC 9457, `application/problem+json`). `code` names the row below; `detail` says what
happened in this case.

* `issued`: does an invoice exist for what was asked? `unknown` where this answer alone cannot tell: fetch the job.
* `retry`: `safe` the same request may be sent at any time; `after` something was done about the cause; `never` it is not taken.
* `who`: who can do something about it.

**Keep the serial number.** A request that is sent again under its own serial number is answered with what became of it, and
never issues twice. Only a serial number that stays with its business document gives this protection.

| code | status | issued | retry | who | meaning, and what to do |
|---|---|---|---|---|---|
";

const RULES_HEAD: &str = "
## Rules

With `invalid_invoice` and `not_expressible` come `breaches`: all broken rules at once, each with its code, a JSON pointer into
the submission and a text.

| code | rule |
|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_well_formed_and_found_again() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for entry in CATALOGUE {
            assert_eq!(entry.code.entry(), entry);
            assert_eq!(Code::from_name(entry.name), Some(entry.code));
            assert!(entry.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", entry.name);
            assert!((400..600).contains(&entry.status), "{}", entry.name);
            for text in [entry.title, entry.help] {
                assert!(text.ends_with('.') && !text.contains('|'), "{}: {text}", entry.name);
            }
        }
        assert_eq!(Code::from_name("of_a_newer_version"), None);
    }

    #[test]
    fn nobody_is_told_to_take_another_serial_number() {
        let page = catalogue_markdown().to_lowercase();
        for advice in ["new serial", "another serial", "other serial", "different serial", "fresh serial", "change the serial"] {
            assert!(!page.contains(advice), "the catalogue says {advice:?}");
        }
    }

    #[test]
    fn an_unknown_outcome_never_reads_as_no() {
        for code in [Code::Timeout, Code::Internal, Code::JobUnsettled, Code::OutcomeUnknown, Code::Conflict, Code::NotReady] {
            assert_eq!(code.entry().issued, Issued::Unknown, "{code}");
        }
    }
}
