//! The files of the fiscal card, made from the disk whenever they are read: nothing in them can differ from the ledger.
//! device-xml-and-usb.md, D.4. Integers big endian, dates BCD, amounts in fen.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;

use crate::sim::disk::SimDisk;
use crate::sim::ledger::{EntryStatus, LedgerEntry};

/// Tax indexes that a card holds.
pub(super) const INDEXES: usize = 6;

/// The kind that the card issues: a card has one.
pub(super) fn kind(disk: &SimDisk) -> InvoiceKind {
    disk.config().kinds.first().copied().unwrap_or(InvoiceKind::Roll)
}

/// An elementary file by its id.
pub(super) fn read(id: u16, disk: &SimDisk) -> Option<Vec<u8>> {
    match id {
        0xEF01 => Some(limits(disk)),
        0xEF02 => Some(identity(disk)),
        0xEF03 => Some(day_record(disk)),
        0xEF04 => Some(last_declaration(disk)),
        0xEF05 => Some(roll(disk)),
        _ => None,
    }
}

fn limits(disk: &SimDisk) -> Vec<u8> {
    let limits = &disk.config().limits;
    let most = u32::MAX.to_be_bytes();
    let single = limits.invoice.map_or(most, fen);
    [date(limits.deadline.as_deref()).as_slice(), &single, &most, &single, &indexes(disk), &[0]].concat()
}

fn identity(disk: &SimDisk) -> Vec<u8> {
    let config = disk.config();
    [
        [1, 1].as_slice(),
        &digits::<8>(&config.disk_number),
        &digits::<8>(config.machine_number.as_deref().unwrap_or("0")),
        &digits::<8>(&config.taxpayer_number),
        &text::<20>(&config.taxpayer_number),
        &date(config.enabled_since.get(..8)),
        &date(Some("20991231")),
        // Application type, version, FCI; their widths are not known: one byte each.
        &[1, 1, 0],
        &text::<40>(&config.taxpayer_name),
        &digits::<4>(&config.office_code),
        // Declaration mode, PIN mode.
        &[0, 0],
    ]
    .concat()
}

/// EF03: today's counts and sums, and the previous number with its fiscal code, which is what recovery reads.
fn day_record(disk: &SimDisk) -> Vec<u8> {
    let today = disk.now().date();
    let entries = || disk.ledger().entries().iter().filter(|entry| entry.kind == kind(disk));
    let of_today = || entries().filter(|entry| entry.time.date() == today);
    let count = |wanted: &[EntryStatus]| {
        let count = of_today().filter(|entry| wanted.contains(&entry.status)).count();
        u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes()
    };
    let normal = [EntryStatus::Positive, EntryStatus::PositiveVoid];
    let returned = [EntryStatus::Negative, EntryStatus::NegativeVoid];
    let last = entries().next_back();
    let previous = match (last, disk.stock(kind(disk))) {
        (Some(entry), _) => entry.number.value(),
        // Nothing was issued yet: the number before the first one.
        (None, Ok(level)) => level.current.number.value().saturating_sub(1),
        (None, Err(_)) => 0,
    };
    [
        date(Some(&today)).as_slice(),
        &count(&normal),
        &count(&returned),
        &count(&[EntryStatus::BlankVoid]),
        &indexes(disk),
        &sums(disk, of_today().filter(|entry| normal.contains(&entry.status))),
        &sums(disk, of_today().filter(|entry| returned.contains(&entry.status))),
        &previous.to_be_bytes(),
        &fiscal_code(last),
    ]
    .concat()
}

fn last_declaration(disk: &SimDisk) -> Vec<u8> {
    let mut file = vec![0; 75];
    if let Some(reported) = disk.config().state.reported_at {
        file[4..8].copy_from_slice(&date(Some(&reported.date())));
        file[16..22].copy_from_slice(&indexes(disk));
        // What was declared: the two dates, the counts, and the sums by index, all as they came.
        let declared = &disk.config().state.declaration;
        if let (Some(to), true) = (file.get_mut(..declared.len()), declared.len() <= 70) {
            to.copy_from_slice(declared);
        }
        file[70] = 1;
    }
    file
}

fn roll(disk: &SimDisk) -> Vec<u8> {
    let Some((segment, ..)) = disk.segments(kind(disk)).next() else { return [vec![1], vec![0; 18]].concat() };
    // As it was loaded (F7): what is used of it, EF03 tells.
    let (first, last) = (segment.first.value(), segment.last.value());
    [[0].as_slice(), &text::<10>(&segment.code.to_string()), &first.to_be_bytes(), &last.to_be_bytes()].concat()
}

/// The fiscal code of an entry, 8 bytes; a blank has none.
pub(super) fn fiscal_code(entry: Option<&LedgerEntry>) -> [u8; 8] {
    entry.and_then(|entry| entry.fiscal_code.parse::<u64>().ok()).unwrap_or_default().to_be_bytes()
}

/// 1, 2, 3 … for the licensed rates in their order, 0 where there is none.
pub(super) fn indexes(disk: &SimDisk) -> [u8; INDEXES] {
    let licensed = disk.config().rates.len();
    [1, 2, 3, 4, 5, 6].map(|index: u8| if usize::from(index) <= licensed { index } else { 0 })
}

fn sums<'a>(disk: &SimDisk, entries: impl Iterator<Item = &'a LedgerEntry>) -> Vec<u8> {
    let mut sums = [Amount::ZERO; INDEXES];
    for line in entries.flat_map(|entry| &entry.lines) {
        let same = |rate: &taxdisk_protocol::money::TaxRate| {
            line.rate.parse().is_ok_and(|of_line: rust_decimal::Decimal| of_line == rate.decimal())
        };
        let index = disk.config().rates.iter().position(same);
        if let Some(sum) = index.and_then(|index| sums.get_mut(index)) {
            *sum = sum.checked_add(line.gross).unwrap_or(*sum);
        }
    }
    sums.iter().flat_map(|sum| fen(*sum)).collect()
}

fn fen(amount: Amount) -> [u8; 4] {
    u32::try_from(amount.fen()).unwrap_or(u32::MAX).to_be_bytes()
}

/// `yyyyMMdd` as BCD; zeros where there is none.
fn date(date: Option<&str>) -> [u8; 4] {
    digits::<4>(date.unwrap_or("0"))
}

/// The last digits of a text as BCD, right aligned.
fn digits<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    for (place, digit) in text.bytes().rev().filter(u8::is_ascii_digit).take(2 * N).enumerate() {
        bytes[N - 1 - place / 2] |= (digit - b'0') << (4 * (place % 2));
    }
    bytes
}

/// GBK, padded with 00, cut at the width.
fn text<const N: usize>(text: &str) -> [u8; N] {
    let (bytes, _, _) = encoding_rs::GBK.encode(text);
    let mut field = [0; N];
    field.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
    field
}
