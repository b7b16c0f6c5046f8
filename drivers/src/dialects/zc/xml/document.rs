//! The documents of the XML form: `<business id="…"><body><input>…` out, `…<output>…` back, in GBK (device-serial-zc.md,
//! section 7).
//!
//! It is strict in what it writes, as the fixed form is: what does not fit its width or is not in GBK is refused. It is
//! lenient about the order of what it reads and about elements that it does not know, and takes nothing on trust: an answer
//! without a return code, or under another id, is no answer.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::super::fields::{BadAnswer, FieldError, encode_gbk, parse};

/// Elements inside each other; documents of this dialect have six.
const MAX_DEPTH: usize = 16;

/// Elements of one document: an invoice of 64 lines has about 600.
const MAX_ELEMENTS: usize = 20_000;

/// Builds a request. The first refusal is kept and returned at the end.
pub(super) struct Document {
    bytes: Vec<u8>,
    refused: Option<FieldError>,
}

impl Document {
    /// Begins a document with the id of its command and the command's Chinese name.
    pub(super) fn new(id: &str, comment: &str) -> Document {
        let mut document = Document { bytes: b"<?xml version=\"1.0\" encoding=\"gbk\"?>".to_vec(), refused: None };
        document.open(&format!("business id=\"{id}\" comment=\"{comment}\""));
        document.open("body");
        document.open("input");
        document
    }

    /// An opening tag of ours, with its attributes.
    pub(super) fn open(&mut self, tag: &str) -> &mut Document {
        self.bytes.push(b'<');
        self.bytes.extend(encode_gbk(tag).unwrap_or_default());
        self.bytes.push(b'>');
        self
    }

    /// A closing tag.
    pub(super) fn close(&mut self, tag: &str) -> &mut Document {
        self.bytes.extend(b"</");
        self.bytes.extend(tag.as_bytes());
        self.bytes.push(b'>');
        self
    }

    /// An element with a text that must fit so many bytes of GBK. `field` names it in the words of the invoice.
    pub(super) fn text(&mut self, field: &str, element: &str, value: &str, width: usize) -> &mut Document {
        match encode_gbk(value) {
            Ok(bytes) if bytes.len() <= width => self.element(element, &bytes),
            Ok(bytes) => self.refuse(field, format!("it needs {} bytes, this disk has room for {width}", bytes.len())),
            Err(problem) => self.refuse(field, problem),
        }
    }

    /// An element with bytes that are GBK already.
    pub(super) fn element(&mut self, name: &str, gbk: &[u8]) -> &mut Document {
        self.open(name);
        // The second byte of a pair is never below 40, so none of these is half of one.
        for byte in gbk {
            match byte {
                b'&' => self.bytes.extend(b"&amp;"),
                b'<' => self.bytes.extend(b"&lt;"),
                b'>' => self.bytes.extend(b"&gt;"),
                other => self.bytes.push(*other),
            }
        }
        self.close(name)
    }

    /// Refuses the command.
    pub(super) fn refuse(&mut self, field: &str, problem: impl Into<String>) -> &mut Document {
        self.refused.get_or_insert(FieldError { field: field.to_owned(), problem: problem.into() });
        self
    }

    /// The whole document.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, FieldError> {
        self.close("input").close("body").close("business");
        match self.refused {
            Some(error) => Err(error),
            None => Ok(self.bytes),
        }
    }
}

/// One element of an answer.
#[derive(Debug, Default)]
pub(super) struct Element {
    name: String,
    id: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The children of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Text of a child, spaces trimmed; empty when there is none.
    pub(super) fn text(&self, name: &str) -> String {
        self.child(name).map(|child| child.text.trim().to_owned()).unwrap_or_default()
    }

    /// Text of a child; `None` when it is empty or missing ("not told").
    pub(super) fn told(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// A child as a value.
    pub(super) fn value<T: std::str::FromStr>(&self, name: &str) -> Result<T, BadAnswer> {
        parse(name, &self.text(name))
    }

    /// A child as a value; `None` when it is not told, never zero.
    pub(super) fn told_value<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, BadAnswer> {
        self.told(name).map(|text| parse(name, &text)).transpose()
    }
}

/// A document that came back: its id, and what stands in `output`.
pub(super) struct Answer {
    /// The id of the command that it answers; empty when the device could not handle the document at all.
    pub(super) id: String,
    /// The `output` element.
    pub(super) output: Element,
}

impl Answer {
    /// Reads a document.
    ///
    /// # Errors
    /// It is no such document, or has no return code.
    pub(super) fn read(data: &[u8]) -> Result<Answer, BadAnswer> {
        let mut root = tree(data)?;
        let id = std::mem::take(&mut root.id);
        let output = match root.children.into_iter().find(|child| child.name == "body") {
            Some(body) => body.children.into_iter().find(|child| child.name == "output"),
            None => None,
        };
        let Some(output) = output else { return Err(BadAnswer("the answer's document has no output in it".to_owned())) };
        if output.text("returncode").is_empty() {
            return Err(BadAnswer("the answer's document has no return code".to_owned()));
        }
        Ok(Answer { id, output })
    }

