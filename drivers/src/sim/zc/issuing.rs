//! Commands 0A, 0B, 0C in type 0x10. device-serial-zc.md, sections 6, 6.2 and 6.3.

use taxdisk_protocol::number::NumberPair;

use super::fields::{Fields, Writer};
use crate::sim::disk::{Access, SimDisk};
use crate::sim::issue::{IssueOrder, Saving};
use crate::sim::ledger::{EntryLine, EntryStatus, LedgerEntry, Origin};
use crate::sim::refusal::{Refusal, WRONG_OPERATION, WRONG_VOID};

/// Head of 0A before the lines.
const HEAD: usize = 236;
/// One line.
const LINE: usize = 98;
/// Everything of 0A but the lines.
const HEAD_AND_TAIL: usize = 404;

/// What 0A says, and the two passwords in it.
pub(super) struct ParsedIssue {
    pub(super) order: IssueOrder,
    taxpayer: String,
    disk: String,
    password: String,
    certificate: String,
    machine: String,
}

/// Reads the data of 0A. Also used to let another program issue the same invoice first.
pub(super) fn parse_issue(data: &[u8], disk: &SimDisk) -> Result<ParsedIssue, Refusal> {
    if data.len() < HEAD {
        return Err(Refusal::jsk(3003));
    }
    let mut fields = Fields::unchecked(data);
    let certificate = fields.text(8);
    let (taxpayer, _seller_name) = (fields.text(20), fields.text(80));
    let (number, password) = (fields.text(12), fields.text(8));
    let kind = fields.text(3);
    let red = match fields.text(1).as_str() {
        "0" => false,
        "1" => true,
        _ => return Err(WRONG_OPERATION),
    };
    let (buyer_number, buyer_name) = (fields.text(20), fields.text(80));
    let count: usize = fields.text(4).parse().map_err(|_| Refusal::jsk(3003))?;
    if data.len() != HEAD_AND_TAIL + LINE * count {
        return Err(Refusal::jsk(3003));
    }
    let lines = (0..count).map(|_| line(&mut fields)).collect::<Result<Vec<_>, _>>()?;
    let (net, tax, gross) = (fields.amount(12)?, fields.amount(12)?, fields.amount(12)?);
    let (remark, clerk) = (fields.text(80), fields.text(20));
    let (code, original_number, machine) = (fields.text(12), fields.text(8), fields.text(12));
    let original = code.parse().ok().zip(original_number.parse().ok()).map(|(code, number)| NumberPair { code, number });
    Ok(ParsedIssue {
        order: IssueOrder {
            kind: disk.licensed(&kind)?,
            red,
            buyer_number,
            buyer_name,
            lines,
            net,
            tax,
            gross,
            remark,
            clerk,
            original,
            origin: Origin::Host,
            ..IssueOrder::default()
        },
        taxpayer,
        disk: number,
        password,
        certificate,
        machine,
    })
}

fn line(fields: &mut Fields<'_>) -> Result<EntryLine, Refusal> {
    Ok(EntryLine {
        name: fields.text(20),
        price: fields.fixed(12, 3)?,
        quantity: fields.fixed(12, 3)?,
        net: fields.amount(12)?,
        rate: fields.fixed(6, 2)?,
        tax: fields.amount(12)?,
        gross_price: fields.fixed(12, 3)?,
        gross: fields.amount(12)?,
        ..EntryLine::default()
    })
}

/// 0A.
pub(super) fn issue(data: &[u8], disk: &mut SimDisk, saving: Saving) -> Result<Vec<u8>, Refusal> {
    let parsed = parse_issue(data, disk)?;
    disk.admit(Access {
        taxpayer: Some(&parsed.taxpayer),
        disk: Some(&parsed.disk),
        password: Some(&parsed.password),
        machine: Some(&parsed.machine),
    })?;
    let entry = disk.issue(&parsed.order, Some(&parsed.certificate), saving)?;
    Ok(Writer::default()
        .show(entry.kind, 3)
        .show(entry.code, 12)
        .show(entry.number, 8)
        .show(entry.time, 14)
        .text(&entry.fiscal_code, 20)
        .text(&entry.signature, 512)
        .done())
}

