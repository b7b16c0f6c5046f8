//! Cuts a document into several invoices (yonyou-open-api.md, section 1.4): no part is above the ceiling of the disk that will
//! issue or has more lines than it takes, a discount pair is never torn, and net, tax and gross of the parts give the whole to
//! the cent.
//!
//! It is called once for a serial number, in the transaction that accepts it; the parts are stored and never computed again.

use rust_decimal::{Decimal, RoundingStrategy};
use sha2::{Digest as _, Sha256};

use super::derive::cents;
use super::{Document, Fault, Line, LineKind};

/// Parts at most: their serial numbers have two digits for it.
pub const MAX_PARTS: usize = 99;
/// Decimals of the quantity of a part.
const QUANTITY_DECIMALS: u32 = 6;

/// What one invoice can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Net amount at most; `None`: the disk names none.
    pub net: Option<Decimal>,
    /// Lines at most, a discount line counted as one.
    pub lines: usize,
}

/// Cuts a derived and paired document. One part: it is the document.
///
/// # Errors
/// The limits are too small for it.
pub fn split(document: &Document, limits: Limits) -> Result<Vec<Document>, Fault> {
    let mut parts: Vec<Vec<Line>> = Vec::new();
    let mut current = Vec::new();
    for unit in units(&document.lines) {
        for piece in pieces(unit, limits)? {
            let fits = current.len() + piece.len() <= limits.lines
                && limits.net.is_none_or(|most| net(&current) + net(&piece) <= most)
                // A deduction stands alone on its invoice.
                && (current.is_empty() || !deducts(&current) && !deducts(&piece));
            if !fits && !current.is_empty() {
                parts.push(std::mem::take(&mut current));
            }
            current.extend(piece);
        }
    }
    parts.push(current);
    if parts.len() > MAX_PARTS {
        return Err(Fault::new("items", "split", format!("按单张限额拆分后有 {} 张，最多 {MAX_PARTS} 张", parts.len())));
    }
    Ok(parts.into_iter().map(|lines| part(document, lines)).collect())
}

/// Serial number of the n-th part, counted from 1: at most 20 characters, the same whenever it is computed.
pub fn part_serial(tenant: &str, serial: &str, part: usize) -> String {
    let digest = Sha256::digest(format!("split-v1\n{tenant}\n{serial}\n{part}").as_bytes());
    let beginning: String = serial.chars().take(13).collect();
    format!("{beginning}S{part:02}{}", base32(&digest, 4))
}

/// Characters of 5 bits each: capital letters and digits without those that look alike.
pub fn base32(bytes: &[u8], length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bit = |index: usize| bytes[index / 8] >> (7 - index % 8) & 1;
    let letter = |at: usize| (0..5).fold(0, |value, index| value << 1 | bit(at * 5 + index));
    (0..length.min(bytes.len() * 8 / 5)).map(|at| char::from(ALPHABET[usize::from(letter(at))])).collect()
}

/// A plain line, or a line with its discount.
fn units(lines: &[Line]) -> Vec<&[Line]> {
    let mut units = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let length = if lines[at].kind == LineKind::Discounted { 2.min(lines.len() - at) } else { 1 };
        units.push(&lines[at..at + length]);
        at += length;
    }
    units
}

/// A unit, cut by its amount where it is above the ceiling.
fn pieces(unit: &[Line], limits: Limits) -> Result<Vec<Vec<Line>>, Fault> {
    let too_small = |what: &str| Fault::new("items", "split", format!("“{}”{what}", unit[0].name));
    if unit.len() > limits.lines {
        return Err(too_small("连同折扣行超过单张发票的行数"));
    }
    let Some(most) = limits.net.filter(|most| net(unit) > *most) else { return Ok(vec![unit.to_vec()]) };
    // A cent of room: the pieces are rounded to cents.
    let room = most - Decimal::new(1, 2);
    let count = (room > Decimal::ZERO).then(|| (net(unit) / room).ceil());
    let count = count.and_then(|count| u32::try_from(count).ok()).filter(|count| *count as usize <= MAX_PARTS);
    let count = count.ok_or_else(|| too_small("超过单张限额太多，无法拆分"))?;
    let piece = |index: u32| unit.iter().map(|line| cut(line, index, count)).collect();
    Ok((0..count).map(piece).collect())
}