    /// The return code says "good": nothing but zeros.
    pub(super) fn is_good(&self) -> bool {
        self.output.text("returncode").bytes().all(|digit| digit == b'0')
    }
}

fn tree(data: &[u8]) -> Result<Element, BadAnswer> {
    let bad = |what: &str| BadAnswer(format!("the answer is no XML document: {what}"));
    let text = encoding_rs::GBK.decode_without_bom_handling(data).0;
    let mut reader = Reader::from_str(text.trim_end_matches('\0'));
    let mut open: Vec<Element> = vec![Element::default()];
    for _ in 0..MAX_ELEMENTS * 3 {
        match reader.read_event().map_err(|error| bad(&error.to_string()))? {
            Event::Start(start) => {
                if open.len() > MAX_DEPTH {
                    return Err(bad("too many elements inside each other"));
                }
                open.push(element(&start));
            }
            Event::Empty(start) => {
                if let Some(parent) = open.last_mut() {
                    parent.children.push(element(&start));
                }
            }
            Event::End(_) => {
                let Some(done) = open.pop() else { return Err(bad("a tag is closed that was not opened")) };
                let Some(parent) = open.last_mut() else { return Err(bad("a tag is closed that was not opened")) };
                parent.children.push(done);
            }
            Event::Text(text) => append(&mut open, &text),
            Event::CData(text) => append(&mut open, &text),
            Event::GeneralRef(name) => {
                let character = match name.resolve_char_ref() {
                    Ok(Some(character)) => character,
                    _ => match &*name {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return Err(bad("it has an entity that is not defined")),
                    },
                };
                append(&mut open, character.encode_utf8(&mut [0; 4]));
            }
            Event::Eof => {
                let Some(mut document) = open.pop().filter(|_| open.is_empty()) else { return Err(bad("it breaks off")) };
                let Some(root) = document.children.pop().filter(|root| root.name == "business") else {
                    return Err(bad("it has no business element"));
                };
                return Ok(root);
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    Err(bad("it has too many elements"))
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn element(start: &BytesStart<'_>) -> Element {
    let id = start.try_get_attribute("id").ok().flatten().map(|id| id.value.to_string()).unwrap_or_default();
    Element { name: start.name().as_ref().to_owned(), id, ..Element::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gbk(text: &str) -> Vec<u8> {
        encoding_rs::GBK.encode(text).0.into_owned()
    }

    #[test]
    fn special_characters_survive_both_ways() {
        let mut document = Document::new("X", "测试");
        document.text("remark", "bz", "<甲&乙> \"'", 80);
        let written = String::from_utf8(document.finish().unwrap().into_iter().filter(u8::is_ascii).collect()).unwrap();
        assert!(
            written.contains("<bz>&lt;") && written.contains("&amp;") && written.ends_with("</bz></input></body></business>")
        );
        let back = gbk(
            "<business id='X'><body><output><bz>&lt;甲&amp;乙&gt; &quot;&#39;</bz><returncode>00</returncode></output></body></business>",
        );
        let answer = Answer::read(&back).unwrap();
        assert_eq!((answer.id.as_str(), answer.output.text("bz").as_str(), answer.is_good()), ("X", "<甲&乙> \"'", true));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut document = Document::new("X", "x");
        document.text("lines[0].name", "xm", "一二三四五六七八九十一", 20);
        assert_eq!(document.finish().unwrap_err().field, "lines[0].name");
        let mut document = Document::new("X", "x");
        document.text("buyer.name", "ghdwmc", "😀", 80);
        assert_eq!(document.finish().unwrap_err().field, "buyer.name");
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let deep = "<a>".repeat(40);
        let wide = format!("<business id=\"X\"><body><output>{}</output></body></business>", "<a/>".repeat(MAX_ELEMENTS * 4));
        for text in [
            "",
            "OK",
            "<business id=\"X\">",
            "<business id=\"X\"><body></business></body>",
            "<business id=\"X\"><body><output></output></body></business>",
            "<business id=\"X\"><body><returncode>0</returncode></body></business>",
            "<other id=\"X\"><body><output><returncode>0</returncode></output></body></other>",
            "<business id=\"X\"><body><output><returncode>&bomb;</returncode></output></body></business>",
            &deep,
            &wide,
        ] {
            assert!(Answer::read(text.as_bytes()).is_err(), "{:?}", &text[..text.len().min(80)]);
        }
        assert!(Answer::read(&[0xFF; 200]).is_err());
    }
}
