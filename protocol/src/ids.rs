//! Identifiers: who sells, which request, which disk, which agent. Parsed once; afterwards only well-formed ones exist.

use std::fmt;
use std::str::FromStr;

/// Why a text is not the identifier it claims to be. The text is written for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(pub String);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $parse:path) => {
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
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// 纳税人识别号: who issues or receives. 18 characters with a check character (GB 32100-2015, or an identity card
    /// number), or the older forms of 15 and 20 characters. See [`crate::ids::taxpayer_number`] for what is checked.
    TaxpayerNumber,
    taxpayer_number
);
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

/// Checks a taxpayer number. Letters must be upper case.
///
/// # Errors
/// Says which rule the text breaks.
pub fn taxpayer_number(text: &str) -> Result<String, IdError> {
    if !(15..=20).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) {
        return Err(IdError(format!("{text:?} is not a taxpayer number: 15 to 20 digits and capital letters are expected")));
    }
    Ok(text.to_owned())
}

fn serial_number(text: &str) -> Result<String, IdError> {
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(IdError(format!("{text:?} is not a serial number: 1 to 20 ASCII letters and digits are expected")));
    }
    Ok(text.to_owned())
}

fn disk_number(text: &str) -> Result<String, IdError> {
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(IdError(format!("{text:?} is not a disk number: 1 to 20 ASCII letters and digits are expected")));
    }
    Ok(text.to_owned())
}

fn agent_id(text: &str) -> Result<String, IdError> {
    let digits = text.strip_prefix("ag_").unwrap_or("");
    if digits.len() != 16 || !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(IdError(format!("{text:?} is not an agent id: ag_ and 16 hex digits are expected")));
    }
    Ok(text.to_owned())
}

fn issue_point(text: &str) -> Result<String, IdError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.is_empty() || text.len() > 40 || !text.bytes().all(allowed) {
        return Err(IdError(format!("{text:?} is not an issue point: 1 to 40 ASCII letters, digits, - and _ are expected")));
    }
    Ok(text.to_owned())
}
