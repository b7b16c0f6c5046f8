//! How trouble is told: what happened, who can mend it, whether an invoice exists, whether a retry is safe. Always whole
//! sentences, never an advice to take a new serial number (I6).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use taxdisk_protocol::error::{Issued, Problem, Retry, Who, is_about_our_certificate};

use crate::{EXIT_FAILED, EXIT_USAGE};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line cannot be followed.
    Usage(String),
    /// The broker answered with a problem document.
    Problem(Box<Problem>),
    /// No answer came. The request may have been taken: the same one again is safe.
    Unreachable {
        /// Where it was sent.
        url: String,
        /// What the network said.
        cause: String,
    },
    /// Something answered that is not a broker's answer.
    Strange {
        /// Where it was sent.
        url: String,
        /// HTTP status.
        status: u16,
        /// What is wrong with it.
        text: String,
    },
    /// A file cannot be read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

impl Failure {
    /// A file that cannot be read or written.
    pub(crate) fn file(path: &Path, cause: impl ToString) -> Failure {
        Failure::File { path: path.to_owned(), cause: cause.to_string() }
    }

    /// 2 for a wrong command line, 1 for everything else.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }

    /// The same request may succeed in a moment without anybody doing anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Failure::Unreachable { .. } => true,
            Failure::Problem(problem) => is_passing(problem),
            Failure::Strange { status, .. } => *status >= 500,
            Failure::Usage(_) | Failure::File { .. } => false,
        }
    }

    /// Says it on standard error: sentences, or the problem document for a program.
    pub(crate) fn print(&self, json: bool) {
        if json {
            let document = match self {
                Failure::Problem(problem) => serde_json::to_value(problem).unwrap_or_default(),
                other => serde_json::json!({ "code": other.code(), "detail": other.sentences() }),
            };
            eprintln!("{document}");
        } else {
            eprintln!("{}", self.sentences());
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Failure::Usage(_) => "usage",
            Failure::Problem(_) => "problem",
            Failure::Unreachable { .. } => "unreachable",
            Failure::Strange { .. } => "strange_answer",
            Failure::File { .. } => "file",
        }
    }

    /// Whole sentences for a person.
    pub(crate) fn sentences(&self) -> String {
        match self {
            Failure::Usage(text) => text.clone(),
            Failure::Problem(problem) => problem_sentences(problem),
            // The broker's word on a certificate of the caller ends the handshake: it has read no request.
            Failure::Unreachable { url, cause } if is_about_our_certificate(cause) => format!(
                "{url} asks callers for a certificate that it knows: {cause}.\nIt took no request. Name one with \
                 --client-certificate and --client-key, and run the same command again."
            ),
            Failure::Unreachable { url, cause } => format!(
                "No answer from {url}: {cause}.\nThe broker may or may not have taken the request. Running the same command again is \
                 safe: the same serial number issues at most once. Check that the broker runs and that --broker is its address."
            ),
            Failure::Strange { url, status, text } => format!(
                "{url} answered with status {status}, but not as a broker does: {text}.\nCheck that --broker is the address of a \
                 taxdisk broker. Running the same command again is safe: the same serial number issues at most once."
            ),
            Failure::File { path, cause } => format!("{}: {cause}.", path.display()),
        }
    }
}

/// Too many requests, or the broker is ill: worth another try with the same content.
pub(crate) fn is_passing(problem: &Problem) -> bool {
    problem.retry == Retry::Safe && (problem.status == 429 || problem.status >= 500)
}

/// A problem document as sentences, every breach and difference on a line of its own.
pub(crate) fn problem_sentences(problem: &Problem) -> String {
    let mut text = format!("{} ({})", full_stop(&problem.title), problem.code);
    if !problem.detail.is_empty() && problem.detail != problem.title {
        let _ = write!(text, "\n{}", full_stop(&problem.detail));
    }
    for breach in &problem.breaches {
        let _ = write!(text, "\n  {}: {} ({})", pointer(&breach.pointer), breach.detail, breach.code);
    }
    if !problem.differences.is_empty() {
        let fields: Vec<&str> = problem.differences.iter().map(|difference| pointer(&difference.pointer)).collect();
        let _ = write!(text, "\n  It differs from what this serial number had before in: {}.", fields.join(", "));
    }
    let _ = write!(text, "\n{} {} {}", who(problem.who), issued(problem.issued), retry(problem.retry));
    text
}

