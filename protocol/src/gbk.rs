//! GBK as tax disks store it: code page 936, one byte for ASCII and two for everything else.
//!
//! Stricter than the Web's GBK, which also knows `€` as the single byte 80, the additions of GB 18030 and a private-use
//! area. A disk prints those as another character or as none, so they count as not encodable: the caller hears which
//! characters they are instead of finding them changed on a legal document. Nothing is ever replaced here.

use encoding_rs::GBK;

/// Bytes of the text in GBK; `None` if a character cannot be encoded.
pub fn width(text: &str) -> Option<usize> {
    text.chars().try_fold(0, |sum, c| Some(sum + encode_char(c)?.len()))
}

/// Characters that GBK does not have, each with its place, counted in characters from 0.
pub fn unencodable(text: &str) -> Vec<(usize, char)> {
    text.chars().enumerate().filter(|(_, c)| encode_char(*c).is_none()).collect()
}

/// The text in GBK; `None` if a character cannot be encoded.
pub fn encode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        bytes.extend_from_slice(encode_char(c)?.bytes());
    }
    Some(bytes)
}

/// Reads GBK that a device sent. Bytes that are no character become U+FFFD: what a device says is evidence, and evidence is
/// shown as far as it can be read.
pub fn decode_lenient(bytes: &[u8]) -> String {
    GBK.decode_without_bom_handling(bytes).0.into_owned()
}

/// One encoded character.
struct Encoded {
    bytes: [u8; 2],
    len: u8,
}

impl Encoded {
    fn len(&self) -> usize {
        usize::from(self.len)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }
}

fn encode_char(c: char) -> Option<Encoded> {
    if let Ok(ascii) = u8::try_from(c)
        && ascii.is_ascii()
    {
        return Some(Encoded { bytes: [ascii, 0], len: 1 });
    }
    let mut utf8 = [0; 4];
    let (bytes, _, failed) = GBK.encode(c.encode_utf8(&mut utf8));
    match *bytes {
        [lead, trail] if !failed && !is_private(c) && !is_gb18030_addition(lead, trail) => {
            Some(Encoded { bytes: [lead, trail], len: 2 })
        }
        _ => None,
    }
}

fn is_private(c: char) -> bool {
    ('\u{E000}'..='\u{F8FF}').contains(&c)
}

/// Two-byte places that GB 18030 filled later and code page 936 leaves empty.
fn is_gb18030_addition(lead: u8, trail: u8) -> bool {
    match lead {
        0xA6 => matches!(trail, 0xD9..=0xDF | 0xEC | 0xED | 0xF3),
        0xA8 => matches!(trail, 0xBC | 0xBF),
        0xA9 => matches!(trail, 0x89..=0x95),
        0xFE => trail >= 0x50,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_set_of_characters_is_that_of_code_page_936() {
        // Count and digest were made with another implementation of the code page (CPython's `gbk` codec).
        let mut hasher = Sha256::new();
        let mut count = 0;
        for c in '\0'..=char::MAX {
            if let Some(encoded) = encode_char(c) {
                hasher.update(encoded.bytes());
                count += 1;
            }
        }
        assert_eq!(count, 21_919);
        assert_eq!(hex::encode(hasher.finalize()), "f443cb4e97d2f2004f7cd200a1061edd75a012920d79f9f109ac8cc2db2f59db");
    }

    #[test]
    fn names_of_customers_are_judged_character_by_character() {
        assert_eq!(encode("测试买方有限公司").unwrap(), hex::decode("B2E2CAD4C2F2B7BDD3D0CFDEB9ABCBBE").unwrap());
        assert_eq!(encode("é").unwrap(), [0xA8, 0xA6]);
        assert_eq!(encode("ü").unwrap(), [0xA8, 0xB9]);
        assert_eq!(encode("Ａ（１）").unwrap().len(), 8);
        assert_eq!(encode("αβγδεζηθικλμνξοπρστυφχψω").unwrap().len(), 48);
        assert_eq!(width("A4打印纸"), Some(8));
        assert_eq!(width(""), Some(0));
        for c in ['€', 'ö', 'ä', 'ç', 'ñ', 'ß', 'ς', '\u{3400}', '😀', '𠮷', '\u{E000}', '\u{80}', '\u{FFFD}', '\u{9FB4}']
        {
            assert_eq!(width(&c.to_string()), None, "{c:?} was taken for GBK");
        }
        assert_eq!(unencodable("Toms Spezialitäten €5"), [(14, 'ä'), (19, '€')]);
        assert_eq!(width("Spezialitäten"), None);
    }

    #[test]
    fn what_a_device_sends_is_shown_as_far_as_it_can_be_read() {
        assert_eq!(decode_lenient(&hex::decode("B4F2D3A1D6BD").unwrap()), "打印纸");
        assert_eq!(decode_lenient(b"ok\xFF"), "ok\u{FFFD}");
        assert_eq!(decode_lenient(b"\xEF\xBB\xBFa"), "锘縜");
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back_the_same(text in "\\PC{0,40}") {
            match encode(&text) {
                Some(bytes) => {
                    prop_assert_eq!(width(&text), Some(bytes.len()));
                    prop_assert_eq!(decode_lenient(&bytes), text);
                }
                None => prop_assert!(!unencodable(&text).is_empty()),
            }
        }
    }
}
