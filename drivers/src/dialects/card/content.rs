//! What of an invoice the card signs, and what it cannot hold: amounts by tax index, nothing else.

use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Widths};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::invoice::Line;
use taxdisk_protocol::money::{Amount, TaxRate};

use super::apdu::issue::{Invoice, MAX_INDEXES, Type};
use super::config::CardConfig;
use super::errors::own_error;
use crate::disk::{DiskError, IssueRequest};

/// The widest amount: 4,294,967,295 fen.
const AMOUNT_CHARACTERS: u16 = "42949672.95".len() as u16;

/// Widths of what is printed elsewhere: those of a paper invoice.
const PRINTED: Widths = Widths {
    party_name: 100,
    taxpayer_number: 20,
    address_phone: Some(100),
    bank_account: Some(100),
    item_name: 92,
    specification: Some(40),
    unit: Some(20),
    remark: 230,
    person: 20,
    amount: AMOUNT_CHARACTERS,
    price: 20,
};

/// The card itself has none of it.
const NOTHING: Widths = Widths {
    party_name: 0,
    taxpayer_number: 0,
    address_phone: None,
    bank_account: None,
    item_name: 0,
    specification: None,
    unit: None,
    remark: 0,
    person: 0,
    amount: AMOUNT_CHARACTERS,
    price: 0,
};

pub(super) fn capabilities(config: &CardConfig) -> Capabilities {
    Capabilities {
        characters: CharacterSet::Gbk,
        widths: if config.content_is_printed_elsewhere { PRINTED } else { NOTHING },
        max_lines: MAX_INDEXES as u16,
        discount_lines: false,
        goods_codes: config.content_is_printed_elsewhere,
        price_decimals: if config.content_is_printed_elsewhere { 8 } else { 0 },
        rate_decimals: TaxRate::MAX_DECIMALS as u8,
        single_person: false,
        remark_readable: false,
        // The number goes with the command, the code does not, and nothing says that the card looks at it.
        carries_pair: false,
        // A return names no original, so nothing could prove what it reverses.
        red: false,
        operations: vec![DiskOperation::BlankVoid, DiskOperation::Report],
        finds_request: false,
        numbers_readable: false,
    }
}

fn refuse(field: &str, problem: impl std::fmt::Display) -> DiskError {
    own_error(DeviceClass::InvalidRequest, format!("{field}: {problem}"))
}

/// Refuses what the card would lose.
pub(super) fn check(request: &IssueRequest<'_>, config: &CardConfig) -> Result<(), DiskError> {
    if request.red.is_some() {
        return Err(DiskError::unsupported("a fiscal card cannot name the invoice that a red one reverses"));
    }
    if config.content_is_printed_elsewhere {
        return Ok(());
    }
    let invoice = request.invoice;
    let buyer_number = invoice.buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str());
    let head = [
        ("buyer.name", invoice.buyer.name.as_str()),
        ("buyer.taxpayer_number", buyer_number),
        ("buyer.address_phone", &invoice.buyer.address_phone),
        ("buyer.bank_account", &invoice.buyer.bank_account),
        ("remark", request.remark),
        ("clerk", &invoice.clerk),
        ("payee", &invoice.payee),
        ("reviewer", &invoice.reviewer),
    ];
    let lines = invoice.lines.iter().flat_map(|line| {
        let code = line.goods_code.as_ref().map_or("", |_| "set");
        [
            ("lines.name", line.name.as_str()),
            ("lines.unit", &line.unit),
            ("lines.specification", &line.specification),
            ("lines.goods_code", code),
        ]
    });
    match head.into_iter().chain(lines).find(|(_, text)| !text.is_empty()) {
        Some((field, _)) => Err(refuse(field, "a fiscal card keeps amounts only: leave it out, or use another disk")),
        None => Ok(()),
    }
}

/// Sums by tax index, tax included; discounts are taken off.
pub(super) fn signed_part(request: &IssueRequest<'_>, config: &CardConfig) -> Result<Invoice, DiskError> {
    // The card itself would add them up by tax index; what is declared holds all the same.
    let lines = request.invoice.lines.len();
    if lines > MAX_INDEXES {
        return Err(refuse("lines", format!("{lines} lines, more than the {MAX_INDEXES} that are promised for a fiscal card")));
    }
    let mut sums: Vec<(u8, Amount)> = Vec::new();
    let mut total = Amount::ZERO;
    for (place, line) in request.invoice.lines.iter().enumerate() {
        let at = |field: &str| format!("lines[{place}].{field}");
        let index = index_of(line, config)
            .ok_or_else(|| refuse(&at("rate"), format!("{} stands for no tax index of this card", line.rate.decimal())))?;
        let gross = line.net.checked_add(line.tax).ok_or_else(|| refuse(&at("net"), "out of range"))?;
        total = total.checked_add(gross).ok_or_else(|| refuse(&at("net"), "the sum is out of range"))?;
        match sums.iter_mut().find(|(known, _)| *known == index) {
            Some((_, sum)) => *sum = sum.checked_add(gross).ok_or_else(|| refuse(&at("net"), "the sum is out of range"))?,
            None => sums.push((index, gross)),
        }
    }
    if total != request.invoice.totals.gross {
        return Err(refuse("totals.gross", format!("the lines sum to {total}, not to {}", request.invoice.totals.gross)));
    }
    if sums.len() > MAX_INDEXES || sums.is_empty() {
        return Err(refuse("lines", format!("{} tax rates; this card takes 1 to {MAX_INDEXES} on one invoice", sums.len())));
    }
    let fen = |amount: Amount| match u32::try_from(amount.fen()) {
        Ok(fen) if fen > 0 => Ok(fen),
        _ => Err(refuse("totals.gross", format!("{amount} is not above zero, or too much for this card (42949672.95)"))),
    };
    let amounts = sums.into_iter().map(|(index, sum)| Ok((index, fen(sum)?))).collect::<Result<_, DiskError>>()?;
    let number = request.expected.number.value();
    Ok(Invoice { date: bcd((config.today)()), kind: Type::Normal, number, amounts, total: fen(total)? })
}

fn index_of(line: &Line, config: &CardConfig) -> Option<u8> {
    config.tax_indexes.iter().find(|(_, rate)| *rate == line.rate).map(|(index, _)| *index)
}

/// A date in BCD. The year has four digits.
pub(super) fn bcd(date: jiff::civil::Date) -> [u8; 4] {
    let pair = |value: u8| ((value / 10) << 4) | (value % 10);
    let year = date.year().rem_euclid(10_000);
    [pair((year / 100) as u8), pair((year % 100) as u8), pair(date.month() as u8), pair(date.day() as u8)]
}
