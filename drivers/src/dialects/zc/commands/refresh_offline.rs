//! 15 离线权限更新: asks the tax office for a fresh offline allowance. Changes the disk; over the network. Laid out like 12.

pub use super::clear::request;

/// Command number.
pub const CODE: u8 = 0x15;
