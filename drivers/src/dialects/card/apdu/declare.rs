//! F4: declares a period to the tax office (申报). Changes the card: never sent twice.

use super::{Command, FISCAL_CLASS, xor};
use crate::dialects::card::files::DayRecord;

const ANSWER_BYTES: u8 = 0x8E;

/// What is declared. Amounts are in fen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// First day, BCD.
    pub start: [u8; 4],
    /// Last day, BCD.
    pub end: [u8; 4],
    /// Normal invoices, returns, spoiled numbers.
    pub counts: (u32, u16, u16),
    /// Tax indexes.
    pub indexes: [u8; 6],
    /// Sums of normal invoices by index.
    pub normal: [u32; 6],
    /// Sums of returns by index.
    pub returned: [u32; 6],
}

impl Period {
    /// What a day's record holds, declared from a first day on.
    pub fn of(start: [u8; 4], record: &DayRecord) -> Period {
        Period {
            start,
            end: record.date,
            counts: (u32::from(record.normal), record.returned, record.spoiled),
            indexes: record.indexes,
            normal: record.normal_fen,
            returned: record.returned_fen,
        }
    }
}

/// The command.
pub fn request(period: &Period) -> Command {
    let mut data = period.start.to_vec();
    data.extend(period.end);
    data.extend(period.counts.0.to_be_bytes());
    data.extend(period.counts.1.to_be_bytes());
    data.extend(period.counts.2.to_be_bytes());
    data.extend(period.indexes);
    for sum in period.normal.iter().chain(&period.returned) {
        data.extend(sum.to_be_bytes());
    }
    data.push(xor(&data));
    Command::both(FISCAL_CLASS, 0xF4, &data, ANSWER_BYTES)
}

/// Whether the answer is whole: totals 4+4, status 1, mac 4, signature 128 and their XOR. What it says is proven by EF04 only.
pub fn is_whole(data: &[u8]) -> bool {
    data.len() == usize::from(ANSWER_BYTES) && data.split_last().is_some_and(|(check, rest)| *check == xor(rest))
}