/// The `index`-th of `count` pieces of a line. Sums of pieces are differences of rounded partial sums, so they give the whole.
fn cut(line: &Line, index: u32, count: u32) -> Line {
    let share = |whole: Decimal, decimals: u32| {
        let until = |index: u32| {
            let exact = whole * Decimal::from(index) / Decimal::from(count);
            exact.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero)
        };
        if index + 1 == count { whole - until(index) } else { until(index + 1) - until(index) }
    };
    let (net, tax) = (share(line.net.unwrap_or_default(), 2), share(line.tax.unwrap_or_default(), 2));
    let quantity = line.quantity.map(|quantity| share(quantity, QUANTITY_DECIMALS)).filter(|quantity| !quantity.is_zero());
    let price = quantity.and_then(|quantity| super::derive::derived_price(net, quantity));
    Line {
        net: Some(net),
        tax: Some(tax),
        gross: net + tax,
        quantity,
        price,
        deduction: line.deduction.map(|deduction| share(deduction, 2)),
        ..line.clone()
    }
}

fn part(document: &Document, lines: Vec<Line>) -> Document {
    let sum = |of: fn(&Line) -> Decimal| cents(lines.iter().map(of).sum());
    Document {
        gross: sum(|line| line.gross),
        net: Some(sum(|line| line.net.unwrap_or_default())),
        tax: Some(sum(|line| line.tax.unwrap_or_default())),
        lines,
        ..document.clone()
    }
}

fn net(lines: &[Line]) -> Decimal {
    lines.iter().map(|line| line.net.unwrap_or_default()).sum()
}

fn deducts(lines: &[Line]) -> bool {
    lines.iter().any(|line| line.deduction.is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::derive::derive;
    use super::*;

    fn document(lines: Vec<Line>) -> Document {
        derive(Document { gross: lines.iter().map(|line| line.gross).sum(), lines, ..Document::default() }).unwrap()
    }

    fn line(fen: i64, kind: LineKind) -> Line {
        Line { kind, name: "货".to_owned(), gross: Decimal::new(fen, 2), rate: Decimal::new(13, 2), ..Line::default() }
    }

    #[test]
    fn pairs_stay_together_and_lines_are_counted() {
        let lines = vec![
            line(100, LineKind::Normal),
            line(200, LineKind::Discounted),
            line(-100, LineKind::Discount),
            line(300, LineKind::Normal),
        ];
        let parts = split(&document(lines), Limits { net: None, lines: 2 }).unwrap();
        let counts: Vec<usize> = parts.iter().map(|part| part.lines.len()).collect();
        assert_eq!(counts, [1, 2, 1]);
        let pair = document(vec![line(200, LineKind::Discounted), line(-100, LineKind::Discount)]);
        assert_eq!(split(&pair, Limits { net: None, lines: 1 }).unwrap_err().rule, "split");
    }

    #[test]
    fn serial_numbers_of_parts_are_short_and_always_the_same() {
        let serials: Vec<String> = (1..=3).map(|part| part_serial("shop", "ABCDEFGHIJKLMNOPQRST", part)).collect();
        assert_eq!(serials, (1..=3).map(|part| part_serial("shop", "ABCDEFGHIJKLMNOPQRST", part)).collect::<Vec<_>>());
        assert!(serials.iter().all(|serial| serial.len() == 20 && serial.starts_with("ABCDEFGHIJKLMS0")));
        assert_ne!(serials[0], part_serial("other", "ABCDEFGHIJKLMNOPQRST", 1));
        assert_eq!(base32(&[0xff, 0x00, 0x80], 4), "ZW08");
    }

    proptest! {
        #[test]
        fn the_parts_give_the_whole_to_the_cent(
            fens in prop::collection::vec(100_i64..10_000_000, 1..20),
            most in 1000_i64..50_000,
            count in 1_usize..8,
            quantity in 1_u32..500,
        ) {
            let lines = fens.iter().map(|fen| Line { quantity: Some(quantity.into()), ..line(*fen, LineKind::Normal) }).collect();
            let whole = document(lines);
            let limits = Limits { net: Some(Decimal::from(most)), lines: count };
            let Ok(parts) = split(&whole, limits) else { return Ok(()) };
            let sum = |of: fn(&Document) -> Decimal| parts.iter().map(of).sum::<Decimal>();
            prop_assert_eq!(sum(|part| part.gross), whole.gross);
            prop_assert_eq!(sum(|part| part.net.unwrap()), whole.net.unwrap());
            prop_assert_eq!(sum(|part| part.tax.unwrap()), whole.tax.unwrap());
            for part in parts {
                prop_assert!(part.lines.len() <= count && part.net.unwrap() <= Decimal::from(most));
                prop_assert!(derive(part.clone()).is_ok(), "a part is as right as the whole: {part:?}");
            }
        }
    }
}
