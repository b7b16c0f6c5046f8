//! People and passwords in bytes that leave the PC, for all dialects: what is text, what is a number as long as a taxpayer's,
//! and which elements of a document hold a name or a password.
//!
//! Everything keeps its length, so that frames and documents stay what they are. It is generous: better a word too many is gone.

use std::collections::BTreeMap;

/// 某 in GBK.
const SOMEBODY: [u8; 2] = [0xC4, 0xB3];
/// What stands for a byte that was taken out.
pub(crate) const MASK: u8 = b'*';
/// Lengths of taxpayer numbers.
const LENGTHS: [usize; 4] = [15, 17, 18, 20];
/// The longest of them.
const LONGEST: usize = 20;
/// Length of a disk number.
const DISK_BYTES: usize = 12;

/// Elements of documents that name a party or a person, or hold what anybody may have written.
const PEOPLE: [&str; 19] = [
    "ghdwmc", "ghdwsbh", "ghdwdzdh", "ghdwyhzh", "xhdwmc", "xhdwsbh", "xhdwdzdh", "xhdwyhzh", "nsrmc", "nsrsbh", "skr", "fhr",
    "kpr", "zfr", "lgry", "bz", "sjhm", "email", "ewm",
];

/// Numbers that were replaced, in the order in which they came.
pub(crate) type Names = BTreeMap<Vec<u8>, usize>;

/// Elements of documents that hold a password: every dialect's end with 口令's kl, or are a pwd.
fn is_password(element: &[u8]) -> bool {
    let name = element.to_ascii_lowercase();
    name.ends_with(b"kl") || name.windows(3).any(|part| part == b"pwd") || name.windows(4).any(|part| part == b"pass")
}

/// Calls `change` with the name and the text of every element that has text of its own.
fn texts(document: &mut [u8], mut change: impl FnMut(&[u8], &mut [u8])) {
    let mut at = 0;
    // The second byte of a GBK character is never below 40, so no part of one is taken for a tag.
    while let Some(open) = document[at..].iter().position(|byte| *byte == b'<').map(|found| at + found) {
        let Some(close) = document[open..].iter().position(|byte| *byte == b'>').map(|found| open + found) else { return };
        let end = document[close..].iter().position(|byte| *byte == b'<').map_or(document.len(), |found| close + found);
        let (tags, text) = document.split_at_mut(close + 1);
        let tag = &tags[open + 1..close];
        let name = tag.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').next().unwrap_or(&[]);
        change(name, &mut text[..end - close - 1]);
        at = end;
    }
}

/// A document without its passwords; what is no document is masked whole.
pub(crate) fn mask_document(bytes: &[u8]) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    if !copy.trim_ascii_start().starts_with(b"<") {
        copy.fill(MASK);
        return copy;
    }
    texts(&mut copy, |name, text| {
        if is_password(name) {
            text.fill(MASK);
        }
    });
    copy
}

/// A document without people.
pub(crate) fn anonymise_document(document: &mut [u8], names: &mut Names) {
    texts(document, |name, data| {
        let number = data.trim_ascii();
        let is_number =
            LENGTHS.contains(&number.len()) && number.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        let is_person = PEOPLE.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        text(data);
        if !is_person || is_number {
            numbers(data, names);
            return;
        }
        for byte in data.iter_mut() {
            match byte {
                b'0'..=b'9' => *byte = b'9',
                b'a'..=b'z' | b'A'..=b'Z' => *byte = b'x',
                _ => {}
            }
        }
    });
}

/// Chinese text becomes 某.
pub(crate) fn text(data: &mut [u8]) {
    let mut at = 0;
    while at < data.len() {
        if data[at] < 0x81 {
            at += 1;
        } else if data.get(at + 1).is_some_and(|low| *low >= 0x40) {
            data[at..at + 2].copy_from_slice(&SOMEBODY);
            at += 2;
        } else {
            data[at] = SOMEBODY[0];
            at += 1;
        }
    }
}

/// Numbers as long as a taxpayer's become made-up ones, the same one everywhere.
pub(crate) fn numbers(data: &mut [u8], names: &mut Names) {
    let is_part = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let mut at = 0;
    while at < data.len() {
        let length = data[at..].iter().take_while(|byte| is_part(byte)).count();
        let run = &mut data[at..at + length];
        if length > LONGEST {
            long(run, names);
        } else if LENGTHS.contains(&length) {
            replace(run, names);
        }
        at += length.max(1);
    }
}

/// Fields that stand beside each other without a gap.
fn long(run: &mut [u8], names: &mut Names) {
    let known = names.keys().find_map(|name| Some((run.windows(name.len()).position(|part| part == name)?, name.len())));
    match known {
        Some((at, length)) => replace(&mut run[at..at + length], names),
        // The number of the disk, then that of its taxpayer: how the disk tells who it is.
        None if LENGTHS.contains(&(run.len() - DISK_BYTES)) => replace(&mut run[DISK_BYTES..], names),
        // Better not replayable than somebody's.
        None => replace(run, names),
    }
}

fn replace(number: &mut [u8], names: &mut Names) {
    if number.iter().all(|byte| *byte == b'0') {
        return;
    }
    let count = names.len();
    let index = *names.entry(number.to_vec()).or_insert(count);
    let length = number.len();
    let shown = format!("{:0length$}", index + 1);
    number.iter_mut().zip(shown.bytes()).for_each(|(byte, digit)| *byte = if digit == b'0' { b'9' } else { digit });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gbk(text: &str) -> Vec<u8> {
        encoding_rs::GBK.encode(text).0.into_owned()
    }

    #[test]
    fn passwords_of_documents_are_masked_and_nothing_else_is() {
        let text = "<?xml version=\"1.0\" encoding=\"gbk\"?><business id=\"X\"><skpkl>88888888</skpkl><keypwd>1234</keypwd>\
                    <sksbkl>77</sksbkl><skpbh>661500000001</skpbh><ghdwmc>个人</ghdwmc></business>";
        let masked = mask_document(&gbk(text));
        let expected = text.replace("88888888", "********").replace(">1234<", ">****<").replace(">77<", ">**<");
        assert_eq!(masked, gbk(&expected));
        assert_eq!(mask_document(b"skpkl=88888888"), vec![MASK; 14]);
        // Cut in the middle of a tag or of a password.
        for end in 0..gbk(text).len() {
            let cut = mask_document(&gbk(text)[..end]);
            assert!(!cut.windows(3).any(|part| part == b"888"), "{end}");
        }
    }

    #[test]
    fn people_of_documents_are_replaced_alike_everywhere() {
        let text = "<nsrsbh>91110000MA0000001L</nsrsbh><ghdwmc>John Smith 有限公司</ghdwmc><bz>T 13800138000</bz>\
                    <spmc>打印纸</spmc><je>200.00</je><xhdwsbh>91110000MA0000001L</xhdwsbh><fpdm>1100000320</fpdm>";
        let mut document = gbk(text);
        let length = document.len();
        anonymise_document(&mut document, &mut Names::new());
        let shown = encoding_rs::GBK.decode(&document).0.into_owned();
        assert_eq!(document.len(), length);
        assert_eq!(
            shown,
            "<nsrsbh>999999999999999991</nsrsbh><ghdwmc>xxxx xxxxx 某某某某</ghdwmc><bz>x 99999999999</bz>\
             <spmc>某某某</spmc><je>200.00</je><xhdwsbh>999999999999999991</xhdwsbh><fpdm>1100000320</fpdm>"
        );
    }
}
