//! The files of the fiscal card (part D.4): limits, identity, the day, the last declaration, the roll.
//!
//! Integers are big endian, dates BCD, amounts in fen. Widths that the facts leave open: the three bytes behind the dates of
//! EF02 (application type, version, FCI) are taken as one each.

use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::number::{InvoiceCode, InvoiceNumber, NumberPair};

use crate::dialects::zc::fields::decode_text;

/// EF01: limits.
pub const LIMITS: File = File { id: 0xEF01, bytes: 23 };
/// EF02: identity.
pub const IDENTITY: File = File { id: 0xEF02, bytes: 103 };
/// EF03: the day.
pub const DAY: File = File { id: 0xEF03, bytes: 76 };
/// EF04: the last declaration.
pub const DECLARATION: File = File { id: 0xEF04, bytes: 75 };
/// EF05: the roll.
pub const ROLL: File = File { id: 0xEF05, bytes: 19 };

/// Where a file is and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its id.
    pub id: u16,
    /// Its length.
    pub bytes: u8,
}

/// A file that cannot be what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadFile(pub String);

/// EF01.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardLimits {
    /// 开票截止日期, BCD; zero: not told.
    pub deadline: [u8; 4],
    /// 单张限额, fen.
    pub single_fen: u32,
    /// Limit of all invoices together, fen.
    pub total_fen: u32,
    /// Limit of all returns together, fen.
    pub returned_fen: u32,
    /// Licensed tax indexes; zero: none.
    pub indexes: [u8; 6],
}

/// EF02.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardIdentity {
    /// The card's number, 16 hex digits: its identity.
    pub number: DiskNumber,
    /// Who it was issued to.
    pub taxpayer: TaxpayerNumber,
    /// His name.
    pub name: String,
    /// Version byte.
    pub version: u8,
}

/// EF03: what was done today, and the last number of all. Read just before and just after an issuing command it proves what
/// became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayRecord {
    /// The day, BCD.
    pub date: [u8; 4],
    /// Normal invoices of the day.
    pub normal: u16,
    /// Returns of the day.
    pub returned: u16,
    /// Spoiled numbers of the day.
    pub spoiled: u16,
    /// Tax indexes of the sums.
    pub indexes: [u8; 6],
    /// Sums of normal invoices by index, fen.
    pub normal_fen: [u32; 6],
    /// Sums of returns by index, fen.
    pub returned_fen: [u32; 6],
    /// The last number that was used.
    pub previous: u32,
    /// Its fiscal code.
    pub fiscal_code: [u8; 8],
}

/// EF04.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// First day, BCD; zero: nothing was declared yet.
    pub start: [u8; 4],
    /// Last day, BCD.
    pub end: [u8; 4],
    /// Normal invoices, returns, spoiled numbers.
    pub counts: (u32, u16, u16),
}

/// EF05.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roll {
    /// The card says that no number is left.
    pub none_left: bool,
    /// Code of the numbers.
    pub code: InvoiceCode,
    /// First number.
    pub first: u32,
    /// Last number.
    pub last: u32,
}

impl CardLimits {
    /// # Errors
    /// Wrong length.
    pub fn read(data: &[u8]) -> Result<CardLimits, BadFile> {
        let mut cut = Cut::new(data, LIMITS)?;
        Ok(CardLimits {
            deadline: cut.take(),
            single_fen: cut.u32(),
            total_fen: cut.u32(),
            returned_fen: cut.u32(),
            indexes: cut.take(),
        })
    }
}

impl CardIdentity {
    /// # Errors
    /// Wrong length, or no taxpayer number in it.
    pub fn read(data: &[u8]) -> Result<CardIdentity, BadFile> {
        let mut cut = Cut::new(data, IDENTITY)?;
        cut.take::<2>();
        let number: [u8; 8] = cut.take();
        cut.take::<16>();
        let taxpayer = decode_text(&cut.take::<20>());
        cut.take::<9>();
        let version = cut.take::<1>()[0];
        cut.take::<1>();
        let hex: String = number.iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(CardIdentity {
            number: hex.parse().map_err(|_| BadFile("the card's number cannot be read".to_owned()))?,
            taxpayer: TaxpayerNumber::from_device(&taxpayer)
                .map_err(|error| BadFile(format!("the card's taxpayer number cannot be read: {error}")))?,
            name: decode_text(&cut.take::<40>()),
            version,
        })
    }
}

