//! What a component says when it refuses: the disk's six hex digits and a text. device-xml-and-usb.md, A.6.
//!
//! Where the disk refuses with something that A.6 does not list (a wrong sum, a wrong rate, a discount out of order), the
//! code is 092400, "parameter". A wrong disk password (skpkl) is told like a wrong certificate password: 0963cX.

use serde::{Deserialize, Serialize};

use crate::sim::disk::{Secret, SimDisk};
use crate::sim::refusal::{
    ALREADY_REPORTED, FIELD_TOO_LONG, NOT_SUPPORTED, OFFLINE_AMOUNT, OFFLINE_COUNT, OFFLINE_TIME, Refusal, WRONG_DISK, WRONG_KIND,
};

/// Where the hex code stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodePlace {
    /// `<returncode>09d103</returncode>`.
    #[default]
    Returncode,
    /// returncode 1, `<returnmsg>09D103:发票领购信息已用完</returnmsg>`.
    Message,
    /// returncode 1, `<returnmsg>发票领购信息已用完 DiskErr:09d103</returnmsg>`.
    DiskErr,
}

/// A refusal in a component's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    code: String,
    text: String,
}

/// Longest answer to a query that a disk gives: above it the query overflows.
pub(crate) const OVERFLOW: &str = "092100";
const PARAMETER: &str = "092400";
const NO_DATA: &str = "09d106";
const ILLEGAL_COMMAND: &str = "092000";

impl Failure {
    /// Any code and text, as they are.
    pub(crate) fn new(code: impl Into<String>, text: impl Into<String>) -> Failure {
        Failure { code: code.into(), text: text.into() }
    }

    /// A document or field that is none.
    pub(crate) fn parameter(text: impl Into<String>) -> Failure {
        Failure::new(PARAMETER, text)
    }

    /// A business id that the component does not know.
    pub(crate) fn illegal_command() -> Failure {
        Failure::new(ILLEGAL_COMMAND, "非法命令")
    }

    /// Nothing was found.
    pub(crate) fn no_data() -> Failure {
        Failure::new(NO_DATA, "没有检索到数据")
    }

    /// The current pair is not the one that the host expects; nothing was issued (C.4).
    pub(crate) fn other_pair() -> Failure {
        Failure::new("10315", "当前发票代码号码与预期不一致")
    }

    /// The disk's refusal, with the tries that are left after it.
    pub(crate) fn of(refusal: &Refusal, disk: &SimDisk) -> Failure {
        let tries = |secret| format!("0963c{:x}", disk.tries_left(secret).min(15));
        let (code, text) = match refusal.code {
            Some(176) => ("09d103".to_owned(), "发票领购信息已用完"),
            Some(89 | 220) => (NO_DATA.to_owned(), "没有检索到数据"),
            Some(80) => ("09d108".to_owned(), "发票代码号码非法"),
            Some(21 | 701 | 702) => ("09d109".to_owned(), "已到开票截止日期"),
            Some(210) => ("09d110".to_owned(), "发票类型错误"),
            Some(246 | 781) => ("09d122".to_owned(), "已过离线发票上传截止日期"),
            Some(100 | 506) => ("09e105".to_owned(), "税控设备时钟错误"),
            Some(562) => (OVERFLOW.to_owned(), "数据溢出"),
            Some(120 | 121 | 240) => (PARAMETER.to_owned(), "税控设备写发票明细时异常 DiskErr:092400"),
            Some(236..=238) => (tries(Secret::Disk), "税控设备口令错误"),
            Some(6011 | 6012) => (tries(Secret::Certificate), "数字证书密码错误"),
            Some(_) => (PARAMETER.to_owned(), &*refusal.text),
            None => (hex_of_text(refusal).to_owned(), &*refusal.text),
        };
        Failure { code, text: text.to_owned() }
    }

    /// returncode and returnmsg.
    pub(crate) fn words(&self, place: CodePlace) -> (String, String) {
        match place {
            // −10324, 10315 and the like are the component's own codes, not the disk's: they stand in returncode always.
            _ if self.code.len() != 6 || self.code.starts_with('-') => (self.code.clone(), self.text.clone()),
            CodePlace::Returncode => (self.code.clone(), self.text.clone()),
            CodePlace::Message => ("1".to_owned(), format!("{}:{}", self.code.to_ascii_uppercase(), self.text)),
            CodePlace::DiskErr => ("1".to_owned(), format!("{} DiskErr:{}", self.text, self.code)),
        }
    }
}

fn hex_of_text(refusal: &Refusal) -> &'static str {
    let known = [
        (ALREADY_REPORTED, "09d11c"),
        (OFFLINE_TIME, "09d11f"),
        (OFFLINE_COUNT, "09d120"),
        (OFFLINE_AMOUNT, "09d121"),
        (NOT_SUPPORTED, ILLEGAL_COMMAND),
        (WRONG_KIND, "09d110"),
        (WRONG_DISK, "09c000"),
        (FIELD_TOO_LONG, OVERFLOW),
    ];
    known.iter().find(|(known, _)| known == refusal).map_or(PARAMETER, |(_, hex)| hex)
}
