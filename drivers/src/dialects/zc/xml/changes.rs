//! Documents of the changing commands besides issuing: FPZF, SJCB, JKHC, LXXXXP.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::super::commands::report::Route;
use super::super::commands::void::Target;
use super::super::commands::{Subject, clear, refresh_offline, report};
use super::super::fields::{BadAnswer, FieldError};
use super::document::Document;
use super::{expect_kind, output, pair};
use crate::secret::Secret;

/// 0B.
pub(in super::super) fn void(
    subject: &Subject<'_>,
    certificate_password: &Secret,
    kind: InvoiceKind,
    target: Target,
    pair: NumberPair,
    operator: &str,
) -> Result<Vec<u8>, FieldError> {
    let mut document = Document::new("FPZF", "发票作废");
    document
        .common(subject, kind)
        .password("certificate password", "zskl", certificate_password)
        .text("", "zflx", target.digit(), 1)
        .text("code", "fpdm", pair.code.as_str(), 12)
        .text("number", "fphm", &pair.number.to_string(), 8)
        .text("operator", "zfr", operator, 20);
    document.finish()
}

/// The time of voiding, where the disk tells.
pub(in super::super) fn voided(data: &[u8], kind: InvoiceKind, expected: NumberPair) -> Result<Option<String>, BadAnswer> {
    let output = output(data, "FPZF")?;
    expect_kind(&output, kind)?;
    let voided = pair(&output)?;
    if voided != expected {
        return Err(BadAnswer(format!("the disk says that it voided {voided}, {expected} was asked for")));
    }
    Ok(output.told("zfrq"))
}

/// 11.
pub(in super::super) fn report(subject: &Subject<'_>, kind: InvoiceKind, route: Route) -> Result<Vec<u8>, FieldError> {
    let mut document = Document::new("SJCB", "数据抄报");
    document.common(subject, kind).text("", "jzlx", route.digit(), 1);
    document.finish()
}

/// 12.
pub(in super::super) fn clear(subject: &Subject<'_>, kind: InvoiceKind) -> Result<Vec<u8>, FieldError> {
    plain("JKHC", "网络监控回传", subject, kind)
}

/// 15.
pub(in super::super) fn refresh_offline(subject: &Subject<'_>, kind: InvoiceKind) -> Result<Vec<u8>, FieldError> {
    plain("LXXXXP", "离线权限更新", subject, kind)
}

/// A good answer to 11, 12 or 15. What else stands in it is not looked at: only reading proves what came of it.
pub(in super::super) fn done(data: &[u8], code: u8) -> Result<(), BadAnswer> {
    let id = match code {
        report::CODE => "SJCB",
        clear::CODE => "JKHC",
        refresh_offline::CODE => "LXXXXP",
        _ => return Err(BadAnswer(format!("the command {code:02X} has no document"))),
    };
    output(data, id).map(drop)
}

fn plain(id: &str, comment: &str, subject: &Subject<'_>, kind: InvoiceKind) -> Result<Vec<u8>, FieldError> {
    let mut document = Document::new(id, comment);
    document.common(subject, kind);
    document.finish()
}
