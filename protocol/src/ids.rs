//! Identifiers: who sells, which request, which disk, which agent. Parsed once; afterwards only well-formed ones exist.

use std::fmt;
use std::str::FromStr;

use crate::quote::Quoted;

/// Why a text is not the identifier it claims to be. The text is written for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(pub String);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $parse:path) => {
        text_id!($(#[$doc])* $name, $parse, stored $parse);
    };
    ($(#[$doc:meta])* $name:ident, $parse:path, stored $stored:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The identifier as text, as it is printed and sent.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                $parse(text).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                $stored(&text).map($name).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// 纳税人识别号: who issues or receives. 18 characters with a check character (GB 32100-2015, or an identity card
    /// number), or an older form of 15 to 20 characters.
    ///
    /// Parsing a text ([`FromStr`]) is for what people and callers write: it checks the check character. What a device says
    /// is read by [`TaxpayerNumber::from_device`], and what was accepted once is read back the same way.
    TaxpayerNumber,
    taxpayer_number,
    stored taxpayer_number_form
);

impl TaxpayerNumber {
    /// The number inside a disk. Only its form is checked: the tax office wrote it, and a disk is not refused because we
    /// would compute another check character. Submissions are parsed strictly.
    ///
    /// # Errors
    /// Not 15 to 20 digits and capital letters.
    pub fn from_device(text: &str) -> Result<TaxpayerNumber, IdError> {
        taxpayer_number_form(text).map(TaxpayerNumber)
    }
}

text_id!(
    /// 发票请求流水号: the caller's key of one invoice, unique per seller, for ever. 1 to 20 ASCII letters and digits
    /// (the narrowest of the interfaces in use; invoice-rules.md, section 7).
    SerialNumber,
    serial_number
);
text_id!(
    /// The number inside a tax disk (税控盘编号, 机器编号): its identity (I7). 1 to 20 ASCII letters and digits, 12 digits in practice.
    DiskNumber,
    disk_number
);
text_id!(
    /// Who an agent is: `ag_` and 16 lower-case hex digits, given by the broker at enrolment.
    AgentId,
    agent_id
);
text_id!(
    /// An organisation or terminal of a seller that issues: 1 to 40 ASCII letters, digits, `-` and `_`.
    IssuePoint,
    issue_point
);

/// The key of a job: who sells, and the caller's serial number. One legal invoice at most exists per key (I1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct JobKey {
    /// Taxpayer number of the seller.
    pub seller: TaxpayerNumber,
    /// The caller's serial number.
    pub serial: SerialNumber,
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.seller, self.serial)
    }
}

/// What is certain of every taxpayer number, old or new: 15 to 20 digits and capital letters (invoice-rules.md, section 7).
fn taxpayer_number_form(text: &str) -> Result<String, IdError> {
    if !(15..=20).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) {
        let detail = format!("{} is not a taxpayer number: 15 to 20 digits and capital letters are expected", Quoted(text));
        return Err(IdError(detail));
    }
    Ok(text.to_owned())
}

/// The form, and the check character of 18 characters. Other lengths have no check that holds for all of their forms
/// (organisation codes, identity cards with digits after them, passports).
fn taxpayer_number(text: &str) -> Result<String, IdError> {
    let text = taxpayer_number_form(text)?;
    if text.len() != 18 || is_identity_card(&text) {
        return Ok(text);
    }
    match credit_code_check(&text) {
        Some(check) if text.ends_with(check) => Ok(text),
        Some(_) => Err(IdError(format!(
            "{text:?} is not a taxpayer number: its check character is wrong, so some character is mistyped"
        ))),
        None => Err(IdError(format!("{text:?} is not a taxpayer number: 18 characters hold no letters I, O, S, V, Z"))),
    }
}

/// The check character that the first 17 characters of a unified social credit code ask for (GB 32100-2015: weights 3^i,
/// modulus 31). `None` if a character is not of its alphabet.
fn credit_code_check(text: &str) -> Option<char> {
    const ALPHABET: &str = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    let mut weight = 1;
    let mut sum = 0;
    for c in text.chars().take(17) {
        sum += ALPHABET.find(c)? * weight;
        weight = weight * 3 % 31;
    }
    // The last character is of the alphabet too.
    ALPHABET.find(text.chars().nth(17)?)?;
    ALPHABET.chars().nth((31 - sum % 31) % 31)
}

/// An identity card number (GB 11643-1999): 17 digits, and a check of modulus 11 in which X stands for 10.
fn is_identity_card(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: &str = "10X98765432";
    let digits: Option<Vec<u32>> = text.chars().take(17).map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits else { return false };
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    CHECKS.chars().nth((sum % 11) as usize) == text.chars().nth(17)
}

fn serial_number(text: &str) -> Result<String, IdError> {
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(IdError(format!("{} is not a serial number: 1 to 20 ASCII letters and digits are expected", Quoted(text))));
    }
    Ok(text.to_owned())
}

