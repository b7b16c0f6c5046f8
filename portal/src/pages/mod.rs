//! The two links that reach people: `/q/<token>`, where a consumer names the buyer of a code, and `/i/<token>`, an invoice.
//! A token has 192 bits that nobody can guess; a wrong one and an unknown one look the same.
//!
//! Nothing of others is loaded by any page, nothing is stored by the browser, no address is told to the next page, and every
//! style and script is named by its hash. Whoever sees a page sees the buyer's name and number masked; the whole
//! invoice is in its files.

mod code;
mod html;
mod invoice;

pub use code::code;
pub use invoice::invoice;

use crate::core::links::{self, Kind};
use crate::core::request::Request;
use crate::portal::Portal;
use crate::store::StoreError;

/// What a token leads to.
enum Found {
    Open(Box<Request>),
    /// It was good once.
    Ended,
    Nothing,
}

async fn found(portal: &Portal, kind: Kind, token: &str) -> Result<Found, StoreError> {
    let mut db = portal.readers.get().await?;
    let link = match links::find(&mut *db, kind, token, (portal.clock)()).await? {
        links::Found::Open(link) => link,
        links::Found::Ended => return Ok(Found::Ended),
        links::Found::Nothing => return Ok(Found::Nothing),
    };
    let stored = db.request(&link.tenant, &link.serial).await?;
    Ok(stored.map_or(Found::Nothing, |stored| Found::Open(Box::new(stored))))
}
