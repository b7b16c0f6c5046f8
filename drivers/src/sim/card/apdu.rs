//! The commands of the two cards. device-xml-and-usb.md, D.3. Every function reads its data, asks the disk, and answers with
//! data and a status word; none of them knows frames or the reader.
//!
//! Where the facts are silent: F2 is refused (6985) unless its number is the card's next one, and takes the tax index i as
//! the i-th licensed rate with amounts that include the tax. A return (type 02) names no original, so it is bound to none.
//! Signatures, MACs and random numbers are made up and prove nothing.

use rust_decimal::Decimal;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::InvoiceNumber;

use super::files::{self, INDEXES};
use crate::sim::config::Segment;
use crate::sim::details::Door;
use crate::sim::disk::{Secret, SimDisk};
use crate::sim::issue::{IssueOrder, Saving};
use crate::sim::ledger::{EntryLine, Origin};
use crate::sim::refusal::{OVER_LIMIT, Refusal, ZERO_TOTAL};

/// Status word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sw(pub(super) u16);

impl Sw {
    pub(super) const GOOD: Sw = Sw(0x9000);
    const WRONG_LENGTH: Sw = Sw(0x6700);
    const WRONG_DATA: Sw = Sw(0x6A80);
    const NO_FILE: Sw = Sw(0x6A82);
    const NO_RECORD: Sw = Sw(0x6A83);
    const CONDITIONS: Sw = Sw(0x6985);
    const NOT_VERIFIED: Sw = Sw(0x6982);
    /// The card's own state; the facts give it beside the PIN's.
    const LOCKED: Sw = Sw(0x6A81);
    const PIN_LOCKED: Sw = Sw(0x9303);
    /// F2: amount out of range. E9: no roll.
    const OUT_OF_RANGE: Sw = Sw(0x9401);
    const WRONG_OFFSET: Sw = Sw(0x6B00);
    const UNKNOWN_INS: Sw = Sw(0x6D00);
    const MEMORY: Sw = Sw(0x6581);

    /// The disk's refusal in the card's words.
    pub(super) fn of(refusal: &Refusal, disk: &SimDisk) -> Sw {
        let tries = u16::from(disk.tries_left(Secret::Disk).min(15));
        match refusal.code {
            Some(238 | 6012) => Sw::PIN_LOCKED,
            Some(237 | 6011) => Sw(0x63C0 | tries),
            Some(554) => Sw::OUT_OF_RANGE,
            Some(89 | 220) => Sw::NO_RECORD,
            Some(21 | 701 | 702) => Sw::LOCKED,
            Some(99 | 132 | 449 | 559) => Sw::WRONG_DATA,
            Some(120 | 121) => Sw::MEMORY,
            _ if *refusal == OVER_LIMIT || *refusal == ZERO_TOTAL => Sw::OUT_OF_RANGE,
            _ => Sw::CONDITIONS,
        }
    }
}

/// A roll that waits on the user card (E9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    /// Code, ten digits.
    pub code: String,
    /// First number.
    pub first: u32,
    /// Last number.
    pub last: u32,
}

/// A card in its slot.
#[derive(Debug, Clone, Default)]
pub(super) struct Card {
    pub(super) powered: bool,
    selected: Option<u16>,
    verified: bool,
}

impl Card {
    /// Power on or reset: nothing is selected.
    pub(super) fn start(&mut self) {
        *self = Card { powered: true, ..Card::default() };
    }
}

/// A command read out of its bytes.
pub(super) struct Apdu<'a> {
    pub(super) class: u8,
    pub(super) ins: u8,
    p1: u8,
    p2: u8,
    data: &'a [u8],
    /// Bytes wanted; 256 where the byte is 0 or absent.
    wanted: usize,
}

type Answer = Result<Vec<u8>, Sw>;

