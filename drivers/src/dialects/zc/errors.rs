//! What a refusal of the device means: code → class, text → class, link code → class (device-serial-zc.md, sections 3 and 8).
//!
//! A class never proves that nothing was issued. What is not in the tables is a device fault: never a guess from words.

mod table;

use taxdisk_protocol::class::DeviceClass;

use super::exchange::Fault;
use super::fields::decode_text;
use crate::disk::DiskError;
use crate::transport::LineError;

/// The longest text of the device that is kept; a type 0x20 frame could hold 64 KB.
const MAX_TEXT_CHARS: usize = 500;

/// For a refusal without a word.
const NO_REASON: &str = "the device refused and gave no reason";

/// JSK codes that mean "there is no such invoice" when they answer a query, and nothing of the kind otherwise.
const ABSENT: [u16; 3] = [89, 220, 790];

/// 操作员锁死: the password is blocked, no try is left.
const PASSWORD_BLOCKED: u16 = 238;

/// A business error as the device put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What to tell people.
    pub class: DeviceClass,
    /// `JSK176`, `-10324`; none for plain texts.
    pub code: Option<String>,
    /// The device's text, or the table's where it gave none.
    pub text: String,
    /// Tries left, where the code says.
    pub tries_left: Option<u8>,
    /// In answer to a query: the device says that it has no such invoice.
    pub absent_in_query: bool,
    /// The certificate's password was refused, not the disk's.
    pub certificate: bool,
}

/// Reads the text of an `ER` answer.
pub fn classify(data: &[u8]) -> Refusal {
    let text: String = decode_text(data).chars().take(MAX_TEXT_CHARS).collect();
    if let Some((code, rest)) = numbered(&text, "JSK") {
        return jsk(code, rest);
    }
    if let Some((code, rest)) = numbered(&text, "-") {
        return negative(code, rest);
    }
    let wanted = plain_form(&text);
    let class = table::TEXTS.iter().find(|(known, _)| plain_form(known) == wanted).map(|(_, class)| *class);
    Refusal { text, ..refusal(class.unwrap_or(DeviceClass::DeviceFault)) }
}

fn refusal(class: DeviceClass) -> Refusal {
    Refusal { class, code: None, text: String::new(), tries_left: None, absent_in_query: false, certificate: false }
}

/// `<prefix><decimal>:<text>`, with either kind of colon or none at the end.
fn numbered<'a>(text: &'a str, prefix: &str) -> Option<(u16, &'a str)> {
    let rest = text.strip_prefix(prefix)?;
    let digits = rest.len() - rest.trim_start_matches(|one: char| one.is_ascii_digit()).len();
    let (number, rest) = rest.split_at(digits);
    let code = number.parse().ok()?;
    if rest.is_empty() {
        return Some((code, rest));
    }
    Some((code, rest.strip_prefix([':', '：'])?.trim()))
}

fn jsk(code: u16, text: &str) -> Refusal {
    let known = table::JSK.binary_search_by_key(&code, |(known, _, _)| *known).ok().map(|index| table::JSK[index]);
    let certificate = (6000..=6999).contains(&code);
    let class = match known {
        _ if certificate && text.contains("口令") => DeviceClass::BadPassword,
        _ if certificate => DeviceClass::DeviceFault,
        Some((_, class, _)) => class,
        None => DeviceClass::DeviceFault,
    };
    let told = !text.is_empty() && text != "其他错误";
    let text = if told { text } else { known.map_or(text, |(_, _, meaning)| meaning) };
    Refusal {
        code: Some(format!("JSK{code}")),
        text: text.to_owned(),
        tries_left: (code == PASSWORD_BLOCKED).then_some(0),
        absent_in_query: ABSENT.contains(&code),
        certificate,
        ..refusal(class)
    }
}

/// `-103xx` of the middleware box; `-1` and its like are faults of the line that the converter's host side words.
fn negative(code: u16, text: &str) -> Refusal {
    let known = table::MIDDLEWARE.iter().find(|(known, _, _)| *known == code);
    let class = match known {
        Some((_, class, _)) => *class,
        None if code == 1 => DeviceClass::Link,
        None => DeviceClass::DeviceFault,
    };
    let text = if text.is_empty() { known.map_or(text, |(_, _, meaning)| meaning) } else { text };
    Refusal { code: Some(format!("-{code}")), text: text.to_owned(), ..refusal(class) }
}

/// Firmware builds differ in punctuation only.
fn plain_form(text: &str) -> String {
    text.trim_end_matches(['!', '！', '.', '。']).replace('，', ",")
}

impl From<Refusal> for DiskError {
    fn from(refusal: Refusal) -> DiskError {
        // Spaces, or an empty element of a document.
        let text = if refusal.text.is_empty() { NO_REASON.to_owned() } else { refusal.text };
        DiskError { class: refusal.class, code: refusal.code, text, tries_left: refusal.tries_left }
    }
}

impl From<Fault> for DiskError {
    fn from(fault: Fault) -> DiskError {
        let text = fault.to_string();
        let (class, code) = match fault {
            Fault::Refused { text, .. } => return classify(&text).into(),
            Fault::LinkCode { code, .. } => (link_class(code), Some(format!("ER{code:02X}"))),
            Fault::Line(LineError::Gone { .. } | LineError::NotFound { .. }) => (DeviceClass::NotPresent, None),
            Fault::TooLong(_) => (DeviceClass::InvalidRequest, None),
            _ => (DeviceClass::Link, None),
        };
        DiskError { class, code, text, tries_left: None }
    }
}

