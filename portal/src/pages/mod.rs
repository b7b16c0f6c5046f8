//! What consumers see. Every page works without JavaScript and is better with it; phone first; Chinese and English.
//!
//! | path | what |
//! |---|---|
//! | `/q/<token>` | a code: the form until the buyer is known, the state afterwards |
//! | `/q/<token>/state`, `…/events` | the name of the state, and its changes as they come (SSE) |
//! | `/q/<token>/send`, `…/correct` | the invoice to another address; a task for the merchant's people |
//! | `/q/<token>/card`, `…/carded` | to WeChat and back, to keep the invoice in its card pack (`card`) |
//! | `/i/<token>` | an issued invoice (`invoice`) |
//! | `/qrcode-connector` | an offline code (`offline`) |
//! | `/r/<token>` | a code on a merchant's wall, at which guests reserve an invoice (`reservation`) |
//! | `/find` | a request by what its receipt says, for codes that cannot be scanned (`find`) |
//! | `/kiosk` | a self-service terminal with a scanner (`kiosk`) |
//! | `/wechat/signature` | lets a form use WeChat's bridge, to pick a title that is kept there (`wechat`) |
//!
//! A token has 192 bits that nobody can guess; a wrong one and an unknown one look the same. Nothing of others is loaded by any
//! page, no address is told to the next page. Whoever sees a page sees the buyer's name and number masked; the whole invoice is
//! in its files. All HTML comes from templates, which escape what they are given.
//!
//! Read first: `shell::Shell`, `form`, `state::State`.

mod card;
mod code;
mod events;
mod find;
mod form;
mod invoice;
mod kiosk;
mod offline;
mod reservation;
mod sale;
mod shell;
mod state;
mod wechat;
mod words;

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use taxdisk_web::serve::Peer;

use crate::core::links::{self, Kind};
use crate::core::request::Request as Stored;
use crate::portal::Portal;
use crate::store::StoreError;

/// What a token leads to.
enum Found {
    Open(Box<Stored>),
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

/// Is this a page of a consumer?
pub fn is_page(path: &str) -> bool {
    ["/q/", "/i/", reservation::PATH].into_iter().any(|prefix| path.starts_with(prefix))
        || matches!(path, offline::PATH | find::PATH | kiosk::PATH | wechat::PATH)
}

/// The address of a client, where the request came through a socket.
fn address(request: &Request<Body>) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.0.ip())
}

/// Answers for a page of a consumer.
pub async fn answer(portal: Arc<Portal>, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path();
    let shell = shell::Shell::new(&portal, request.uri(), request.headers());
    match path {
        offline::PATH => offline::answer(portal, shell, request).await,
        find::PATH => find::answer(portal, shell, request).await,
        kiosk::PATH => {
            let shell = shell.forgetful(request.uri(), request.headers());
            kiosk::answer(portal, shell, request).await
        }
        wechat::PATH => wechat::answer(&portal, request).await,
        _ if path.starts_with(reservation::PATH) => reservation::answer(portal, shell, request).await,
        _ if path.starts_with("/i/") => invoice::answer(portal, shell, request).await,
        _ => code::answer(portal, shell, request).await,
    }
}
