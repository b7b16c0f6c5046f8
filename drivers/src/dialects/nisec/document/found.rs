//! An invoice that was read back (device-xml-and-usb.md, A.5).

use taxdisk_protocol::money::Amount;
use taxdisk_protocol::printed::Printed;

use super::errors::BadAnswer;
use super::fields::{Fields, bad};
use super::lines::read_lines;
use crate::disk::{FoundInvoice, NumberStatus};

/// Reads one group of a query's answer.
pub(crate) fn read_invoice(group: Fields<'_>) -> Result<FoundInvoice, BadAnswer> {
    let status = status(&group.text("fpzt")?)?;
    let sum = |name: &str| match status {
        NumberStatus::BlankVoid => group.amount(name),
        _ => group.required::<Amount>(name),
    };
    let found = FoundInvoice {
        pair: group.pair("fpdm", "fphm")?,
        status,
        issued_at: issued_at(group)?,
        fiscal_code: group.text("skm")?,
        buyer_name: group.text("ghdwmc")?,
        buyer_number: group.text("ghdwsbh")?,
        lines: read_lines(group)?,
        net: sum("hjje")?,
        tax: sum("hjse")?,
        gross: sum("jshj")?,
        remark: group.text("bz")?,
        clerk: group.text("kpr")?,
        voided_at: group.told("zfrq")?.filter(|time| time.bytes().any(|digit| digit != b'0')),
        signature: group.text("qmz")?,
        printed: printed(group),
        original: group.told_pair("yfpdm", "yfphm")?,
        request_id: group.told("fpqqlsh")?,
        buyer_address_phone: group.text("ghdwdzdh")?,
        buyer_bank_account: group.text("ghdwyhzh")?,
    };
    match found.unreadable() {
        Some(why) => Err(BadAnswer(why)),
        None => Ok(found),
    }
}

/// jym, fp_mw and ewm, where the component gives them. One that cannot be read is left out: the invoice stands without it.
pub(crate) fn printed(fields: Fields<'_>) -> Printed {
    let text = |name: &str| fields.text(name).unwrap_or_default();
    Printed::new(&text("jym"), &text("fp_mw"), &text("ewm"))
}

/// kprq is 8 digits with kpsj beside it; some write all 14 into kprq.
fn issued_at(group: Fields<'_>) -> Result<String, BadAnswer> {
    let day = group.text("kprq")?;
    if day.len() != 8 {
        return Ok(day);
    }
    Ok(day + &group.text("kpsj")?)
}

fn status(text: &str) -> Result<NumberStatus, BadAnswer> {
    match text {
        "0" | "00" => Ok(NumberStatus::Positive),
        "1" | "01" => Ok(NumberStatus::Negative),
        "2" | "02" => Ok(NumberStatus::BlankVoid),
        "3" | "03" => Ok(NumberStatus::PositiveVoid),
        "4" | "04" => Ok(NumberStatus::NegativeVoid),
        other => Err(bad("fpzt", other)),
    }
}
