//! The documents of components: XML in GBK or UTF-8, read into a small tree and written back.
//!
//! Lenient in what it reads (order, unknown elements, either encoding), strict about size: every limit is named below. It
//! knows no business; a document that is none is [`Malformed`], never a panic.

use std::fmt::{Display, Write};

use encoding_rs::GBK;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Longest document: the bridge's and the USB profile's limit.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// Deepest nesting. An invoice's line stands at depth 7.
const MAX_DEPTH: usize = 16;
/// Most elements: a list of 2,000 lines has about 36,000.
const MAX_ELEMENTS: usize = 50_000;
/// How far into a document its declaration is looked for.
const DECLARATION_BYTES: usize = 200;

/// Not a document that a component can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a readable document: {0}")]
pub struct Malformed(pub &'static str);

/// What a document says of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// What all clients send.
    #[default]
    Gbk,
    /// One stored answer declares it.
    Utf8,
}

impl Encoding {
    /// The encoding that a document declares; GBK where it declares none.
    pub fn declared(document: &[u8]) -> Encoding {
        let head = document.get(..document.len().min(DECLARATION_BYTES)).unwrap_or_default();
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let declaration = head.split_once("?>").map_or("", |(declaration, _)| declaration);
        if declaration.contains("utf-8") || declaration.contains("utf8") { Encoding::Utf8 } else { Encoding::Gbk }
    }

    fn name(self) -> &'static str {
        match self {
            Encoding::Gbk => "gbk",
            Encoding::Utf8 => "utf-8",
        }
    }

    fn decode(self, document: &[u8]) -> Result<String, Malformed> {
        match self {
            Encoding::Gbk => {
                let text = GBK.decode_without_bom_handling_and_without_replacement(document);
                text.map(std::borrow::Cow::into_owned).ok_or(Malformed("bytes that are not GBK"))
            }
            Encoding::Utf8 => {
                let text = std::str::from_utf8(document).map_err(|_| Malformed("bytes that are not UTF-8"))?;
                Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
            }
        }
    }

    /// Bytes of a text. What GBK cannot write becomes a character reference.
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Encoding::Gbk => GBK.encode(text).0.into_owned(),
            Encoding::Utf8 => text.as_bytes().to_vec(),
        }
    }
}

/// One element with everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes in their order.
    pub attributes: Vec<(String, String)>,
    /// Its own text, trimmed.
    pub text: String,
    /// Elements in it.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document; it must have one outermost element.
    ///
    /// # Errors
    /// Too large, too deep, bytes of another encoding, unbalanced, more than one outermost element.
    pub fn parse(document: &[u8]) -> Result<Element, Malformed> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(Malformed("longer than 1 MiB"));
        }
        let text = Encoding::declared(document).decode(document)?;
        let mut reader = Reader::from_str(&text);
        let (mut stack, mut root, mut count) = (Vec::<Element>::new(), None, 0_usize);
        loop {
            let event = reader.read_event().map_err(|_| Malformed("unbalanced or broken markup"))?;
            match event {
                Event::Start(start) => {
                    count += 1;
                    if stack.len() == MAX_DEPTH || count > MAX_ELEMENTS || (stack.is_empty() && root.is_some()) {
                        return Err(Malformed("too deep, too many elements, or two documents"));
                    }
                    stack.push(Element::begin(&start)?);
                }
                Event::Empty(start) => {
                    count += 1;
                    if count > MAX_ELEMENTS {
                        return Err(Malformed("too many elements"));
                    }
                    Element::close(Element::begin(&start)?, &mut stack, &mut root)?;
                }
                Event::End(_) => {
                    let element = stack.pop().ok_or(Malformed("an end without its start"))?;
                    Element::close(element, &mut stack, &mut root)?;
                }
                Event::Text(text) => Element::say(&mut stack, &text.xml10_content())?,
                Event::CData(text) => Element::say(&mut stack, &text.xml10_content())?,
                Event::GeneralRef(reference) => {
                    let character = match reference.resolve_char_ref() {
                        Ok(Some(character)) => Some(character),
                        Ok(None) => named(&reference),
                        Err(_) => None,
                    };
                    let character = character.ok_or(Malformed("an unknown reference"))?;
                    Element::say(&mut stack, character.encode_utf8(&mut [0; 4]))?;
                }
                // A document type could define entities that grow without end; components have none.
                Event::DocType(_) => return Err(Malformed("a document type")),
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        if stack.is_empty() { root.ok_or(Malformed("no element")) } else { Err(Malformed("an element without its end")) }
    }

    fn begin(start: &BytesStart<'_>) -> Result<Element, Malformed> {
        let mut element = Element { name: start.name().as_ref().to_owned(), ..Element::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| Malformed("a broken attribute"))?;
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
            let value = value.map_err(|_| Malformed("a broken attribute"))?;
            element.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
        }
        Ok(element)
    }

    fn close(mut element: Element, stack: &mut [Element], root: &mut Option<Element>) -> Result<(), Malformed> {
        element.text = element.text.trim().to_owned();
        match stack.last_mut() {
            Some(parent) => parent.children.push(element),
            None if root.is_none() => *root = Some(element),
            None => return Err(Malformed("two documents")),
        }
        Ok(())
    }

    fn say(stack: &mut [Element], text: &str) -> Result<(), Malformed> {
        match stack.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(Malformed("text outside of the document")),
        }
        Ok(())
    }

    /// The first element of that name in this one.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Its text; empty where there is no such element.
    pub fn text(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| &child.text)
    }

    /// The value of an attribute; empty where there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Whether a disk, which stores GBK, can hold everything in it.
    pub fn fits_gbk(&self) -> bool {
        let fits = |text: &str| !GBK.encode(text).2;
        fits(&self.text) && self.attributes.iter().all(|(_, value)| fits(value)) && self.children.iter().all(Element::fits_gbk)
    }
}