impl DayRecord {
    /// # Errors
    /// Wrong length.
    pub fn read(data: &[u8]) -> Result<DayRecord, BadFile> {
        let mut cut = Cut::new(data, DAY)?;
        Ok(DayRecord {
            date: cut.take(),
            normal: cut.u16(),
            returned: cut.u16(),
            spoiled: cut.u16(),
            indexes: cut.take(),
            normal_fen: cut.sums(),
            returned_fen: cut.sums(),
            previous: cut.u32(),
            fiscal_code: cut.take(),
        })
    }

    /// Sum of the day's normal invoices under an index, fen.
    pub fn normal_of(&self, index: u8) -> u64 {
        self.indexes.iter().zip(self.normal_fen).filter(|(one, _)| **one == index).map(|(_, fen)| u64::from(fen)).sum()
    }

    /// Sum of all the day's normal invoices, fen.
    pub fn normal_total(&self) -> u64 {
        self.normal_fen.iter().map(|fen| u64::from(*fen)).sum()
    }
}

impl Declaration {
    /// # Errors
    /// Wrong length.
    pub fn read(data: &[u8]) -> Result<Declaration, BadFile> {
        let mut cut = Cut::new(data, DECLARATION)?;
        Ok(Declaration { start: cut.take(), end: cut.take(), counts: (cut.u32(), cut.u16(), cut.u16()) })
    }
}

impl Roll {
    /// # Errors
    /// Wrong length, no code, or numbers of more than 8 digits.
    pub fn read(data: &[u8]) -> Result<Roll, BadFile> {
        let mut cut = Cut::new(data, ROLL)?;
        let none_left = cut.take::<1>()[0] != 0;
        let roll = Roll { none_left, code: code(cut.take())?, first: cut.u32(), last: cut.u32() };
        if roll.first > roll.last || roll.last > InvoiceNumber::MAX {
            return Err(BadFile(format!("the card's roll goes from {} to {}, which cannot be", roll.first, roll.last)));
        }
        Ok(roll)
    }

    /// The pair of a number, if it belongs to this roll.
    pub fn pair(&self, number: u32) -> Option<NumberPair> {
        let inside = (self.first..=self.last).contains(&number);
        InvoiceNumber::new(number).filter(|_| inside).map(|number| NumberPair { code: self.code, number })
    }

    /// The pair after the last number that was used; `None` when none is left. A last number outside belongs to the roll
    /// before, so this one begins at its first.
    pub fn current(&self, previous: u32) -> Option<NumberPair> {
        match self.pair(previous) {
            _ if self.none_left => None,
            Some(last) => self.pair(last.number.value() + 1),
            None => self.pair(self.first),
        }
    }
}

/// Ten bytes: ten ASCII digits, or a code of ten or twelve digits in BCD with zeros before it. ASCII digits begin with 3x and
/// such zeros with 00, so the two cannot be taken for each other; anything else is refused.
fn code(bytes: [u8; 10]) -> Result<InvoiceCode, BadFile> {
    let unknown = || BadFile(format!("the card's invoice code {bytes:02X?} cannot be read"));
    if bytes.iter().all(u8::is_ascii_digit) {
        let text = std::str::from_utf8(&bytes).map_err(|_| unknown())?;
        return text.parse().map_err(|_| unknown());
    }
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    let Some(twelve) = digits.strip_prefix("00000000") else { return Err(unknown()) };
    // No code of twelve digits begins with two zeros: it begins with 0 and the region.
    twelve.strip_prefix("00").unwrap_or(twelve).parse().map_err(|_| unknown())
}

/// `yyyyMMdd` of a BCD date; `None` when it is zero.
pub fn date_text(date: [u8; 4]) -> Option<String> {
    (date != [0; 4]).then(|| date.iter().map(|byte| format!("{byte:02X}")).collect())
}

/// Takes a file apart. Its length was checked, so a field is never shorter than it should be.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn new(data: &'a [u8], file: File) -> Result<Cut<'a>, BadFile> {
        if data.len() == usize::from(file.bytes) {
            return Ok(Cut(data));
        }
        Err(BadFile(format!("the card's file {:04X} has {} bytes, {} are expected", file.id, data.len(), file.bytes)))
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk::<N>().expect("the fields add up to the length that was checked");
        self.0 = rest;
        *field
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn sums(&mut self) -> [u32; 6] {
        std::array::from_fn(|_| self.u32())
    }
}
