//! What insertWithArray, insertWithSplit, insertForQRInvoice and qr-with-split have in common: from a document to what the writer
//! decides on. Reads no store; everything that a repeat must not be refused for is left to the writer.

use taxdisk_protocol::api::Priority;

use super::delivery::Deliveries;
use super::{Call, verdict};
use crate::core::insert::{self, Batch, Incoming, Refusal};
use crate::core::request::{Delivery, QrCode};
use crate::document::fields::Form;
use crate::document::{Document, read};
use crate::making;
pub(super) use crate::making::Manner;
use crate::wire::json::Json;
use crate::wire::reply::Reply;

/// Takes a batch of blue documents.
pub(super) async fn insert(call: Call, manner: Manner) -> Result<(Call, Vec<insert::Verdict>, Option<String>), Reply> {
    let documents = call.documents()?;
    let audited = call.auto_audit(true)?;
    let mut read = Vec::with_capacity(documents.len());
    let mut refusals = Vec::new();
    for json in &documents {
        match read::document(json, Form::Blue) {
            Ok(document) => read.push(document),
            Err(faults) => refusals.push(Refusal::faults(&serial_of(json), &faults)),
        }
    }
    if !refusals.is_empty() {
        return Err(verdict::refused(&refusals));
    }
    let serials: Vec<String> = read.iter().map(|document| document.serial.clone()).collect();
    let deliveries = Deliveries::read(&call, &serials)?;
    let mut incoming = Vec::with_capacity(read.len());
    for document in read {
        let delivery = deliveries.of(&document.serial);
        incoming.push(incoming_of(&call, document, manner, delivery, None)?);
    }
    let batch = batch(&call, incoming, audited);
    let verdicts = call.change(move |session| Box::pin(async move { insert::insert(session, &batch).await })).await?;
    Ok((call, verdicts, deliveries.refused))
}

/// A batch of this caller.
pub(super) fn batch(call: &Call, documents: Vec<Incoming>, audited: bool) -> Batch {
    let switches = &call.known.caller.switches;
    Batch {
        tenant: call.tenant().id.clone(),
        appid: call.known.caller.appid.clone(),
        interface: call.interface.name,
        documents,
        audited,
        suspected: switches.suspected,
        reissue_on_repeat: switches.reissue_on_repeat,
    }
}

/// The serial number of a document that could not be read.
pub(super) fn serial_of(json: &Json) -> String {
    json.get("FPQQLSH").and_then(Json::scalar).unwrap_or_default().chars().take(40).collect()
}

/// What a document asks for. Its faults are kept: a repeat is answered whatever they are.
pub(super) fn incoming_of(
    call: &Call,
    document: Document,
    manner: Manner,
    delivery: Delivery,
    qr: Option<QrCode>,
) -> Result<Incoming, Reply> {
    making::incoming(&call.portal, call.tenant(), document, manner, Priority::Bulk, delivery, qr).map_err(|_| Reply::busy())
}
