//! Settings of one fiscal card behind a reader.

use jiff::civil::Date;
use jiff::tz::{TimeZone, offset};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::TaxRate;

use super::link::Timings;
use crate::secret::Secret;

/// What the driver has to know about a card that the card does not tell.
#[derive(Debug, Clone)]
pub struct CardConfig {
    /// The kind that the card's numbers belong to; cards know only one.
    pub kind: InvoiceKind,
    /// 税目索引: which rate each tax index of the card stands for, as the tax office set it up. At most six.
    pub tax_indexes: Vec<(u8, TaxRate)>,
    /// The card's PIN, 1 to 8 bytes; empty where the card asks for none.
    pub pin: Secret,
    /// Which PIN that is (P2 of VERIFY).
    pub pin_id: u8,
    /// Buyer, items, persons and remark are printed by the till and are no part of what the card signs. Without it an invoice
    /// that has any of them is refused, because the card would lose them.
    pub content_is_printed_elsewhere: bool,
    /// Today's date, which goes into every invoice. The card does not set it; that of this computer in China by default.
    pub today: fn() -> Date,
    /// Time limits.
    pub timings: Timings,
}

impl Default for CardConfig {
    fn default() -> CardConfig {
        CardConfig {
            kind: InvoiceKind::Roll,
            tax_indexes: Vec::new(),
            pin: Secret::default(),
            pin_id: 0,
            content_is_printed_elsewhere: false,
            today: today_in_china,
            timings: Timings::default(),
        }
    }
}

fn today_in_china() -> Date {
    jiff::Timestamp::now().to_zoned(TimeZone::fixed(offset(8))).date()
}
