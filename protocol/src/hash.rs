//! What a serial number was asked for, as a hash: equal content has equal hashes, whatever order its fields were sent in.
//!
//! Covered are operation, kind, original and invoice. Priority and issue point say how, not what; seller and serial are the
//! key. The hashes outlive the bodies and decide for ever whether a repeated submission is the same question (I6), so **the
//! canonical form never changes**: a new form would need a new version tag, a second column and both answers compared.
//!
//! It works on text that breaks every rule, because the key is looked up before anything is validated. Decimals are
//! normalised (`226` and `226.00` are one), a line kind `normal` is the same as none; everything else is compared byte for
//! byte. A field that is absent and one that is empty are the same.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::api::{BuyerBody, InvoiceBody, JobSubmission, LineBody, Operation, PairBody, TotalsBody};
use crate::error::Difference;

/// First bytes of the hashed content. Version 1.
const CONTENT_TAG: &str = "taxdisk content v1";
/// First bytes of each hashed field. Version 1.
const FIELD_TAG: &str = "taxdisk field v1";
/// Bytes kept of a field's hash: enough to tell two values of one field apart, 16 hex digits each in the ledger.
const FIELD_BYTES: usize = 8;

/// Hashes of one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// SHA-256 over the canonical form, hex.
    pub hash: String,
    /// A short hash of each field that is not empty.
    pub fields: Fields,
}

/// Short hashes of the fields of one content: 16 hex digits for each that is not empty, by its JSON pointer into the submission.
/// `/invoice/lines` stands for the number of lines.
///
/// A job is copied at each of its events, and written; this is one text, shared by the copies: `pointer hash` each, in the order
/// of the pointers, without the `/invoice` that most of them begin with (all others begin without a slash).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Arc<str>);

impl Default for Fields {
    fn default() -> Fields {
        Fields(Arc::from(""))
    }
}

impl<P: AsRef<str>, H: AsRef<str>> FromIterator<(P, H)> for Fields {
    fn from_iter<T: IntoIterator<Item = (P, H)>>(fields: T) -> Fields {
        let fields: Vec<(P, H)> = fields.into_iter().collect();
        let mut sorted: Vec<(&str, &str)> = fields.iter().map(|(pointer, hash)| (pointer.as_ref(), hash.as_ref())).collect();
        sorted.sort_unstable();
        let mut text = String::with_capacity(sorted.len() * 40);
        for (pointer, hash) in sorted {
            let short = pointer.strip_prefix("/invoice").unwrap_or_else(|| pointer.trim_start_matches('/'));
            let space = if text.is_empty() { "" } else { " " };
            write!(text, "{space}{short} {hash}").expect("a text takes everything");
        }
        Fields(text.into())
    }
}

