//! Sign-in of people to a console: passwords, sessions, forged requests, guessing.
//!
//! Broker and portal use the same module. What decides is pure and takes the time ([`session`], [`csrf`], [`lockout`]); hashing
//! is kept off the async threads ([`password`]); who has set up a second factor ([`factor`]) shows a code of it in the same
//! form, so that no answer says that a password was right; [`Gate`] puts them together over the [`Accounts`] of whoever uses
//! it.
//!
//! What it refuses to do: say whether a name exists. An unknown name, a wrong password and an account without a password get the
//! same answer after the same work. It knows no roles and no tenants: an account is a text.
//!
//! Read first: [`Gate::sign_in`], [`Accounts`], [`csrf::from_own_page`].

pub mod csrf;
pub mod factor;
mod gate;
pub mod lockout;
pub mod password;
pub mod session;
pub mod setting_up;
pub mod words;

pub use gate::{Accounts, Gate, Invited, Refused, SignedIn};

/// The store does not answer; the same again is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store does not answer; the same again is safe")]
pub struct Unavailable;