fn named(reference: &str) -> Option<char> {
    match reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

/// A document being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markup(String);

impl Markup {
    /// `<name>value</name>`.
    pub fn field(&mut self, name: &str, value: impl Display) -> &mut Markup {
        let value = value.to_string();
        self.open(name).escaped(&value);
        self.close(name)
    }

    /// The value, or an empty element where there is none.
    pub fn maybe(&mut self, name: &str, value: Option<impl Display>) -> &mut Markup {
        match value {
            Some(value) => self.field(name, value),
            None => self.field(name, ""),
        }
    }

    /// `<name>`.
    pub fn open(&mut self, name: &str) -> &mut Markup {
        self.raw(format_args!("<{name}>"))
    }

    /// `<name attribute="value">`.
    pub fn open_with(&mut self, name: &str, attribute: &str, value: impl Display) -> &mut Markup {
        self.open_all(name, &[(attribute, &value.to_string())])
    }

    /// `<name attribute="value" …>`.
    pub fn open_all(&mut self, name: &str, attributes: &[(&str, &str)]) -> &mut Markup {
        self.raw(format_args!("<{name}"));
        for (attribute, value) in attributes {
            self.raw(format_args!(" {attribute}=\"")).escaped(value);
            self.raw("\"");
        }
        self.raw(">")
    }

    /// `</name>`.
    pub fn close(&mut self, name: &str) -> &mut Markup {
        self.raw(format_args!("</{name}>"))
    }

    /// Markup that is ready.
    pub fn raw(&mut self, markup: impl Display) -> &mut Markup {
        // Writing into a String never fails.
        let _ = write!(self.0, "{markup}");
        self
    }

    fn escaped(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                // Not allowed in XML 1.0 in any writing.
                control if control.is_control() && !matches!(control, '\t' | '\n' | '\r') => self.0.push('?'),
                other => self.0.push(other),
            }
        }
    }

    /// The bytes, with a declaration in front that says `declared`; usually what they are.
    pub fn document(&self, encoding: Encoding, declared: Encoding) -> Vec<u8> {
        encoding.encode(&format!("<?xml version=\"1.0\" encoding=\"{}\"?>{}", declared.name(), self.0))
    }
}

impl Display for Markup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn either_encoding_reads_back_as_it_was_written() {
        let mut markup = Markup::default();
        markup
            .open_with("business", "id", "A&\"B")
            .field("bz", "纸 <&> \"引\"\u{1}")
            .maybe("leer", None::<&str>)
            .close("business");
        for encoding in [Encoding::Gbk, Encoding::Utf8] {
            let bytes = markup.document(encoding, encoding);
            assert_eq!(Encoding::declared(&bytes), encoding);
            let element = Element::parse(&bytes).unwrap();
            assert_eq!((element.attribute("id"), element.text("bz")), ("A&\"B", "纸 <&> \"引\"?"));
            assert_eq!((element.text("leer"), element.text("none")), ("", ""));
        }
        // The bytes are obeyed as declared, not as they look.
        assert!(Element::parse(&markup.document(Encoding::Gbk, Encoding::Utf8)).is_err());
    }

    #[test]
    fn hostile_documents_are_malformed_and_nothing_else() {
        let deep = format!("{}{}", "<a>".repeat(17), "</a>".repeat(17));
        let wide = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        let bomb = "<!DOCTYPE a [<!ENTITY b \"cc\">]><a>&b;</a>";
        for text in
            [&deep, &wide, bomb, "", "<a>", "</a>", "<a></b>", "<a/><b/>", "<a/>x", "<a>&no;</a>", "<a>&#0;</a>", "<a b=c/>"]
        {
            assert!(Element::parse(text.as_bytes()).is_err(), "{}", &text[..text.len().min(40)]);
        }
        assert!(Element::parse(&vec![b' '; MAX_DOCUMENT_BYTES + 1]).is_err());
        assert!(!Element::parse(b"<a><b>&#x1F600;</b></a>").unwrap().fits_gbk());
        assert_eq!(Element::parse(b"<a> <![CDATA[x<y]]>&#20013;</a>").unwrap().text, "x<y中");
    }
}
