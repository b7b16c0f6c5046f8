//! `…/card` and `…/carded` of a code, an invoice and a reservation: the consumer keeps an issued invoice in WeChat's card pack.
//! He is led to WeChat's own page, where he authorises it or not, and comes back to the page that he was on (`here`); a card is
//! owed only once WeChat says that he has. Nothing here touches the invoice.
//!
//! Where the merchant named an order id of his own (`WXORDERID`), his page does this, and there is no button.

use axum::body::Body;
use axum::http::Response;

use super::code::tell;
use super::shell::Shell;
use crate::core::outbox::{self, Channel, Resent, Standing};
use crate::core::request::{Phase, Request as Stored, Voiding};
use crate::portal::Portal;
use crate::wire::form::Form;

/// The order id under which an invoice can be taken; not one that is void, reversed, or a credit note.
fn order_of(part: &Stored) -> Option<String> {
    let stands = part.phase == Phase::Issued && part.voiding != Voiding::Void && part.reversed.is_zero();
    if stands && !part.gross.is_sign_negative() { outbox::own_card_order(part) } else { None }
}

/// Where each invoice can be taken, if WeChat is there and the merchant does not do it himself.
pub(super) fn offers(shell: &Shell, parts: &[Stored], here: &str) -> Vec<String> {
    let able = parts.iter().enumerate().filter(|(_, part)| shell.in_wechat && order_of(part).is_some());
    able.map(|(index, _)| format!("{here}/card?part={}", index + 1)).collect()
}

/// The invoice that the address names, with its number in the sale and its order id.
fn chosen<'a>(parts: &'a [Stored], query: Option<&str>) -> Option<(usize, &'a Stored, String)> {
    let form = Form::parse(query.unwrap_or_default().as_bytes()).ok()?;
    let number: usize = form.get("part")?.parse().ok()?;
    let part = parts.get(number.checked_sub(1)?)?;
    Some((number, part, order_of(part)?))
}

/// On to WeChat's page.
pub(super) async fn ask(portal: &Portal, shell: &Shell, parts: &[Stored], here: &str, query: Option<&str>) -> Response<Body> {
    let Some((number, part, order)) = chosen(parts, query) else { return shell.see_other(here) };
    let Some(weixin) = portal.weixin.get() else { return tell(shell, here, "card_off") };
    let back = format!("{}{here}/carded?part={number}", portal.public_url);
    match weixin.authorisation(part, &order, &back).await {
        Ok(url) => shell.see_other(&url),
        Err(why) => {
            tracing::warn!(why, "WeChat gave no page for an authorisation");
            tell(shell, here, "card_off")
        }
    }
}

/// Back from there. What the address says is not believed: WeChat is asked.
pub(super) async fn back(portal: &Portal, shell: &Shell, parts: &[Stored], here: &str, query: Option<&str>) -> Response<Body> {
    let Some((_, part, order)) = chosen(parts, query) else { return shell.see_other(here) };
    let Some(weixin) = portal.weixin.get() else { return tell(shell, here, "card_off") };
    match weixin.is_authorised(&order).await {
        Ok(true) => {}
        Ok(false) => return tell(shell, here, "card_no"),
        Err(why) => {
            tracing::warn!(why, "WeChat does not say whether an invoice was authorised");
            return tell(shell, here, "card_off");
        }
    }
    let (tenant, serial) = (part.tenant.clone(), part.serial.clone());
    let queued = portal.ledger.run(move |session| {
        Box::pin(async move {
            let messages = session.db.messages_of(&tenant, &serial).await?;
            // WeChat takes an order id once; asking again would only be refused.
            if messages.iter().any(|one| one.channel == Channel::Card && one.standing == Standing::Sent) {
                return Ok(None);
            }
            outbox::resend(session, &tenant, &serial, Channel::Card, &order, "consumer").await.map(Some)
        })
    });
    match queued.await {
        Ok(None) => tell(shell, here, "card_in"),
        Ok(Some(Resent::Queued(_) | Resent::Waiting(_))) => tell(shell, here, "card_sent"),
        Ok(Some(Resent::TooMany(_))) => tell(shell, here, "send_many"),
        Ok(Some(Resent::Unknown | Resent::NotIssued(_) | Resent::Address(_))) => shell.see_other(here),
        Err(_) => tell(shell, here, "card_off"),
    }
}
