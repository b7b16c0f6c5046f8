//! What a page tells of a sale: who sells, for how much, and what.

use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use crate::core::request::Request;
use crate::document::Document;
use crate::portal::Portal;

/// Lines that are shown at most; the invoice has them all.
const LINES_SHOWN: usize = 100;

/// A sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sale {
    pub(super) seller: String,
    pub(super) total: String,
    /// Name and amount with tax.
    pub(super) lines: Vec<(String, String)>,
}

impl Sale {
    pub(super) fn of(portal: &Portal, request: &Request) -> Sale {
        Sale::new(portal, &request.tenant, &request.seller, &request.document, request.gross)
    }

    pub(super) fn new(portal: &Portal, tenant: &str, seller: &str, document: &Document, gross: Decimal) -> Sale {
        let directory = portal.directory();
        let known = directory.tenant(tenant).and_then(|tenant| tenant.seller(seller).map(|seller| seller.name.clone()));
        let named = ["SHMC", "XSF_MC"].into_iter().map(|name| document.text(name)).find(|name| !name.is_empty());
        let lines = document.lines.iter().take(LINES_SHOWN).map(|line| (line.name.clone(), money(line.gross))).collect();
        Sale { seller: named.map_or_else(|| known.unwrap_or_default(), str::to_owned), total: money(gross), lines }
    }

    /// Changes with everything that a consumer agrees to.
    pub(super) fn terms(&self) -> String {
        hex::encode(&Sha256::digest(format!("{}\n{}\n{:?}", self.seller, self.total, self.lines))[..8])
    }
}

/// `¥106.00`.
pub(super) fn money(amount: Decimal) -> String {
    if amount.is_sign_negative() { format!("-¥{:.2}", -amount) } else { format!("¥{amount:.2}") }
}
