//! F2: issues the next invoice, or marks the next number as spoiled. Changes the card: never sent twice.

use super::{Command, FISCAL_CLASS, xor};

/// Tax indexes of one invoice.
pub const MAX_INDEXES: usize = 6;

/// Bytes of a fiscal code.
pub const CODE_BYTES: u8 = 8;

/// 发票类型.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// 01: a normal invoice.
    Normal,
    /// 03: a number that is given up (废票).
    Spoiled,
}

/// What is signed. Amounts are in fen, tax included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// `yyyyMMdd` in BCD.
    pub date: [u8; 4],
    /// Type.
    pub kind: Type,
    /// The number that it gets: one above the last.
    pub number: u32,
    /// Tax index and amount, at most [`MAX_INDEXES`]; the rest stays zero.
    pub amounts: Vec<(u8, u32)>,
    /// Sum of the amounts.
    pub total: u32,
}

/// The command. Nothing is cut: more than [`MAX_INDEXES`] amounts are `None`.
pub fn request(invoice: &Invoice) -> Option<Command> {
    if invoice.amounts.len() > MAX_INDEXES {
        return None;
    }
    let mut data = invoice.date.to_vec();
    data.push(match invoice.kind {
        Type::Normal => 0x01,
        Type::Spoiled => 0x03,
    });
    data.extend(invoice.number.to_be_bytes());
    for place in 0..MAX_INDEXES {
        let (index, amount) = invoice.amounts.get(place).copied().unwrap_or_default();
        data.push(index);
        data.extend(amount.to_be_bytes());
    }
    data.extend(invoice.total.to_be_bytes());
    data.push(xor(&data));
    Some(Command::both(FISCAL_CLASS, 0xF2, &data, CODE_BYTES))
}

/// A fiscal code as it is printed: 20 decimal digits.
pub fn printed(code: [u8; 8]) -> String {
    format!("{:020}", u64::from_be_bytes(code))
}