/// 0B. For a blank the code and number of the request are ignored: it burns the current one.
pub(super) fn void(data: &[u8], disk: &mut SimDisk, saving: Saving) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[104])?;
    let (taxpayer, number, password) = (fields.text(20), fields.text(12), fields.text(8));
    let (kind, certificate, what) = (fields.text(3), fields.text(8), fields.text(1));
    let (code, invoice_number) = (fields.text(12), fields.text(8));
    let (operator, machine) = (fields.text(20), fields.text(12));
    disk.admit(Access { taxpayer: Some(&taxpayer), disk: Some(&number), password: Some(&password), machine: Some(&machine) })?;
    let kind = disk.licensed(&kind)?;
    let (pair, mark) = match what.as_str() {
        "0" => {
            let entry = disk.void_blank(kind, &operator, Some(&certificate), saving)?;
            (entry.pair(), entry.voided)
        }
        "1" => {
            let pair = pair(&code, &invoice_number)?;
            (pair, Some(disk.void_issued(kind, pair, &operator, Some(&certificate), Origin::Host)?))
        }
        _ => return Err(WRONG_VOID),
    };
    let mut writer = Writer::default();
    writer.show(kind, 3).show(pair.code, 12).show(pair.number, 8);
    writer.maybe(mark.as_ref().map(|mark| mark.time), 14).maybe(mark.map(|mark| mark.signature), 512);
    Ok(writer.done())
}

/// 0C: one invoice by its code and first number, whatever became of it.
pub(super) fn query(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[74])?;
    let (taxpayer, number, password) = (fields.text(20), fields.text(12), fields.text(8));
    let (kind, how) = (fields.text(3), fields.text(1));
    disk.admit(Access { taxpayer: Some(&taxpayer), disk: Some(&number), password: Some(&password), machine: None })?;
    match how.as_str() {
        "0" => {}
        "1" => return Err(Refusal::plain("不支持时间段查询方式!")),
        _ => return Err(Refusal::plain("非法查询方式!")),
    }
    let kind = disk.licensed(&kind)?;
    let entry = disk.query(kind, pair(&fields.text(12), &fields.text(8))?)?;
    Ok(write_entry(entry, disk))
}

fn pair(code: &str, number: &str) -> Result<NumberPair, Refusal> {
    let code = code.parse().map_err(|_| Refusal::jsk(3003))?;
    let number = number.parse().map_err(|_| Refusal::jsk(3003))?;
    Ok(NumberPair { code, number })
}

fn write_entry(entry: &LedgerEntry, disk: &SimDisk) -> Vec<u8> {
    let config = disk.config();
    let issued = Some(entry.time).filter(|_| entry.status != EntryStatus::BlankVoid);
    let mut writer = Writer::default();
    writer
        .show(entry.code, 12)
        .show(entry.number, 8)
        .show(format_args!("{:02}", entry.status.code()), 2)
        .text(if disk.is_uploaded(entry) { "01" } else { "00" }, 2)
        .maybe(issued, 14)
        .text(&entry.fiscal_code, 20)
        .text(&config.disk_number, 12)
        .text(&config.taxpayer_number, 20)
        .text(&config.taxpayer_name, 80)
        .text(&entry.buyer_number, 20)
        .text(&entry.buyer_name, 80)
        .show(entry.lines.len(), 4);
    for line in &entry.lines {
        writer
            .text(&line.name, 20)
            .text(&line.price, 12)
            .text(&line.quantity, 12)
            .show(line.net, 12)
            .text(&line.rate, 6)
            .show(line.tax, 12)
            .text(&line.gross_price, 12)
            .show(line.gross, 12);
    }
    // Where no original is named the device writes a number of zeros and no code; where nothing was voided it names the
    // clerk as the one who voided (the published vector shows both).
    let original = entry.original;
    let voided = entry.voided.as_ref();
    writer
        .show(entry.net, 12)
        .show(entry.tax, 12)
        .show(entry.gross, 12)
        .text(&entry.remark, 80)
        .text(&entry.clerk, 20)
        .maybe(original.map(|pair| pair.code), 12)
        .text(&original.map_or("00000000".to_owned(), |pair| pair.number.to_string()), 8)
        .maybe(voided.map(|mark| mark.time), 14)
        .text(voided.map_or(&entry.clerk, |mark| &mark.operator), 20)
        .text("", 12)
        .text(&entry.signature, 512)
        .done()
}
