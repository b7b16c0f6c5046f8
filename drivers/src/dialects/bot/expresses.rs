//! What a disk of this profile can express, as data: NISEC documents, and the pair that the device checks itself.

use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Widths};

use super::config::BotConfig;
use crate::dialects::nisec::document::commands::fpkj;
use crate::dialects::nisec::document::lines;

pub(super) fn capabilities(config: &BotConfig) -> Capabilities {
    Capabilities {
        characters: CharacterSet::Gbk,
        widths: Widths {
            party_name: fpkj::PARTY_BYTES as u16,
            taxpayer_number: fpkj::TAXPAYER_BYTES as u16,
            address_phone: Some(fpkj::CONTACT_BYTES as u16),
            bank_account: Some(fpkj::CONTACT_BYTES as u16),
            item_name: lines::ITEM_NAME_BYTES as u16,
            specification: Some(lines::SPECIFICATION_BYTES as u16),
            unit: Some(lines::UNIT_BYTES as u16),
            remark: fpkj::REMARK_BYTES as u16,
            person: fpkj::PERSON_BYTES as u16,
            amount: lines::AMOUNT_BYTES as u16,
            price: lines::PRICE_BYTES as u16,
        },
        max_lines: config.max_lines,
        discount_lines: true,
        goods_codes: true,
        price_decimals: lines::PRICE_DECIMALS,
        rate_decimals: lines::RATE_DECIMALS,
        single_person: false,
        remark_readable: true,
        carries_pair: true,
        red: true,
        operations: vec![
            DiskOperation::Void,
            DiskOperation::BlankVoid,
            DiskOperation::Report,
            DiskOperation::Clear,
            DiskOperation::Upload,
            DiskOperation::RefreshOffline,
            DiskOperation::ChangePassword,
        ],
        finds_request: false,
        numbers_readable: true,
    }
}