/// A problem document on one line, for a table.
pub(crate) fn problem_line(problem: &Problem) -> String {
    let parts: Vec<String> = if !problem.breaches.is_empty() {
        problem.breaches.iter().map(|breach| format!("{}: {}", pointer(&breach.pointer), breach.detail)).collect()
    } else if !problem.differences.is_empty() {
        let fields: Vec<&str> = problem.differences.iter().map(|difference| pointer(&difference.pointer)).collect();
        vec![format!("{} Different: {}", full_stop(&problem.title), fields.join(", "))]
    } else {
        vec![problem.detail.clone()]
    };
    parts.join("; ")
}

fn pointer(text: &str) -> &str {
    if text.is_empty() { "(whole job)" } else { text }
}

fn full_stop(text: &str) -> String {
    if text.ends_with(['.', '!', '?', '。']) { text.to_owned() } else { format!("{text}.") }
}

fn who(who: Who) -> &'static str {
    match who {
        Who::Caller => "Who sent this must change it.",
        Who::Merchant => "The merchant can mend this.",
        Who::Administrator => "The administrator of broker and agent can mend this.",
        Who::TaxOffice => "The tax office can mend this.",
    }
}

fn issued(issued: Issued) -> &'static str {
    match issued {
        Issued::Yes => "A legal invoice exists.",
        Issued::No => "No invoice was issued by this request.",
        Issued::Unknown => "Whether an invoice exists is not known yet; keep the serial number.",
    }
}

fn retry(retry: Retry) -> &'static str {
    match retry {
        Retry::Safe => "Sending it again with the same serial number is safe.",
        Retry::After => "Once that is done, send it again with the same serial number.",
        Retry::Never => "Sending it again unchanged will be refused again.",
    }
}

#[cfg(test)]
mod tests {
    use taxdisk_protocol::error::{Breach, Difference};

    use super::*;

    fn problem(status: u16, retry: Retry) -> Problem {
        Problem {
            kind: "urn:taxdisk:problem:x".to_owned(),
            title: "The job breaks invoice rules".to_owned(),
            status,
            detail: "2 rules are broken".to_owned(),
            code: "x".to_owned(),
            issued: Issued::No,
            retry,
            who: Who::Caller,
            breaches: Vec::new(),
            differences: Vec::new(),
            retry_after_s: None,
        }
    }

    #[test]
    fn a_caller_without_a_certificate_hears_how_to_show_one() {
        let told = |cause: &str| Failure::Unreachable { url: "https://b".into(), cause: cause.into() }.sentences();
        let refused = told("received fatal alert: CertificateRequired");
        assert!(refused.contains("--client-certificate") && refused.contains("took no request"), "{refused}");
        for other in ["UnknownCA", "DecryptError"] {
            assert!(told(&format!("received fatal alert: {other}")).contains("--client-certificate"), "{other}");
        }
        for other in ["invalid peer certificate: UnknownIssuer", "Connection refused", "received fatal alert: InternalError"] {
            assert!(told(other).contains("may or may not have taken"), "{other}");
        }
    }

    #[test]
    fn a_problem_names_fault_invoice_retry_and_every_breach() {
        let mut problem = problem(422, Retry::Never);
        for index in 0..2 {
            problem.breaches.push(Breach {
                code: "too_wide".to_owned(),
                pointer: format!("/invoice/lines/{index}/name"),
                detail: "22 bytes, 20 fit".to_owned(),
            });
        }
        let text = problem_sentences(&problem);
        for part in [
            "The job breaks invoice rules. (x)",
            "2 rules are broken.",
            "/invoice/lines/0/name: 22 bytes, 20 fit (too_wide)",
            "/invoice/lines/1/name",
            "Who sent this must change it.",
            "No invoice was issued",
            "refused again",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(problem_line(&problem).contains("/invoice/lines/1/name"));
    }

    #[test]
    fn a_conflict_names_its_fields_and_nothing_advises_a_new_serial_number() {
        let mut problem = problem(409, Retry::Never);
        problem.differences.push(Difference { pointer: "/invoice/remark".to_owned() });
        let unreachable = Failure::Unreachable { url: "http://x".to_owned(), cause: "refused".to_owned() };
        for text in [problem_sentences(&problem), problem_line(&problem), unreachable.sentences()] {
            assert!(!text.contains("new serial") && !text.contains("another serial"), "{text}");
        }
        assert!(problem_line(&problem).contains("/invoice/remark"));
        assert!(unreachable.sentences().contains("again is safe"));
    }

    #[test]
    fn only_trouble_that_passes_by_itself_is_tried_again() {
        assert!(is_passing(&problem(503, Retry::Safe)) && is_passing(&problem(429, Retry::Safe)));
        assert!(!is_passing(&problem(503, Retry::After)) && !is_passing(&problem(422, Retry::Safe)));
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
        assert_eq!(Failure::Problem(Box::new(problem(422, Retry::Never))).exit_code(), 1);
    }
}
