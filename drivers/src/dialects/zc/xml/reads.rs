//! Documents of the reading commands: SKSBBH, SKPXXCX, JKSJCX, SQSLCX, GPXXCX, HQLXSJ.

use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::{Amount, TaxRate};
use taxdisk_protocol::number::NumberPair;

use super::super::commands::Subject;
use super::super::fields::{BadAnswer, FieldError};
use super::document::Document;
use super::{expect_kind, output};
use crate::disk::{Identity, Limits, OfflineTotals, Stock};
use crate::secret::Secret;

/// 02.
pub(in super::super) fn disk_number(machine: &str) -> Result<Vec<u8>, FieldError> {
    let mut document = Document::new("SKSBBH", "税控设备编号查询");
    document.text("machine number", "jqbh", machine, 12);
    document.finish()
}

pub(in super::super) fn number(data: &[u8]) -> Result<DiskNumber, BadAnswer> {
    output(data, "SKSBBH")?.value("sksbbh")
}

/// 04.
pub(in super::super) fn disk_info(password: &Secret, machine: &str) -> Result<Vec<u8>, FieldError> {
    let mut document = Document::new("SKPXXCX", "税控盘信息查询");
    document.text("machine number", "jqbh", machine, 12).password("disk password", "sksbkl", password);
    document.finish()
}

pub(in super::super) fn identity(data: &[u8]) -> Result<Identity, BadAnswer> {
    let output = output(data, "SKPXXCX")?;
    let taxpayer = TaxpayerNumber::from_device(&output.text("nsrsbh"))
        .map_err(|error| BadAnswer(format!("the disk's answer has a taxpayer number that cannot be read: {error}")))?;
    let kinds = output.text("fplxdm");
    let kinds = kinds.as_bytes().chunks(3).filter_map(|code| std::str::from_utf8(code).ok()?.parse::<InvoiceKind>().ok());
    Ok(Identity {
        disk: output.value("sksbbh")?,
        taxpayer,
        taxpayer_name: output.text("nsrmc"),
        kinds: kinds.collect(),
        clock: output.told("dqsz"),
        version: output.text("bbh"),
    })
}

/// 06.
pub(in super::super) fn limits(subject: &Subject<'_>, kind: InvoiceKind) -> Result<Vec<u8>, FieldError> {
    common("JKSJCX", "监控数据查询", subject, kind)
}

pub(in super::super) fn limits_of(data: &[u8], kind: InvoiceKind) -> Result<Limits, BadAnswer> {
    let output = output(data, "JKSJCX")?;
    expect_kind(&output, kind)?;
    let (from, to) = (output.text("bsqsrq"), output.text("bszzrq"));
    Ok(Limits {
        issue_deadline: output.told("kpjzsj"),
        period: (!from.is_empty() || !to.is_empty()).then_some((from, to)),
        invoice_limit: output.told_value("dzkpxe")?,
        upload_day: output.told_value("scjzrq")?,
        offline_hours: output.told_value("lxkpsc")?,
        offline_amount: output.told_value("lxzsljje")?,
    })
}

/// 07.
pub(in super::super) fn rates(subject: &Subject<'_>, kind: InvoiceKind) -> Result<Vec<u8>, FieldError> {
    common("SQSLCX", "授权税率查询", subject, kind)
}

pub(in super::super) fn rates_of(data: &[u8], kind: InvoiceKind) -> Result<Vec<TaxRate>, BadAnswer> {
    let output = output(data, "SQSLCX")?;
    expect_kind(&output, kind)?;
    let Some(list) = output.child("sqslxx") else { return Err(BadAnswer("the answer has no list of tax rates".to_owned())) };
    list.all("group").map(|group| group.value("sl")).collect()
}

/// 08.
pub(in super::super) fn stock(subject: &Subject<'_>, kind: InvoiceKind) -> Result<Vec<u8>, FieldError> {
    common("GPXXCX", "购票信息查询", subject, kind)
}

pub(in super::super) fn stock_of(data: &[u8], kind: InvoiceKind) -> Result<Stock, BadAnswer> {
    let output = output(data, "GPXXCX")?;
    expect_kind(&output, kind)?;
    let current = NumberPair { code: output.value("dqfpdm")?, number: output.value("dqfphm")? };
    Ok(Stock { current, remaining: output.value("zsyfs")? })
}

/// 30. The document has no fields.
pub(in super::super) fn offline() -> Result<Vec<u8>, FieldError> {
    Document::new("HQLXSJ", "获取离线数据").finish()
}

pub(in super::super) fn offline_of(data: &[u8]) -> Result<OfflineTotals, BadAnswer> {
    let output = output(data, "HQLXSJ")?;
    let count = output.value("wscfpzs")?;
    let first = output.told("wscfpsj");
    match (count, output.told_value("wscfpljje")?) {
        (0, None) => Ok(OfflineTotals { count, first, sum: Amount::ZERO }),
        (_, Some(sum)) => Ok(OfflineTotals { count, first, sum }),
        (_, None) => Err(BadAnswer(format!("the disk tells {count} invoices that wait for upload, but not their sum"))),
    }
}

fn common(id: &str, comment: &str, subject: &Subject<'_>, kind: InvoiceKind) -> Result<Vec<u8>, FieldError> {
    let mut document = Document::new(id, comment);
    document.common(subject, kind);
    document.finish()
}