impl Fields {
    /// Pointers and hashes, in the order of the pointers.
    pub fn iter(&self) -> impl Iterator<Item = (String, &str)> {
        let mut words = self.0.split(' ');
        std::iter::from_fn(move || {
            let short = words.next().filter(|short| !short.is_empty())?;
            let pointer = if short.starts_with('/') { format!("/invoice{short}") } else { format!("/{short}") };
            Some((pointer, words.next().unwrap_or_default()))
        })
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Fields {
    /// Also from an object of pointers and hashes, which is how they were written first.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Fields;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("hashes of fields")
            }

            fn visit_str<E>(self, text: &str) -> Result<Fields, E> {
                Ok(Fields(text.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::<(String, String)>::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields.into_iter().collect())
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// Hashes what a submission asks for. Never fails.
pub fn content(submission: &JobSubmission) -> Content {
    let values = canonical(submission);
    let mut all = Sha256::new_with_prefix(CONTENT_TAG);
    let mut fields = Vec::with_capacity(values.len());
    for (pointer, value) in values {
        let mut field = Sha256::new_with_prefix(FIELD_TAG);
        for hasher in [&mut all, &mut field] {
            // Lengths first, so that no two sets of fields run together into the same bytes.
            for part in [&pointer, &value] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part.as_bytes());
            }
        }
        fields.push((pointer, hex::encode(&field.finalize()[..FIELD_BYTES])));
    }
    Content { hash: hex::encode(all.finalize()), fields: fields.into_iter().collect() }
}

/// The fields that differ, a field that only one side has included.
pub fn differences(old: &Fields, new: &Fields) -> Vec<Difference> {
    let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (old.iter().collect(), new.iter().collect());
    let changed = new.iter().filter(|(pointer, hash)| old.get(*pointer) != Some(hash)).map(|(pointer, _)| pointer);
    let gone = old.keys().filter(|pointer| !new.contains_key(*pointer));
    let mut pointers: Vec<&String> = changed.chain(gone).collect();
    pointers.sort();
    pointers.into_iter().map(|pointer| Difference { pointer: pointer.clone() }).collect()
}

/// All fields that are not empty, normalised.
fn canonical(submission: &JobSubmission) -> BTreeMap<String, String> {
    let JobSubmission { seller: _, serial: _, operation, kind, issue_point: _, priority: _, original, invoice } = submission;
    let mut fields = Values::default();
    let operation = match operation {
        Operation::Issue => "issue",
        Operation::Void => "void",
        Operation::Red => "red",
    };
    fields.text("/operation", operation);
    fields.text("/kind", kind);
    if let Some(PairBody { code, number }) = original {
        fields.text("/original/code", code);
        fields.text("/original/number", number);
    }
    if let Some(invoice) = invoice {
        fields.invoice(invoice);
    }
    fields.0
}

#[derive(Default)]
struct Values(BTreeMap<String, String>);

impl Values {
    fn text(&mut self, pointer: impl Into<String>, value: &str) {
        if !value.is_empty() {
            self.0.insert(pointer.into(), value.to_owned());
        }
    }

    fn decimal(&mut self, pointer: impl Into<String>, value: &str) {
        self.text(pointer, &normal_decimal(value).unwrap_or_else(|| value.to_owned()));
    }

    fn invoice(&mut self, invoice: &InvoiceBody) {
        let InvoiceBody { buyer, lines, totals, remark, clerk, payee, reviewer, notice } = invoice;
        let BuyerBody { name, taxpayer_number, address_phone, bank_account } = buyer;
        self.text("/invoice/buyer/name", name);
        self.text("/invoice/buyer/taxpayer_number", taxpayer_number.as_deref().unwrap_or_default());
        self.text("/invoice/buyer/address_phone", address_phone);
        self.text("/invoice/buyer/bank_account", bank_account);
        self.text("/invoice/lines", &lines.len().to_string());
        for (index, line) in lines.iter().enumerate() {
            self.line(index, line);
        }
        let TotalsBody { net, tax, gross } = totals;
        self.decimal("/invoice/totals/net", net);
        self.decimal("/invoice/totals/tax", tax);
        self.decimal("/invoice/totals/gross", gross);
        self.text("/invoice/remark", remark);
        self.text("/invoice/clerk", clerk);
        self.text("/invoice/payee", payee);
        self.text("/invoice/reviewer", reviewer);
        self.text("/invoice/notice", notice);
    }

    fn line(&mut self, index: usize, line: &LineBody) {
        let LineBody { kind, name, goods_code, specification, unit, quantity, price, net, rate, tax, zero_rate, deduction } =
            line;
        let at = |field: &str| format!("/invoice/lines/{index}/{field}");
        self.text(at("kind"), kind.as_deref().filter(|kind| *kind != "normal").unwrap_or_default());
        self.text(at("name"), name);
        self.text(at("goods_code"), goods_code.as_deref().unwrap_or_default());
        self.text(at("specification"), specification);
        self.text(at("unit"), unit);
        self.decimal(at("quantity"), quantity.as_deref().unwrap_or_default());
        self.decimal(at("price"), price.as_deref().unwrap_or_default());
        self.decimal(at("net"), net);
        self.decimal(at("rate"), rate);
        self.decimal(at("tax"), tax);
        self.text(at("zero_rate"), zero_rate.as_deref().unwrap_or_default());
        self.decimal(at("deduction"), deduction.as_deref().unwrap_or_default());
    }
}

/// The shortest form of a plain decimal of any length; `None` if the text is none. A form of its own, apart from
/// [`crate::money`]: rules may change, stored hashes may not.
fn normal_decimal(text: &str) -> Option<String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if whole == "0" && fraction.is_empty() { "" } else { sign };
    Some(format!("{sign}{whole}{point}{fraction}"))
}
