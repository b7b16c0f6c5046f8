//! `red`: reverses a whole invoice (yonyou-open-api.md, section 1.7). Without `autoAudit` it waits for a person: the opposite
//! of the inserts.

use std::sync::Arc;

use super::delivery::Deliveries;
use super::{Call, blue, verdict};
use crate::core::insert::{self, Content, Incoming, Refusal};
use crate::core::red::Ask;
use crate::document::fields::Form;
use crate::document::{canonical, derive, read};
use crate::wire::reply::Reply;

pub(super) async fn run(call: Call) -> Reply {
    take(call, Form::Red).await.unwrap_or_else(|reply| reply)
}

/// Takes a batch of reds, whole or in part.
pub(super) async fn take(call: Call, form: Form) -> Result<Reply, Reply> {
    let whole = form == Form::Red;
    let documents = call.documents()?;
    let audited = call.auto_audit(!whole)?;
    let mut read = Vec::with_capacity(documents.len());
    let mut refusals = Vec::new();
    for json in &documents {
        match read::document(json, form) {
            Ok(document) => read.push(document),
            Err(faults) => refusals.push(Refusal::faults(&blue::serial_of(json), &faults)),
        }
    }
    if !refusals.is_empty() {
        return Err(verdict::refused(&refusals));
    }
    let serials: Vec<String> = read.iter().map(|document| document.serial.clone()).collect();
    let deliveries = Deliveries::read(&call, &serials)?;
    let incoming = read.into_iter().map(|document| {
        let canonical = canonical::text(if whole { "red" } else { "part_red" }, &document);
        let (serial, delivery) = (document.serial.clone(), deliveries.of(&document.serial));
        let (document, faults) = match whole {
            true => (document, Vec::new()),
            false => match derive::derive(document.clone()) {
                Ok(derived) => (derived, Vec::new()),
                Err(faults) => (document, faults),
            },
        };
        let ask = Ask { document, faults, whole, tenant: Arc::clone(call.tenant()) };
        Incoming { serial, seller: String::new(), canonical, content: Content::Red(Box::new(ask)), delivery, qr: None }
    });
    let batch = blue::batch(&call, incoming.collect(), audited);
    let verdicts = call.change(move |session| Box::pin(async move { insert::insert(session, &batch).await })).await?;
    Ok(verdict::reply(&call, &verdicts, deliveries.refused.as_deref()))
}
