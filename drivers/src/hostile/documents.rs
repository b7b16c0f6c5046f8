//! Answers of components: every reader of a NISEC and of an SKServer answer over the same bytes, each believing that they are
//! for it.
//!
//! A document has no checksum, so a digit that was damaged is another digit. What can be noticed is one that was cut, so that
//! must never read as a clean answer.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::calls::short;
use crate::dialects::nisec::document::commands::fpcx::{MAX_RANGE, Range};
use crate::dialects::nisec::document::commands::fpzf::Target;
use crate::dialects::nisec::document::commands::{fpcx, fpkj, fpzf, gpxxcx, jksjcx, skpxxcx, szsmcx};
use crate::dialects::nisec::document::{AnswerError, MAX_ELEMENTS, Shape, parse};
use crate::dialects::skserver::commands::{current, issue, key, limits, purchased, query, void};
use crate::disk::{DiskError, FoundInvoice, Signed};

const KIND: InvoiceKind = InvoiceKind::PaperOrdinary;
const SERIAL: &str = "T0000000000000000001";

fn pair() -> NumberPair {
    "1100000320 00000088".parse().expect("a code and a number")
}

fn range() -> Range {
    Range { code: pair().code, first: pair().predecessor().expect("not the first").number, last: pair().number }
}

/// Text that the parser made must have come from somewhere.
fn bounded<T: std::fmt::Debug>(bytes: &[u8], answer: &Result<T, AnswerError>) {
    if let Err(error) = answer {
        short(&DiskError::from(error.clone()));
    } else {
        // `Debug` writes names of fields and escapes; a parser that multiplies its input would be far above.
        let most = 4096 + bytes.len() * 64;
        let shown = format!("{answer:?}").len();
        assert!(shown <= most, "{shown} characters out of {} bytes", bytes.len());
    }
}

fn invoices(bytes: &[u8], answer: &Result<Vec<FoundInvoice>, AnswerError>, most: usize) {
    bounded(bytes, answer);
    if let Ok(found) = answer {
        assert!(found.len() <= most, "{} invoices", found.len());
    }
}

/// The document without its end is no document, unless what is cut off follows the document.
fn cut_is_noticed(bytes: &[u8], read: &dyn Fn(&[u8]) -> Option<Signed>) {
    if read(bytes).is_none_or(|signed| signed.pair != pair()) || bytes.windows(2).any(|pair| pair == b"<!") {
        return;
    }
    let Some(end) = bytes.windows(2).rposition(|pair| pair == b"</") else { return };
    for part in [end, end / 2, end - end / 4] {
        assert!(read(&bytes[..part]).is_none(), "an answer that was cut at {part} is read as a clean one");
    }
}

/// Answers of the NISEC component.
pub(super) fn nisec(bytes: &[u8]) {
    let net = "200.00".parse().expect("an amount");
    let issued = fpkj::answer(bytes, KIND, net);
    bounded(bytes, &issued);
    cut_is_noticed(bytes, &|part| fpkj::answer(part, KIND, net).ok());
    invoices(bytes, &fpcx::answer(bytes, KIND, range()), MAX_RANGE as usize);
    for target in [Target::Blank(pair()), Target::Issued(pair(), net)] {
        bounded(bytes, &fpzf::answer(bytes, KIND, target));
    }
    bounded(bytes, &gpxxcx::answer(bytes, KIND));
    bounded(bytes, &jksjcx::answer(bytes, KIND));
    bounded(bytes, &skpxxcx::answer(bytes));
    bounded(bytes, &szsmcx::answer(bytes, KIND));
}

/// Answers of an SKServer.
pub(super) fn skserver(bytes: &[u8]) {
    let net = "200.00".parse().expect("an amount");
    let disk = "661500000001".parse().expect("a disk number");
    let read = |part: &[u8]| issue::answer(part, KIND, net, SERIAL);
    bounded(bytes, &read(bytes));
    cut_is_noticed(bytes, &|part| read(part).ok());
    invoices(bytes, &query::numbers(bytes, KIND, &disk, range()), MAX_RANGE as usize);
    let by_serial = query::request(bytes, KIND, &disk, SERIAL);
    invoices(bytes, &by_serial, MAX_ELEMENTS);
    if let Ok(found) = &by_serial {
        let foreign = |invoice: &FoundInvoice| invoice.request_id.as_deref().is_some_and(|told| told != SERIAL);
        assert!(!found.iter().any(foreign), "an invoice of another request");
    }
    for target in [Target::Blank(pair()), Target::Issued(pair(), net)] {
        bounded(bytes, &void::answer(bytes, KIND, target));
    }
    bounded(bytes, &current::answer(bytes, KIND));
    bounded(bytes, &purchased::answer(bytes, KIND));
    bounded(bytes, &limits::answer(bytes, KIND));
    bounded(bytes, &key::answer(bytes));
    let _ = parse(bytes, Shape::Output);
}