impl<'a> Apdu<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Apdu<'a>> {
        let [class, ins, p1, p2, body @ ..] = bytes else { return None };
        let (data, le): (&[u8], &[u8]) = match body {
            [] => (&[], &[]),
            [_] => (&[], body),
            [length, rest @ ..] => rest.split_at_checked(usize::from(*length))?,
        };
        let wanted = match le {
            [] | [0] => 256,
            [le] => usize::from(*le),
            _ => return None,
        };
        Some(Apdu { class: *class, ins: *ins, p1: *p1, p2: *p2, data, wanted })
    }

    /// Exactly so many data bytes, the last of which is the XOR of those before.
    fn xored(&self, length: usize) -> Result<&'a [u8], Sw> {
        let (xor, data) = self.sized(length)?.split_last().ok_or(Sw::WRONG_LENGTH)?;
        if xor_of(data) == *xor { Ok(data) } else { Err(Sw::WRONG_DATA) }
    }

    fn sized(&self, length: usize) -> Result<&'a [u8], Sw> {
        if self.data.len() == length { Ok(self.data) } else { Err(Sw::WRONG_LENGTH) }
    }
}

/// Executes a command of the fiscal card.
pub(super) fn fiscal(apdu: &Apdu<'_>, card: &mut Card, pin_required: bool, disk: &mut SimDisk, saving: Saving) -> Answer {
    match (apdu.class, apdu.ins) {
        (0x00, ins) => general(ins, apdu, card, disk),
        (0xC0, 0xF0) => Ok([made_up::<4>(disk).as_slice(), &bcd_card_number(disk), &made_up::<4>(disk)].concat()),
        (0xC0, 0xF1) => apdu.sized(4).map(|_| pin(disk).to_vec()),
        (0xC0, 0xF2) if pin_required && !card.verified => Err(Sw::NOT_VERIFIED),
        (0xC0, 0xF2) => issue(apdu, disk, saving),
        (0xC0, 0xF4) => declare(apdu, disk),
        (0xC0, 0xF6) => apdu.sized(0x1D).map(|_| Vec::new()),
        (0xC0, 0xF7) => load_roll(apdu, disk),
        (0xC0, 0xF9) => {
            verify(apdu.sized(8)?, card, disk)?;
            Ok(pin(disk).to_vec())
        }
        (0xC0, 0xFB) => apdu.xored(0x41).map(|_| with_xor(made_up::<128>(disk).to_vec())),
        _ => Err(Sw::UNKNOWN_INS),
    }
}

/// Executes a command of the user card.
pub(super) fn user(apdu: &Apdu<'_>, card: &mut Card, rolls: &mut Vec<Roll>, disk: &mut SimDisk) -> Answer {
    match (apdu.class, apdu.ins) {
        (0x00, ins) => general(ins, apdu, card, disk),
        (0xC0, 0xE4) => apdu.sized(0x10).map(|_| made_up::<4>(disk).to_vec()),
        (0xC0, 0xE6) => apdu.sized(0xDC).map(|_| Vec::new()),
        (0xC0, 0xE9) if rolls.is_empty() => Err(Sw::OUT_OF_RANGE),
        (0xC0, 0xE9) => {
            let roll = rolls.remove(0);
            let mut code = roll.code.into_bytes();
            code.resize(10, 0);
            Ok([code.as_slice(), &roll.first.to_be_bytes(), &roll.last.to_be_bytes(), &made_up::<4>(disk)].concat())
        }
        _ => Err(Sw::UNKNOWN_INS),
    }
}

