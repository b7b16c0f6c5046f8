//! Writes a request document. It checks every text against GBK and the width of its field, and cuts or replaces nothing.

use std::fmt;

use quick_xml::escape::escape;
use taxdisk_protocol::gbk;

use crate::secret::Secret;

/// What every document begins with.
const PROLOG: &str = r#"<?xml version="1.0" encoding="gbk"?>"#;

/// A field that cannot be sent as it is. Nothing was sent; the text is for the person who can mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FieldError {
    /// The field, as our own interface names it.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A request, ready to be sent. It may hold passwords: it shows its id and length only, and is zeroed when it goes.
pub struct Document {
    id: &'static str,
    bytes: Vec<u8>,
}

impl Document {
    /// The business id, such as `FPKJ`.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// The document in GBK, to be given to the component and nowhere else.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        zero(&mut self.bytes);
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({}, {} bytes)", self.id, self.bytes.len())
    }
}

fn zero(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

/// Collects the elements of one document. The first field that does not fit is remembered and told by the end.
pub(crate) struct Writer {
    id: &'static str,
    text: String,
    open: Vec<&'static str>,
    error: Option<FieldError>,
}

impl Writer {
    /// A NISEC document: `<business comment id><body><input>`.
    pub(crate) fn nisec(id: &'static str, comment: &str) -> Writer {
        let mut writer = Writer::begin(id, format!(r#"<business comment="{comment}" id="{id}"><body yylxdm="1">"#));
        writer.open("input");
        writer
    }

    /// An SKServer document: `<business id comment><body>`, no level below.
    pub(crate) fn server(id: &'static str, comment: &str) -> Writer {
        Writer::begin(id, format!(r#"<business id="{id}" comment="{comment}"><body yylxdm="1">"#))
    }

    fn begin(id: &'static str, head: String) -> Writer {
        Writer { id, text: format!("{PROLOG}{head}"), open: Vec::new(), error: None }
    }

    /// Opens an element.
    pub(crate) fn open(&mut self, name: &'static str) {
        self.text.push_str(&format!("<{name}>"));
        self.open.push(name);
    }

    /// Opens an element with an attribute that counts.
    pub(crate) fn open_counted(&mut self, name: &'static str, attribute: &str, count: usize) {
        self.text.push_str(&format!(r#"<{name} {attribute}="{count}">"#));
        self.open.push(name);
    }

    /// Closes the element that was opened last.
    pub(crate) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.text.push_str(&format!("</{name}>"));
        }
    }

    /// An element that is always empty.
    pub(crate) fn empty(&mut self, name: &str) {
        self.plain(name, "");
    }

    /// A value of ours that always fits: digits, codes, amounts.
    pub(crate) fn plain(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.text.push_str(&format!("<{name}/>"));
        } else {
            self.text.push_str(&format!("<{name}>{}</{name}>", escape(value)));
        }
    }

    /// A password.
    pub(crate) fn secret(&mut self, name: &str, value: &Secret) {
        match std::str::from_utf8(value.expose()) {
            Ok(text) if gbk::width(text).is_some() && !text.chars().any(char::is_control) => self.plain(name, text),
            // No word of what it holds.
            _ => self.refuse(name, "the configured password holds characters that a disk does not know"),
        }
    }

    /// A text of at most so many bytes of GBK. `field` is its name in errors.
    pub(crate) fn text(&mut self, name: &str, field: &str, value: &str, width: usize) {
        if let Some(place) = value.chars().position(char::is_control) {
            self.refuse(field, format!("character {} is a control character", place + 1));
        }
        if let Some((place, character)) = gbk::unencodable(value).first() {
            self.refuse(field, format!("character {} ({character}) does not exist in the disk's character set", place + 1));
        }
        if let Some(bytes) = gbk::width(value).filter(|bytes| *bytes > width) {
            self.refuse(field, format!("it needs {bytes} bytes, the field has {width}"));
        }
        self.plain(name, value);
    }

    /// Remembers that the document cannot be sent, and why. The first reason stays.
    pub(crate) fn refuse(&mut self, field: &str, reason: impl Into<String>) {
        self.error.get_or_insert_with(|| FieldError { field: field.to_owned(), reason: reason.into() });
    }

    /// The whole document.
    ///
    /// # Errors
    /// The first field that did not fit.
    pub(crate) fn finish(mut self) -> Result<Document, FieldError> {
        while !self.open.is_empty() {
            self.close();
        }
        self.text.push_str("</body></business>");
        let encoded = gbk::encode(&self.text);
        zero(&mut std::mem::take(&mut self.text).into_bytes());
        match (self.error.take(), encoded) {
            (None, Some(bytes)) => Ok(Document { id: self.id, bytes }),
            (Some(error), _) => Err(error),
            (None, None) => Err(FieldError {
                field: self.id.to_owned(),
                reason: "a setting holds characters that the disk's character set does not have".to_owned(),
            }),
        }
    }
}
