//! A component between a client and the disk: one document in, one delivery out, with everything that can go wrong between.
//!
//! `perform` is the same for every door: the HTTP server (`door.rs`) and the filter ([`super::bridge`]). It holds the disk
//! only while a document executes, never while it waits, so that a hung command can execute after its client asked somebody
//! else: there is no fence behind a component.

pub(super) mod door;
pub mod faults;
pub(super) mod http;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::door::{HttpOptions, SKSERVER_PATH};
use self::faults::garbage;
pub use self::faults::{ComponentFault, ComponentFaultKind, ComponentFaults};
use super::disk::SimDisk;
use super::faults::{ForeignContent, When};
use super::issue::IssueOrder;
use super::markup::{Encoding, Markup};
use super::nisec::{self, NisecOptions};
use super::skserver::{self, SkServerOptions};

/// Which component it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The disk's component.
    Nisec(NisecOptions),
    /// The tax-control server.
    SkServer(SkServerOptions),
}

impl Dialect {
    fn business_id(&self, document: &[u8]) -> String {
        let id = match self {
            Dialect::Nisec(_) => nisec::business_id(document),
            Dialect::SkServer(_) => skserver::business_id(document),
        };
        id.unwrap_or_default()
    }

    fn order_of(&self, document: &[u8], disk: &SimDisk) -> Option<IssueOrder> {
        match self {
            Dialect::Nisec(_) => nisec::order_of(document, disk),
            Dialect::SkServer(_) => skserver::order_of(document, disk),
        }
    }

    fn answer(&self, document: &[u8], disk: &mut SimDisk) -> Vec<u8> {
        match self {
            Dialect::Nisec(options) => nisec::answer_with(disk, document, options),
            Dialect::SkServer(options) => skserver::answer(disk, document, options),
        }
    }

    fn refusal(&self, code: &str, text: &str) -> Vec<u8> {
        let mut markup = Markup::default();
        let (inner, encoding) = match self {
            Dialect::Nisec(options) => (Some("output"), options.encoding),
            Dialect::SkServer(options) => (None, options.encoding),
        };
        markup.open("business").open_with("body", "yylxdm", 1);
        inner.iter().for_each(|name| {
            markup.open(name);
        });
        markup.field("returncode", code).field("returnmsg", text);
        inner.iter().for_each(|name| {
            markup.close(name);
        });
        markup.close("body").close("business").document(encoding, encoding)
    }
}

/// What the components of a simulator have seen since it was started, by business id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentCounters {
    /// Documents that arrived.
    pub received: BTreeMap<String, u64>,
    /// Documents that were executed. Behind a stall this lags, and after a restart it stays behind.
    pub executed: BTreeMap<String, u64>,
}

/// Most different ids that are counted: a hostile client must not fill the memory.
const MAX_COUNTED_IDS: usize = 100;

impl ComponentCounters {
    pub(super) fn count(map: &mut BTreeMap<String, u64>, id: &str) {
        if map.len() < MAX_COUNTED_IDS || map.contains_key(id) {
            *map.entry(id.to_owned()).or_default() += 1;
        }
    }
}

/// Where a document is performed: who has the disk, how to wait, how to restart.
pub(super) trait Stage {
    /// Takes the faults that fire, and counts the document as received.
    fn receive(&self, id: &str) -> Vec<ComponentFaultKind>;
    /// Works on the disk; `None` when it is gone for good.
    fn with_disk<T>(&self, work: impl FnOnce(&mut SimDisk) -> T) -> Option<T>;
    /// Executes on the disk and counts it, unless the component restarted since this document arrived.
    fn execute(&self, id: &str, work: impl FnOnce(&mut SimDisk) -> Vec<u8>) -> Option<Vec<u8>>;
    /// Waits; `false` when the component restarted meanwhile.
    fn pause(&self, time: Duration) -> bool;
    /// The component ends, and nobody listens for so long.
    fn restart(&self, off: Duration);
}

/// What reaches the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery {
    /// HTTP status.
    pub(super) status: u16,
    /// Its Content-Type.
    pub(super) kind: &'static str,
    /// The whole body.
    pub(super) body: Vec<u8>,
    /// Only so many bytes of it arrive, then the connection ends.
    pub(super) cut_after: Option<usize>,
}

impl Delivery {
    fn document(body: Vec<u8>) -> Delivery {
        Delivery { status: 200, kind: "text/xml", body, cut_after: None }
    }
}

