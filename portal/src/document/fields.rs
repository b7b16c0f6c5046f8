//! The fields of a document, as tables: name, longest text, and whether it must be there (yonyou-open-api.md, sections 1.3, 1.7,
//! 1.8, 1.13). A field that is in no table is kept and judged by nobody.

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// 1.3 and 1.4: a blue invoice.
    Blue,
    /// 1.13: a blue invoice whose buyer may come later.
    Qr,
    /// 1.7: head of a full red.
    Red,
    /// 1.8: a partial red.
    PartRed,
}

/// A text field of the head.
#[derive(Debug, Clone, Copy)]
pub struct TextField {
    /// Its name.
    pub name: &'static str,
    /// Characters at most.
    pub max: usize,
    /// Forms in which it must be there.
    pub required: &'static [Form],
}

const fn field(name: &'static str, max: usize) -> TextField {
    TextField { name, max, required: &[] }
}

const fn required(name: &'static str, max: usize, required: &'static [Form]) -> TextField {
    TextField { name, max, required }
}

/// Text fields of the head. Amounts, FPQQLSH, FPLX and `items` are read by themselves.
pub const HEAD: &[TextField] = &[
    required("XSF_NSRSBH", 20, &[Form::Blue, Form::Qr]),
    field("XSF_MC", 100),
    field("XSF_DZDH", 100),
    field("XSF_YHZH", 100),
    field("GMF_NSRSBH", 20),
    required("GMF_MC", 100, &[Form::Blue]),
    field("GMF_DZDH", 100),
    field("GMF_YHZH", 100),
    field("KPR", 8),
    field("SKR", 8),
    field("FHR", 8),
    field("BZ", 200),
    field("LYID", 100),
    field("BMB_BBH", 20),
    required("ORGCODE", 50, &[Form::Qr]),
    field("WXORDERID", 64),
    field("WXAPPID", 64),
    field("WXAUTHID", 64),
    field("ZDYBZ", 200),
    field("SGBZ", 1),
    required("SHMC", 100, &[Form::Qr]),
    field("RQSJ", 10),
    field("EMAIL", 500),
    field("URL", 500),
    required("fpDm", 12, &[Form::Red, Form::PartRed]),
    required("fpHm", 8, &[Form::Red, Form::PartRed]),
    field("hzxxbbh", 30),
];

/// Fields of the head that one client spells in another letter case.
pub const ANY_CASE: &[&str] = &["ORGCODE"];

/// Printed on the invoice: their characters must exist in GBK, which is what the disks write.
pub const PRINTED: &[&str] = &["XSF_MC", "XSF_DZDH", "XSF_YHZH", "GMF_MC", "GMF_DZDH", "GMF_YHZH", "KPR", "SKR", "FHR", "BZ"];

/// Says who gets what and how; not part of what is invoiced, so a repeat may differ in it.
pub const DELIVERY: &[&str] = &["EMAIL", "URL"];

/// Text fields of a line: name, longest text.
pub const LINE: &[(&str, usize)] = &[
    ("XMMC", 90),
    ("XMBM", 90),
    ("GGXH", 40),
    ("DW", 20),
    ("HH", 60),
    ("ZKHHH", 60),
    ("SPBM", 19),
    ("ZXBM", 20),
    ("LSLBS", 1),
    ("ZZSTSGL", 50),
];

/// Decimal fields of a line: name, digits, decimals. SL is published with six digits, all of them decimals; more are read, so
/// that `13` hears from the rule of rates what is meant.
pub const LINE_DECIMALS: &[(&str, u32, u32)] =
    &[("XMSL", 15, 6), ("XMDJ", 15, 6), ("XMJE", 15, 2), ("XMJSHJ", 15, 2), ("SL", 9, 6), ("SE", 15, 2), ("KCE", 15, 2)];

/// Lines of one document at most. Splitting cuts long ones, so this is far above what an invoice holds.
pub const MAX_LINES: usize = 2000;
/// Documents of one request at most (published).
pub const MAX_DOCUMENTS: usize = 10;
/// Digits of 税收分类编码.
pub const GOODS_CODE_DIGITS: usize = 19;
