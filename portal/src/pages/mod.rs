//! The two links that reach people: `/q/<token>`, where a consumer names the buyer of a code, and `/i/<token>`, an invoice.
//! Tokens have at least 128 random bits; a wrong one and an unknown one look the same.
//!
//! Nothing of others is loaded by any page, nothing is stored by the browser, no address is told to the next page, and every
//! style and script is named by its hash. Whoever sees a page sees the buyer's name and number masked; the whole
//! invoice is in its files.

mod code;
mod html;
mod invoice;

pub use code::code;
pub use invoice::invoice;
