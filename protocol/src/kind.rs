//! Invoice kinds (发票种类) and their codes in each dialect. A table, no arithmetic: FPLX 12 and rjxx 12 are different kinds.

use std::fmt;
use std::str::FromStr;

use crate::quote::Quoted;

/// A kind of invoice that a tax disk can be licensed for. Written on the wire as its fplxdm code (`"025"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InvoiceKind {
    /// 004 增值税专用发票: paper special.
    PaperSpecial,
    /// 005 机动车销售统一发票: motor vehicle sales.
    MotorVehicle,
    /// 006 二手车销售统一发票: used vehicle sales.
    UsedVehicle,
    /// 007 增值税普通发票: paper ordinary.
    PaperOrdinary,
    /// 009 货物运输业专用发票: freight special (ended 2016; occurs on reds and queries).
    FreightSpecial,
    /// 025 增值税普通发票（卷票）: roll.
    Roll,
    /// 026 增值税电子普通发票: electronic ordinary.
    ElectronicOrdinary,
    /// 028 增值税电子专用发票: electronic special.
    ElectronicSpecial,
}

struct Codes {
    kind: InvoiceKind,
    fplxdm: &'static str,
    aisino: u8,
    yonyou: Option<u8>,
    name: &'static str,
}

/// invoice-rules.md, section 1.
const CODES: [Codes; 8] = [
    Codes { kind: InvoiceKind::PaperSpecial, fplxdm: "004", aisino: 0, yonyou: Some(4), name: "增值税专用发票" },
    Codes { kind: InvoiceKind::MotorVehicle, fplxdm: "005", aisino: 12, yonyou: Some(5), name: "机动车销售统一发票" },
    Codes { kind: InvoiceKind::UsedVehicle, fplxdm: "006", aisino: 42, yonyou: Some(15), name: "二手车销售统一发票" },
    Codes { kind: InvoiceKind::PaperOrdinary, fplxdm: "007", aisino: 2, yonyou: Some(3), name: "增值税普通发票" },
    Codes {
        kind: InvoiceKind::FreightSpecial, fplxdm: "009", aisino: 11, yonyou: None, name: "货物运输业增值税专用发票"
    },
    Codes { kind: InvoiceKind::Roll, fplxdm: "025", aisino: 41, yonyou: Some(12), name: "增值税普通发票（卷票）" },
    Codes {
        kind: InvoiceKind::ElectronicOrdinary, fplxdm: "026", aisino: 51, yonyou: Some(1), name: "增值税电子普通发票"
    },
    Codes {
        kind: InvoiceKind::ElectronicSpecial, fplxdm: "028", aisino: 52, yonyou: Some(2), name: "增值税电子专用发票"
    },
];

impl InvoiceKind {
    /// All kinds, in the order of their fplxdm codes.
    pub const ALL: [InvoiceKind; 8] = [
        InvoiceKind::PaperSpecial,
        InvoiceKind::MotorVehicle,
        InvoiceKind::UsedVehicle,
        InvoiceKind::PaperOrdinary,
        InvoiceKind::FreightSpecial,
        InvoiceKind::Roll,
        InvoiceKind::ElectronicOrdinary,
        InvoiceKind::ElectronicSpecial,
    ];

    fn codes(self) -> &'static Codes {
        // The table lists the kinds in the order of their declaration (tested below).
        &CODES[self as usize]
    }

    /// The code on disks and in our API: three digits.
    pub fn fplxdm(self) -> &'static str {
        self.codes().fplxdm
    }

    /// Aisino's internal number.
    pub fn aisino(self) -> u8 {
        self.codes().aisino
    }

    /// 用友's FPLX, where that interface knows the kind.
    pub fn yonyou(self) -> Option<u8> {
        self.codes().yonyou
    }

    /// The Chinese name printed on such an invoice.
    pub fn name(self) -> &'static str {
        self.codes().name
    }

    /// 专票: needs the buyer's number, address and bank; carries no rate 0.
    pub fn is_special(self) -> bool {
        matches!(self, InvoiceKind::PaperSpecial | InvoiceKind::ElectronicSpecial | InvoiceKind::FreightSpecial)
    }

    /// Electronic kinds are never voided, only reversed (invoice-rules.md, section 8).
    pub fn is_electronic(self) -> bool {
        matches!(self, InvoiceKind::ElectronicOrdinary | InvoiceKind::ElectronicSpecial)
    }

    /// The kind of a 用友 FPLX number.
    pub fn from_yonyou(code: u8) -> Option<InvoiceKind> {
        CODES.iter().find(|codes| codes.yonyou == Some(code)).map(|codes| codes.kind)
    }
}

/// Not a kind that a tax disk issues.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{quoted} is not an invoice kind: 004, 005, 006, 007, 009, 025, 026 or 028 is expected", quoted = Quoted(.0))]
pub struct UnknownKind(pub String);

impl FromStr for InvoiceKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        CODES.iter().find(|codes| codes.fplxdm == text).map(|codes| codes.kind).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

impl fmt::Display for InvoiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fplxdm())
    }
}

impl serde::Serialize for InvoiceKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.fplxdm())
    }
}

impl<'de> serde::Deserialize<'de> for InvoiceKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_kinds() {
        for (index, kind) in InvoiceKind::ALL.into_iter().enumerate() {
            assert_eq!(CODES[index].kind, kind);
            assert_eq!(kind.fplxdm().parse::<InvoiceKind>(), Ok(kind));
        }
        assert_eq!(InvoiceKind::from_yonyou(12), Some(InvoiceKind::Roll));
        assert!("030".parse::<InvoiceKind>().is_err());
    }
}
