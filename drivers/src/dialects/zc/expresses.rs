//! What a ZC line can express, as data.

use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Widths};

use super::commands::issue;
use super::config::{Framing, ZcConfig};

/// Both forms hold the same fields in the same widths; the documents of some changing commands are not known.
pub(super) fn capabilities(config: &ZcConfig) -> Capabilities {
    let mut operations = vec![
        DiskOperation::Void,
        DiskOperation::BlankVoid,
        DiskOperation::Report,
        DiskOperation::Clear,
        DiskOperation::RefreshOffline,
    ];
    if config.framing == Framing::Fixed {
        operations.extend([DiskOperation::Upload, DiskOperation::ChangePassword]);
    }
    Capabilities {
        characters: CharacterSet::Gbk,
        widths: Widths {
            party_name: 80,
            taxpayer_number: 20,
            address_phone: None,
            bank_account: None,
            item_name: issue::ITEM_NAME_BYTES as u16,
            specification: None,
            unit: None,
            remark: issue::REMARK_BYTES as u16,
            person: issue::PERSON_BYTES as u16,
            amount: issue::NUMBER_BYTES as u16,
            price: issue::NUMBER_BYTES as u16,
        },
        max_lines: config.max_lines,
        discount_lines: false,
        goods_codes: false,
        price_decimals: issue::PRICE_DECIMALS as u8,
        rate_decimals: issue::RATE_DECIMALS as u8,
        single_person: true,
        remark_readable: true,
        carries_pair: false,
        red: true,
        operations,
        finds_request: false,
        numbers_readable: true,
    }
}