fn disk_number(text: &str) -> Result<String, IdError> {
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(IdError(format!("{} is not a disk number: 1 to 20 ASCII letters and digits are expected", Quoted(text))));
    }
    Ok(text.to_owned())
}

fn agent_id(text: &str) -> Result<String, IdError> {
    let digits = text.strip_prefix("ag_").unwrap_or("");
    if digits.len() != 16 || !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(IdError(format!("{} is not an agent id: ag_ and 16 hex digits are expected", Quoted(text))));
    }
    Ok(text.to_owned())
}

fn issue_point(text: &str) -> Result<String, IdError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.is_empty() || text.len() > 40 || !text.bytes().all(allowed) {
        return Err(IdError(format!(
            "{} is not an issue point: 1 to 40 ASCII letters, digits, - and _ are expected",
            Quoted(text)
        )));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn credit_codes_and_identity_cards_are_checked_by_their_last_character() {
        // The first two are published codes; the last ones are the made-up examples of the identity card standard.
        for good in ["91350100M000100Y43", "91110000MA0000001L", "91310000MA00000025", "11010519491231002X", "440524188001010014"]
        {
            assert_eq!(good.parse::<TaxpayerNumber>().unwrap().as_str(), good);
        }
        for bad in ["91350100M000100Y44", "91110000MA00000019", "91310000MA00000027", "110105194912310021", "X10105194912310021"]
        {
            assert!(bad.parse::<TaxpayerNumber>().unwrap_err().0.contains("check character"), "{bad} was taken");
        }
        for letter in ["I", "O", "Z", "S", "V"] {
            assert!(format!("9135010{letter}M000100Y43").parse::<TaxpayerNumber>().unwrap_err().0.contains("letters"));
            assert!(format!("91350100M000100Y4{letter}").parse::<TaxpayerNumber>().unwrap_err().0.contains("letters"));
        }
    }

    #[test]
    fn every_single_mistyped_character_of_a_credit_code_is_noticed() {
        let good = "91350100M000100Y43";
        for place in 0..18 {
            for c in "0123456789ABCDEFGHJKLMNPQRTUWXY".chars().filter(|c| !good[place..].starts_with(*c)) {
                let bad = format!("{}{c}{}", &good[..place], &good[place + 1..]);
                assert!(bad.parse::<TaxpayerNumber>().is_err(), "{bad} was taken");
            }
        }
    }

    #[test]
    fn older_forms_are_judged_by_their_form_alone() {
        for good in ["110105123456789", "11010512345678X", "11010519491231002", "11010519491231002X01", "1101051234567890123"] {
            assert!(good.parse::<TaxpayerNumber>().is_ok(), "{good} was refused");
        }
        for bad in
            ["", "11010512345678", "110105194912310021234", "110105 12345678", "11010512345678x", "１１０１０５１９４９１２３"]
        {
            assert!(bad.parse::<TaxpayerNumber>().is_err(), "{bad:?} was taken");
            assert!(TaxpayerNumber::from_device(bad).is_err(), "{bad:?} was taken from a device");
        }
    }

    #[test]
    fn what_a_device_says_and_what_was_stored_is_not_judged_again() {
        let number = TaxpayerNumber::from_device("91110000MA00000019").unwrap();
        let text = serde_json::to_string(&number).unwrap();
        assert_eq!(serde_json::from_str::<TaxpayerNumber>(&text).unwrap(), number);
        assert!(serde_json::from_str::<TaxpayerNumber>("\"9111\"").is_err());
    }

    #[test]
    fn the_other_identifiers_hold_what_they_promise() {
        for good in ["1", "NW10248", "abcDEF12345678901234"] {
            assert_eq!(good.parse::<SerialNumber>().unwrap().to_string(), good);
        }
        for bad in ["", "abcDEF123456789012345", "NW-1", "NW 1", "NW_1", "ＮＷ１", "a/b", "a\0"] {
            assert!(bad.parse::<SerialNumber>().is_err(), "{bad:?} was taken");
            assert!(bad.parse::<DiskNumber>().is_err(), "{bad:?} was taken");
        }
        assert!("ag_0123456789abcdef".parse::<AgentId>().is_ok());
        for bad in ["", "ag_", "ag_0123456789abcde", "ag_0123456789ABCDEF", "ag-0123456789abcdef", "ag_0123456789abcdef0"] {
            assert!(bad.parse::<AgentId>().is_err(), "{bad:?} was taken");
        }
        assert!("shop-1_till".parse::<IssuePoint>().is_ok());
        for bad in ["", "shop 1", "a/b", "门店", &"x".repeat(41)] {
            assert!(bad.parse::<IssuePoint>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn an_error_never_repeats_a_long_text() {
        let error = "9".repeat(1_000_000).parse::<SerialNumber>().unwrap_err();
        assert!(error.0.len() < 200);
    }
}
