//! The steps of setting up one's own second factor, as both consoles walk them: begun with the password, confirmed by a first
//! code, ended with both. What is shown is the console's; what comes next is decided here.

use super::factor::Enrolment;
use super::{Accounts, Gate, Refused, SignedIn};

/// What comes after the password.
#[derive(Debug)]
pub enum Begun {
    /// The app is set up, and shows a first code.
    SetUp(Enrolment),
    /// One is there already: it is ended first, with a code of it.
    There,
    /// Not done.
    Refused(Refused),
}

/// What comes after the first code.
#[derive(Debug)]
pub enum Confirmed {
    /// It is set up: the session that goes on, and the recovery codes, which are shown once.
    Done(SignedIn, Vec<String>),
    /// The same page again, with why.
    Again(Enrolment, Refused),
    /// None waits for a code.
    Refused(Refused),
    /// The store does not answer; the same again is safe.
    Unavailable,
}

/// Begins one, with the password. `issuer`: what apps call this program.
pub async fn begin<A: Accounts>(gate: &Gate<A>, signed: &SignedIn, password: &str, issuer: &str) -> Begun {
    match gate.begin_factor(signed, password, issuer).await {
        Ok(Some(enrolment)) => Begun::SetUp(enrolment),
        Ok(None) => Begun::There,
        Err(refused) => Begun::Refused(refused),
    }
}

/// Confirms it with the first code.
pub async fn confirm<A: Accounts>(gate: &Gate<A>, signed: &SignedIn, code: &str, issuer: &str, now: i64) -> Confirmed {
    let refused = match gate.confirm_factor(signed, code, now).await {
        Ok((signed, codes)) => return Confirmed::Done(signed, codes),
        Err(refused) => refused,
    };
    let Ok(waiting) = gate.factor(signed).await else { return Confirmed::Unavailable };
    let waiting = waiting.filter(|factor| !factor.is_confirmed());
    match waiting.and_then(|factor| factor.enrolment(issuer, &signed.account)) {
        Some(enrolment) => Confirmed::Again(enrolment, refused),
        None => Confirmed::Refused(refused),
    }
}