/// Performs one document. `None` = the connection is closed without a byte.
pub(super) fn perform(stage: &impl Stage, dialect: &Dialect, document: &[u8]) -> Option<Delivery> {
    let id = dialect.business_id(document);
    let faults = stage.receive(&id);
    let issuing_time = stage.with_disk(|disk| disk.config().issue_time_ms)?;
    if !pauses(stage, &faults, When::Before) {
        return None;
    }
    if let Some(early) = deviation(stage, dialect, &faults, When::Before) {
        return early;
    }
    let issuing = matches!(id.as_str(), "FPKJ" | "10008");
    if issuing && !stage.pause(Duration::from_millis(issuing_time)) {
        return None;
    }
    let mut body = stage.execute(&id, |disk| {
        for fault in &faults {
            if let ComponentFaultKind::ForeignIssue { content } = fault {
                issue_foreign(content, dialect, document, disk);
            }
        }
        dialect.answer(document, disk)
    })?;
    if !pauses(stage, &faults, When::After) {
        return None;
    }
    if let Some(instead) = deviation(stage, dialect, &faults, When::After) {
        return instead;
    }
    let mut cut_after = None;
    for fault in &faults {
        match fault {
            ComponentFaultKind::CutAnswer { after_bytes } => cut_after = Some(*after_bytes),
            ComponentFaultKind::WrongEncoding => body = in_the_other_encoding(&body),
            ComponentFaultKind::NoReturncode => body = without(&body, "returncode"),
            ComponentFaultKind::NoPair => body = without(&without(&body, "fpdm"), "fphm"),
            _ => {}
        }
    }
    Some(Delivery { cut_after, ..Delivery::document(body) })
}

fn pauses(stage: &impl Stage, faults: &[ComponentFaultKind], wanted: When) -> bool {
    faults.iter().all(|fault| match fault {
        ComponentFaultKind::Stall { ms, when } if *when == wanted => stage.pause(Duration::from_millis(*ms)),
        _ => true,
    })
}

/// What comes in place of the answer: `Some(None)` = nothing at all.
#[allow(clippy::option_option, reason = "outer: whether there is a deviation; inner: whether it says anything")]
fn deviation(stage: &impl Stage, dialect: &Dialect, faults: &[ComponentFaultKind], wanted: When) -> Option<Option<Delivery>> {
    faults.iter().find_map(|fault| match fault {
        ComponentFaultKind::Restart { when, off_ms } if *when == wanted => {
            stage.restart(Duration::from_millis(*off_ms));
            Some(None)
        }
        ComponentFaultKind::LoseAnswer { when } if *when == wanted => Some(None),
        ComponentFaultKind::Html { status, when } if *when == wanted => {
            let body = b"<html><head><title>HTTP Status 500</title></head><body><h1>Internal Server Error</h1></body></html>";
            Some(Some(Delivery { status: *status, kind: "text/html", body: body.to_vec(), cut_after: None }))
        }
        ComponentFaultKind::Garbage { bytes, when } if *when == wanted => Some(Some(Delivery::document(garbage(*bytes)))),
        ComponentFaultKind::Refuse { code, text, when } if *when == wanted => {
            Some(Some(Delivery::document(dialect.refusal(code, text))))
        }
        _ => None,
    })
}

fn issue_foreign(content: &ForeignContent, dialect: &Dialect, document: &[u8], disk: &mut SimDisk) {
    let order = match content {
        ForeignContent::Invoice(order) => Some(order.clone()),
        ForeignContent::SameAsNext(remark) => dialect.order_of(document, disk).map(|mut order| {
            order.remark = remark.clone().unwrap_or(order.remark);
            order.details.request_id.clear();
            order
        }),
    };
    // What the disk refuses to the other program is that program's trouble.
    let _ = order.map(|order| disk.issue_foreign(&order));
}

fn in_the_other_encoding(document: &[u8]) -> Vec<u8> {
    let (text, other) = match Encoding::declared(document) {
        Encoding::Gbk => (encoding_rs::GBK.decode_without_bom_handling(document).0, Encoding::Utf8),
        Encoding::Utf8 => (String::from_utf8_lossy(document), Encoding::Gbk),
    };
    other.encode(&text)
}

/// The document without the first element of that name. Names are ASCII, and no GBK character holds a `<`.
fn without(document: &[u8], name: &str) -> Vec<u8> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let find = |what: &str| document.windows(what.len()).position(|window| window == what.as_bytes());
    match (find(&open), find(&close)) {
        (Some(from), Some(to)) if from < to => [&document[..from], &document[to + close.len()..]].concat(),
        _ => document.to_vec(),
    }
}