fn general(ins: u8, apdu: &Apdu<'_>, card: &mut Card, disk: &mut SimDisk) -> Answer {
    match ins {
        // By name there is one application, whatever it is called.
        0xA4 if apdu.p1 == 0x04 => Ok(Vec::new()),
        0xA4 => {
            let id = apdu.sized(2).map(|id| u16::from_be_bytes([id[0], id[1]]))?;
            // 3F00 is the root of every card.
            if id != 0x3F00 && files::read(id, disk).is_none() {
                return Err(Sw::NO_FILE);
            }
            card.selected = Some(id);
            Ok(Vec::new())
        }
        0xB0 => {
            let file = card.selected.and_then(|id| files::read(id, disk)).ok_or(Sw::NO_FILE)?;
            let offset = usize::from(u16::from_be_bytes([apdu.p1, apdu.p2]));
            let rest = file.get(offset..).ok_or(Sw::WRONG_OFFSET)?;
            Ok(rest[..rest.len().min(apdu.wanted)].to_vec())
        }
        0xB2 => Err(Sw::NO_RECORD),
        // The card's files are written by its own commands only.
        0xD6 | 0xDC => Err(Sw::NOT_VERIFIED),
        0x20 => verify(apdu.data, card, disk).map(|()| Vec::new()),
        0x84 => Ok((0..apdu.wanted.min(8)).map(|place| made_up::<8>(disk)[place]).collect()),
        0x82 => apdu.sized(8).map(|_| Vec::new()),
        0x88 => apdu.sized(8).map(|_| made_up::<8>(disk).to_vec()),
        _ => Err(Sw::UNKNOWN_INS),
    }
}

fn verify(given: &[u8], card: &mut Card, disk: &mut SimDisk) -> Result<(), Sw> {
    let text = String::from_utf8_lossy(given);
    let given = text.trim_end_matches(['\0', '\u{FFFD}']);
    disk.check_secret(Secret::Disk, given).map_err(|refusal| Sw::of(&refusal, disk))?;
    card.verified = true;
    Ok(())
}

/// F2. The ledger's entry is durable before the answer exists; if the power goes in between, EF03 tells.
fn issue(apdu: &Apdu<'_>, disk: &mut SimDisk, saving: Saving) -> Answer {
    let data = apdu.xored(0x2C)?;
    let head = data.split_at(9).0;
    let number = InvoiceNumber::new(be32(&head[5..]));
    let kind = files::kind(disk);
    let current = disk.stock(kind).map_err(|refusal| Sw::of(&refusal, disk))?.current;
    if number != Some(current.number) {
        return Err(Sw::CONDITIONS);
    }
    if head[4] == 3 {
        let entry = disk.void_blank(kind, "", None, saving).map_err(|refusal| Sw::of(&refusal, disk))?;
        return Ok(files::fiscal_code(Some(&entry)).to_vec());
    }
    let order = order_of(apdu, disk)?;
    let entry = disk.issue(&order, None, saving).map_err(|refusal| Sw::of(&refusal, disk))?;
    Ok(files::fiscal_code(Some(&entry)).to_vec())
}

/// What F2 is about to issue: a normal invoice or a return.
pub(super) fn order_of(apdu: &Apdu<'_>, disk: &SimDisk) -> Result<IssueOrder, Sw> {
    if (apdu.class, apdu.ins) != (0xC0, 0xF2) {
        return Err(Sw::UNKNOWN_INS);
    }
    let (head, rest) = apdu.xored(0x2C)?.split_at(9);
    let (lines, total) = rest.split_at(INDEXES * 5);
    if !matches!(head[4], 1 | 2) {
        return Err(Sw::WRONG_DATA);
    }
    let lines = lines.chunks(5).filter(|line| line[0] != 0);
    let lines = lines.map(|line| line_of(line[0], be32(&line[1..]), disk)).collect::<Result<Vec<_>, _>>()?;
    let sum = |part: fn(&EntryLine) -> Amount| {
        lines.iter().try_fold(Amount::ZERO, |sum, line| sum.checked_add(part(line))).ok_or(Sw::OUT_OF_RANGE)
    };
    let (net, tax, gross) = (sum(|line| line.net)?, sum(|line| line.tax)?, sum(|line| line.gross)?);
    if gross.fen() != i64::from(be32(total)) {
        return Err(Sw::WRONG_DATA);
    }
    Ok(IssueOrder {
        kind: files::kind(disk),
        red: head[4] == 2,
        buyer_number: String::new(),
        buyer_name: String::new(),
        lines,
        net,
        tax,
        gross,
        clerk: String::new(),
        origin: Origin::Host,
        door: Door::Card,
        ..IssueOrder::default()
    })
}