fn link_class(code: u8) -> DeviceClass {
    match code {
        0x20 => DeviceClass::Unsupported,
        0x22 => DeviceClass::InvalidRequest,
        _ => DeviceClass::Link,
    }
}

/// What a single-byte `ER` says, for people.
pub(super) fn link_text(code: u8) -> &'static str {
    match code {
        0x11 => "the device did not understand the beginning of the command: check speed and cable",
        0x12 => "the device lost count of the packets: check the cable, and that no other program uses the port",
        0x1F => "the device received a damaged command (checksum): check cable and speed",
        0x20 => "the device does not know this command: it is another model or an older version",
        0x22 => "the device refuses the length of this command: it is another model or version",
        0x30 => "the device received only a part of the command: check the cable",
        _ => "the device reports an error of the line that is not in its manual",
    }
}

/// An error of ours in a class of the device's.
pub(super) fn own_error(class: DeviceClass, text: impl Into<String>) -> DiskError {
    DiskError { class, code: None, text: text.into(), tries_left: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gbk(text: &str) -> Vec<u8> {
        encoding_rs::GBK.encode(text).0.into_owned()
    }

    fn class_of(text: &str) -> DeviceClass {
        classify(&gbk(text)).class
    }

    #[test]
    fn the_table_is_in_order_and_whole() {
        assert!(table::JSK.is_sorted_by(|left, right| left.0 < right.0));
        assert_eq!(table::JSK.len(), 210);
        assert_eq!(table::MIDDLEWARE.len(), 29);
        assert_eq!(table::TEXTS.len(), 19);
        for (code, class, text) in table::JSK {
            assert!(!text.is_empty());
            if !(6000..=6999).contains(code) {
                assert_eq!(classify(&gbk(&format!("JSK{code}:x"))).class, *class, "JSK{code}");
            }
        }
    }

    #[test]
    fn codes_that_money_hangs_on() {
        assert_eq!(class_of("JSK176:无可用发票"), DeviceClass::NoStock);
        assert_eq!(class_of("JSK182:金税盘无新购发卷"), DeviceClass::NoStock);
        assert_eq!(class_of("JSK784:开票明细中发票代码或号码与票面不一致"), DeviceClass::NumberMismatch);
        assert_eq!(class_of("JSK3001:与金税盘通讯异常"), DeviceClass::Link);
        for code in [120, 121, 240] {
            assert_eq!(class_of(&format!("JSK{code}:")), DeviceClass::DeviceFault);
        }
        assert_eq!(class_of("JSK769:x"), DeviceClass::OverOfflineAmount);
        assert_eq!(class_of("JSK768:x"), DeviceClass::OverOfflineTime);
    }

    #[test]
    fn absence_is_said_by_three_codes_only() {
        let absent: Vec<u16> =
            (0..=u16::MAX).filter(|code| classify(format!("JSK{code}:x").as_bytes()).absent_in_query).collect();
        assert_eq!(absent, [89, 220, 790]);
        assert!(!classify(&gbk("未找到指定发票明细")).absent_in_query);
    }

    #[test]
    fn passwords_and_certificates_are_told_apart() {
        let blocked = classify(&gbk("JSK238:操作员锁死"));
        assert_eq!((blocked.class, blocked.tries_left, blocked.certificate), (DeviceClass::BadPassword, Some(0), false));
        assert_eq!(classify(&gbk("JSK237:操作员口令错误")).tries_left, None);
        let certificate = classify(&gbk("JSK6023:证书口令错误"));
        assert_eq!((certificate.class, certificate.certificate), (DeviceClass::BadPassword, true));
        assert_eq!(class_of("JSK6011:证书过期"), DeviceClass::DeviceFault);
    }

    #[test]
    fn unknown_words_are_a_device_fault_and_never_a_guess() {
        for text in
            ["", "JSK", "JSKx:无可用发票", "JSK99999999:无可用发票", "JSK31000:其他错误", "没有发票", "-", "-7:x", "JSK176x"]
        {
            assert_eq!(class_of(text), DeviceClass::DeviceFault, "{text:?}");
        }
    }

    #[test]
    fn plain_texts_match_without_regard_to_punctuation() {
        assert_eq!(class_of("开票单张金额超限!"), DeviceClass::OverInvoiceLimit);
        assert_eq!(class_of("开票单张金额超限！"), DeviceClass::OverInvoiceLimit);
        assert_eq!(class_of("原发票已抄报，不能作废"), DeviceClass::Locked);
        assert_eq!(class_of("-1:命令CRC错!"), DeviceClass::Link);
        assert_eq!(class_of("-10324:流水号已开具"), DeviceClass::Duplicate);
        assert_eq!(class_of("-10326"), DeviceClass::InProgress);
    }

    #[test]
    fn a_missing_text_is_taken_from_the_table() {
        assert_eq!(classify(&gbk("JSK176:其他错误")).text, "无可用发票");
        assert_eq!(classify(&gbk("JSK176")).text, "无可用发票");
        assert_eq!(classify(&gbk("JSK31000:其他错误")).text, "其他错误");
    }
}
