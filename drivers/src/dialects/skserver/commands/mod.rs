//! The commands, one file each: a function that makes the request and one that reads the answer (B.3).

pub mod current;
pub mod issue;
pub mod key;
pub mod limits;
pub mod purchased;
pub mod query;
pub mod void;

use taxdisk_protocol::kind::InvoiceKind;

use crate::dialects::nisec::document::{AnswerError, Element, Shape, Writer, parse};

/// 开票终端标识, as wide as names of that kind are.
const TERMINAL_BYTES: usize = 40;

/// A document that begins with kpzdbs and fplxdm, as all about one disk do.
fn begin(id: &'static str, comment: &str, terminal: &str, kind: InvoiceKind) -> Writer {
    let mut writer = Writer::server(id, comment);
    if terminal.is_empty() {
        writer.refuse("terminal", "kpzdbs is not configured: it says which disk of the server is meant");
    }
    writer.text("kpzdbs", "terminal", terminal, TERMINAL_BYTES);
    writer.plain("fplxdm", kind.fplxdm());
    writer
}

/// Reads the fields of a good answer to a command.
fn fields(bytes: &[u8], id: &str) -> Result<Element, AnswerError> {
    parse(bytes, Shape::ReturnData)?.success(id)
}
