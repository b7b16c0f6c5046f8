//! Values out of the elements of an answer. An empty element is "not told", never zero.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::{InvoiceNumber, NumberPair};

use super::element::Element;
use super::errors::BadAnswer;

/// Reads the children of an element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a Element);

impl<'a> Fields<'a> {
    /// A text; empty where it is not told.
    pub(crate) fn text(&self, name: &str) -> Result<String, BadAnswer> {
        self.0.text(name).map(str::to_owned)
    }

    /// A text, where it is told.
    pub(crate) fn told(&self, name: &str) -> Result<Option<String>, BadAnswer> {
        Ok(Some(self.text(name)?).filter(|text| !text.is_empty()))
    }

    /// A value, where it is told.
    pub(crate) fn value<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, BadAnswer> {
        let text = self.0.text(name)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| bad(name, text))
    }

    /// A value that must be told.
    pub(crate) fn required<T: std::str::FromStr>(&self, name: &str) -> Result<T, BadAnswer> {
        self.value(name)?.ok_or_else(|| BadAnswer(format!("the answer has no {name}")))
    }

    /// An amount; zero where it is not told, as in lines and voided blanks.
    pub(crate) fn amount(&self, name: &str) -> Result<Amount, BadAnswer> {
        Ok(self.value(name)?.unwrap_or(Amount::ZERO))
    }

    /// Code and number under these names.
    pub(crate) fn pair(&self, code: &str, number: &str) -> Result<NumberPair, BadAnswer> {
        Ok(NumberPair { code: self.required(code)?, number: self.number(number)? })
    }

    /// Code and number, where they are told. All zeros are none.
    pub(crate) fn told_pair(&self, code: &str, number: &str) -> Result<Option<NumberPair>, BadAnswer> {
        let nothing = |text: &str| text.bytes().all(|digit| digit == b'0');
        if nothing(self.0.text(code)?) && nothing(self.0.text(number)?) {
            return Ok(None);
        }
        self.pair(code, number).map(Some)
    }

    /// A number of 8 digits; leading zeros may be missing where a program in between took it for an integer.
    pub(crate) fn number(&self, name: &str) -> Result<InvoiceNumber, BadAnswer> {
        let text = self.0.text(name)?;
        let digits = (1..=8).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits).and_then(InvoiceNumber::new);
        number.ok_or_else(|| bad(name, text))
    }

    /// Refuses an answer about another kind than the one asked for.
    pub(crate) fn same_kind(&self, kind: InvoiceKind) -> Result<(), BadAnswer> {
        match self.0.text("fplxdm")? {
            "" => Ok(()),
            told if told == kind.fplxdm() => Ok(()),
            told => Err(bad("fplxdm", told)),
        }
    }

    /// The groups of a child. `None`: there is no such child.
    pub(crate) fn groups(&self, name: &str) -> Result<Option<Vec<&'a Element>>, BadAnswer> {
        self.0.child(name)?.map(Element::groups).transpose()
    }
}

/// A value that is none. Answers carry no passwords, so a part of it may be shown.
pub(crate) fn bad(name: &str, text: &str) -> BadAnswer {
    let text: String = text.chars().take(40).collect();
    BadAnswer(format!("the answer has {text:?} for {name}, which is not what it should be"))
}
