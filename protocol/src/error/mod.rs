//! Problem documents (RFC 9457) and the catalogue of their codes: one table, rendered into the documentation.

mod catalogue;

pub use catalogue::{CATALOGUE, Code, Entry, catalogue_markdown};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Does a legal invoice exist for what was asked?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Issued {
    /// Yes.
    Yes,
    /// No.
    No,
    /// Not known; do not take a new serial number.
    Unknown,
}

/// Is it safe to send the same request again?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Any time, with the same serial number.
    Safe,
    /// After what the detail names was done.
    After,
    /// It will never be taken.
    Never,
}

/// Who can do something about it?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The program that called.
    Caller,
    /// The merchant.
    Merchant,
    /// Who runs broker or agent.
    Administrator,
    /// The tax office.
    TaxOffice,
}

/// Does the other side refuse the certificate that this one showed in the TLS handshake, or miss one? `cause`: what broke the
/// connection, with the name of the alert (RFC 8446, section 6). It has read no request then.
pub fn is_about_our_certificate(cause: &str) -> bool {
    // The last one: an authority of another key has the name of one that is known.
    let names =
        ["CertificateRequired", "UnsupportedCertificate", "BadCertificate", "CertificateExpired", "UnknownCA", "DecryptError"];
    cause.split_once("fatal alert: ").is_some_and(|(_, alert)| names.iter().any(|name| alert.starts_with(name)))
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Breach {
    /// Code of the rule.
    pub code: String,
    /// JSON pointer into the submission (`/invoice/lines/0/name`).
    pub pointer: String,
    /// For people: what is wrong and what would be right.
    pub detail: String,
}

/// A field that differs between what is known and what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// JSON pointer into the submission.
    pub pointer: String,
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:taxdisk:problem:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short text of the code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here.
    pub detail: String,
    /// Code of the catalogue.
    pub code: String,
    /// Does an invoice exist?
    pub issued: Issued,
    /// May it be sent again?
    pub retry: Retry,
    /// Who can help?
    pub who: Who,
    /// All broken rules, on 422.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaches: Vec<Breach>,
    /// All differing fields, on 409.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// How long to wait before the next call, seconds, on 429; also in the header Retry-After.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem of the catalogue. `detail` says what happened here, for people.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        let entry = code.entry();
        Problem {
            kind: format!("urn:taxdisk:problem:{}", entry.name),
            title: entry.title.to_owned(),
            status: entry.status,
            detail: detail.into(),
            code: entry.name.to_owned(),
            issued: entry.issued,
            retry: entry.retry,
            who: entry.who,
            breaches: Vec::new(),
            differences: Vec::new(),
            retry_after_s: None,
        }
    }

    /// The broken rules.
    #[must_use]
    pub fn with_breaches(self, breaches: Vec<Breach>) -> Problem {
        Problem { breaches, ..self }
    }

    /// The differing fields.
    #[must_use]
    pub fn with_differences(self, differences: Vec<Difference>) -> Problem {
        Problem { differences, ..self }
    }

    /// What is known of the job overrides what the code says in general.
    #[must_use]
    pub fn with_issued(self, issued: Issued) -> Problem {
        Problem { issued, ..self }
    }
}