/// One tax index with its amount, tax included.
fn line_of(index: u8, fen: u32, disk: &SimDisk) -> Result<EntryLine, Sw> {
    let rate = disk.config().rates.get(usize::from(index) - 1).filter(|_| usize::from(index) <= INDEXES);
    let rate = rate.ok_or(Sw::WRONG_DATA)?.decimal();
    let gross = Amount::from_fen(fen.into()).ok_or(Sw::OUT_OF_RANGE)?;
    let net = gross.decimal().checked_div(Decimal::ONE + rate).and_then(Amount::round).ok_or(Sw::OUT_OF_RANGE)?;
    let tax = gross.checked_sub(net).ok_or(Sw::OUT_OF_RANGE)?;
    Ok(EntryLine {
        name: format!("税目{index}"),
        quantity: "1.000".to_owned(),
        net,
        rate: rate.to_string(),
        tax,
        gross,
        ..EntryLine::default()
    })
}

/// F4: the period report. Sums over everything, status 1, and a signature.
fn declare(apdu: &Apdu<'_>, disk: &mut SimDisk) -> Answer {
    let declared = apdu.xored(0x47)?.to_vec();
    disk.report().map_err(|refusal| Sw::of(&refusal, disk))?;
    // If the power goes between the two, the card shows the declaration before: its host asks a person.
    disk.configure(|config| config.state.declaration = declared).map_err(|_| Sw::MEMORY)?;
    let totals = [0; 8];
    Ok(with_xor([totals.as_slice(), &[1], &made_up::<4>(disk), &made_up::<128>(disk)].concat()))
}

/// F7: a roll from the user card becomes stock.
fn load_roll(apdu: &Apdu<'_>, disk: &mut SimDisk) -> Answer {
    let data = apdu.sized(0x16)?;
    let code = std::str::from_utf8(&data[..10]).ok().and_then(|code| code.parse().ok()).ok_or(Sw::WRONG_DATA)?;
    let (first, last) = (InvoiceNumber::new(be32(&data[10..])), InvoiceNumber::new(be32(&data[14..])));
    let (Some(first), Some(last)) = (first, last) else { return Err(Sw::WRONG_DATA) };
    let overlaps = |segment: &Segment| segment.code == code && segment.first <= last && first <= segment.last;
    if first > last || disk.config().segments.iter().any(overlaps) {
        return Err(Sw::WRONG_DATA);
    }
    let segment = Segment { kind: files::kind(disk), code, first, last, bought_at: Some(disk.now()), closed: false };
    disk.configure(|config| config.segments.push(segment)).map_err(|_| Sw::MEMORY)?;
    Ok(Vec::new())
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn xor_of(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |xor, byte| xor ^ byte)
}

fn with_xor(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.push(xor_of(&bytes));
    bytes
}

fn bcd_card_number(disk: &SimDisk) -> Vec<u8> {
    // The same bytes as in EF02.
    files::read(0xEF02, disk).and_then(|file| file.get(2..10).map(<[u8]>::to_vec)).unwrap_or_default()
}

fn pin(disk: &SimDisk) -> [u8; 8] {
    let mut pin = [0; 8];
    pin.iter_mut().zip(disk.config().disk_password.bytes()).for_each(|(to, from)| *to = from);
    pin
}

/// Bytes that look random and change with every number given away.
fn made_up<const N: usize>(disk: &SimDisk) -> [u8; N] {
    let mut state = 0x9E37_79B9_u32.wrapping_add(u32::try_from(disk.ledger().signatures()).unwrap_or(u32::MAX));
    [0; N].map(|_: u8| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
}
