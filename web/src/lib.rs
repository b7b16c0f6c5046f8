//! What broker and portal both need at their edges.
//!
//! [`serve`] takes connections within bounds, [`crowd`] keeps strangers from holding them all, [`tls`] keeps the certificate,
//! and [`rate`] counts calls. [`outbound`] calls addresses that callers wrote, without ever reaching into the
//! network around it (SSRF). [`webhook`] signs and sends by Standard Webhooks 1.0, and knows when to try again. [`signin`] lets
//! people into consoles, whose [`pages`] share a style sheet, languages and headers; [`form`] reads what browsers send.
//! [`keyring`] seals what stores keep.
//!
//! It knows nothing of jobs, stores or merchants; who uses it decides what is sent to whom, and keeps what must be kept.
//!
//! Read first: [`outbound::Outbound`], [`webhook::Signers`], [`webhook::schedule`], [`signin::Gate`].
#![forbid(unsafe_code)]

pub mod crowd;
pub mod form;
pub mod keyring;
pub mod outbound;
pub mod pages;
pub mod rate;
pub mod serve;
pub mod signin;
pub mod tls;
pub mod webhook;
