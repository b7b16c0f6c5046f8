//! Contents of jobs at rest, and second factors of people: sealed with a key that is not in the database, where one is given.
//!
//! What is sealed is what says who bought what (the invoice of a job, and the content beside an event: invoices, evidence), and
//! what a person's telephone has too. Serial numbers, states, numbers of invoices and the hashes of the chain stay as they are:
//! the queue, the guards and a proof work without a key, and a broker with a wrong one changes nothing. How texts are sealed, and
//! the file of the keys, are [`taxdisk_web::keyring`]'s.
//!
//! What it refuses to do: take a sealed text that it cannot open for a content that has ended, or for a person without a second
//! factor.
//!
//! Read first: [`Vault`].

use std::borrow::Cow;

use serde::Deserialize;
use taxdisk_protocol::api::InvoiceBody;
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::{Event, Job};
use taxdisk_web::keyring::{Keyring, MARK, Unusable};

use super::encoding::{damaged, json, text};
use super::{StoreError, chain};
use crate::core::change::UserRow;

/// Begins the body of a job whose invoice is sealed.
const JOB_MARK: &str = "{\"sealed\":\"";
/// What a sealed content of an event is sealed for; that it is at its place is the chain's to say, which has its hash.
const CONTENT: &str = "taxdisk-content-v1";

/// Seals and opens contents. Without a key it leaves them as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vault {
    keys: Keyring,
}

impl Vault {
    /// With the keys of a file.
    ///
    /// # Errors
    /// It cannot be read, others than its owner and group can get at it, or a line is no key.
    pub fn load(setting: &str) -> Result<Vault, Unusable> {
        Keyring::load(setting).map(|keys| Vault { keys })
    }

    /// With the keys of these lines, the newest first.
    ///
    /// # Errors
    /// Says which line is no key, and never what stands there.
    pub fn parse(lines: &str) -> Result<Vault, String> {
        Keyring::parse(lines).map(|keys| Vault { keys })
    }

    /// Its keys.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// Id of the key that seals; none: nothing is sealed.
    pub fn current(&self) -> Option<&str> {
        self.keys.current()
    }

    /// How a text begins that the newest key has sealed.
    pub(super) fn mark(&self) -> Option<String> {
        self.keys.mark()
    }

    /// The content of an event as it is stored. Its hash is of the plain text.
    pub(super) fn seal_content(&self, content: Option<String>) -> Result<Option<String>, StoreError> {
        Ok(content.map(|content| self.keys.seal(CONTENT, content)).transpose()?)
    }

    /// The content of an event in the plain.
    pub(super) fn open_content<'a>(&self, content: Option<&'a str>) -> Result<Option<Cow<'a, str>>, StoreError> {
        match content {
            Some(sealed) if sealed.starts_with(MARK) => Ok(Some(Cow::Owned(self.keys.open(CONTENT, sealed)?))),
            other => Ok(other.map(Cow::Borrowed)),
        }
    }

    /// An event from its row.
    pub(super) fn event(&self, body: &str, content: Option<&str>) -> Result<Event, StoreError> {
        let content = self.open_content(content)?;
        chain::event(body, content.as_deref()).map_err(|error| damaged("event", error))
    }

    /// A job as it is stored.
    pub(super) fn job_text(&self, job: &Job) -> Result<String, StoreError> {
        let Some(invoice) = job.invoice.as_ref().filter(|_| self.current().is_some()) else { return Ok(text(job)) };
        let sealed = self.keys.seal(&purpose(&job.key), text(invoice))?;
        let rest = text(&Job { invoice: None, ..job.clone() });
        // Neither part of the mark needs an escape.
        let rest = rest.strip_prefix('{').unwrap_or_default();
        Ok(format!("{JOB_MARK}{sealed}\",{rest}"))
    }

    /// A job from its row.
    pub(super) fn job(&self, body: &str) -> Result<Job, StoreError> {
        #[derive(Deserialize)]
        struct Sealed {
            sealed: String,
            key: JobKey,
        }
        if !body.starts_with(JOB_MARK) {
            return json("job", body);
        }
        let Sealed { sealed, key } = json("job", body)?;
        let invoice: InvoiceBody = json("invoice of a job", &self.keys.open(&purpose(&key), &sealed)?)?;
        Ok(Job { invoice: Some(invoice), ..json("job", body)? })
    }

    /// A person as he is stored: a sealed second factor is a text where its object stands otherwise, so a program that cannot
    /// open it does not take him for a person without one.
    pub(super) fn user_text(&self, user: &UserRow) -> Result<String, StoreError> {
        let Some(factor) = user.factor.as_ref().filter(|_| self.current().is_some()) else { return Ok(text(user)) };
        let mut row = serde_json::to_value(user).map_err(|error| damaged("user", error))?;
        row["factor"] = self.keys.seal(&factor_of(&user.name), text(factor))?.into();
        Ok(row.to_string())
    }

    /// A person from his row.
    pub(super) fn user(&self, body: &str) -> Result<UserRow, StoreError> {
        let mut row: serde_json::Value = json("user", body)?;
        if let Some(sealed) = row["factor"].as_str() {
            let name = row["name"].as_str().unwrap_or_default();
            row["factor"] = json("second factor", &self.keys.open(&factor_of(name), sealed)?)?;
        }
        serde_json::from_value(row).map_err(|error| damaged("user", error))
    }
}

/// What the invoice of a job is sealed for: it opens as this job's and no other's.
fn purpose(key: &JobKey) -> String {
    format!("taxdisk-job-v1\n{key}")
}

/// What the second factor of a person is sealed for: it opens as his and nobody else's.
fn factor_of(name: &str) -> String {
    format!("taxdisk-factor-v1\n{name}")
}

/// A new line of a key file, for tests.
#[cfg(test)]
pub(crate) fn new_key() -> String {
    taxdisk_web::keyring::new_key().expect("the system has randomness")
}

/// A person with a second factor, and its secret, for tests.
#[cfg(test)]
pub(crate) fn with_factor(name: &str) -> (UserRow, String) {
    let factor = taxdisk_web::signin::factor::Factor::new().expect("the system has randomness");
    let secret = factor.enrolment("taxdisk", name).expect("a factor can be set up").secret;
    let row = UserRow {
        name: name.to_owned(),
        role: crate::core::people::ConsoleRole::Administrator,
        password: None,
        shut_out: false,
        created_at: taxdisk_protocol::time::Timestamp(7),
        factor: Some(factor),
    };
    (row, secret)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use taxdisk_web::keyring::Shut;

    use super::*;

    #[test]
    fn a_second_factor_is_sealed_for_its_person_and_one_that_cannot_be_opened_is_not_none() {
        let vault = Vault::parse(&new_key()).unwrap();
        let (anna, secret) = with_factor("anna");
        let stored = vault.user_text(&anna).unwrap();
        assert!(!stored.contains(&secret), "{stored}");
        assert_eq!(vault.user(&stored).unwrap(), anna);
        assert!(Vault::default().user_text(&anna).unwrap().contains(&secret), "so this is what would be read");
        assert_eq!(
            vault.user(&Vault::default().user_text(&anna).unwrap()).unwrap(),
            anna,
            "what was stored before there was a key"
        );
        let another = stored.replace("\"anna\"", "\"ben\"");
        assert!(
            matches!(vault.user(&another), Err(StoreError::Shut(Shut::Broken))),
            "nobody's factor is moved to another person"
        );
        for lost in [Vault::default(), Vault::parse(&new_key()).unwrap()] {
            assert!(matches!(lost.user(&stored), Err(StoreError::Shut(Shut::Missing(_)))), "nobody comes in without it");
        }
        assert!(serde_json::from_str::<UserRow>(&stored).is_err(), "nor does a program that knows nothing of sealed ones");
    }
}
