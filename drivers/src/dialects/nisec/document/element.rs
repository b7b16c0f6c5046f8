//! An answer as a tree of bounded size.
//!
//! Lenient in order and in what it does not know, strict in what could hide a damaged answer: unbalanced tags, a second root,
//! unknown entities, document type declarations (which could make a small document large) are errors.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::errors::BadAnswer;

/// Levels of elements. The deepest known answer has seven.
pub const MAX_DEPTH: usize = 16;
/// Elements of one answer. An invoice of 100 lines has about 2000.
pub const MAX_ELEMENTS: usize = 50_000;

/// One element with all below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    name: String,
    id: Option<String>,
    count: Option<String>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a document that is already decoded.
    ///
    /// # Errors
    /// It is not well formed, or beyond a limit.
    pub fn parse(document: &str) -> Result<Element, BadAnswer> {
        let mut reader = Reader::from_str(document);
        let (mut open, mut root, mut elements): (Vec<Element>, Option<Element>, usize) = (Vec::new(), None, 0);
        loop {
            match reader.read_event().map_err(|error| BadAnswer(format!("the answer is not well formed: {error}")))? {
                Event::Start(tag) => {
                    enter(&mut elements, &open, root.is_some())?;
                    open.push(element(&tag)?);
                }
                Event::Empty(tag) => {
                    enter(&mut elements, &open, root.is_some())?;
                    leave(element(&tag)?, &mut open, &mut root);
                }
                Event::End(_) => match open.pop() {
                    Some(closed) => leave(closed, &mut open, &mut root),
                    None => return Err(BadAnswer("the answer closes an element that was never opened".to_owned())),
                },
                Event::Text(text) => append(&mut open, &text.xml10_content())?,
                Event::CData(text) => append(&mut open, &text.xml10_content())?,
                Event::GeneralRef(name) => append(&mut open, reference(&name)?.encode_utf8(&mut [0; 4]))?,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::DocType(_) => return Err(BadAnswer("the answer declares a document type".to_owned())),
                Event::Eof => break,
            }
        }
        if let Some(unclosed) = open.last() {
            return Err(BadAnswer(format!("the answer ends inside of <{}>: it was cut", short(&unclosed.name))));
        }
        root.ok_or_else(|| BadAnswer("the answer is empty".to_owned()))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its `id` attribute.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Its own text without the spaces around it.
    pub fn own_text(&self) -> &str {
        self.text.trim()
    }

    /// Neither text nor children nor a count: `<fyxm/>`.
    pub fn is_bare(&self) -> bool {
        self.count.is_none() && self.children.is_empty() && self.own_text().is_empty()
    }

    /// The child of this name, where there is one.
    ///
    /// # Errors
    /// There are several, and they differ: nobody can say which one is meant.
    pub fn child(&self, name: &str) -> Result<Option<&Element>, BadAnswer> {
        let mut all = self.children.iter().filter(|child| child.name == name);
        let first = all.next();
        if all.any(|other| Some(other) != first) {
            return Err(BadAnswer(format!("the answer holds several <{name}> that differ")));
        }
        Ok(first)
    }

    /// The text of a child; empty where there is none.
    ///
    /// # Errors
    /// As [`Self::child`].
    pub fn text(&self, name: &str) -> Result<&str, BadAnswer> {
        Ok(self.child(name)?.map_or("", Element::own_text))
    }

    /// Its `group` children, as many as its `count` attribute says.
    ///
    /// # Errors
    /// There are more or fewer: a part of the answer is missing. Neither groups nor a count: it says nothing.
    pub fn groups(&self) -> Result<Vec<&Element>, BadAnswer> {
        let groups: Vec<&Element> = self.children.iter().filter(|child| child.name == "group").collect();
        match &self.count {
            None if groups.is_empty() => Err(BadAnswer(format!("<{}> holds neither groups nor their count", self.name))),
            None => Ok(groups),
            Some(count) if count.trim().parse() == Ok(groups.len()) => Ok(groups),
            Some(count) => {
                let found = groups.len();
                Err(BadAnswer(format!("<{}> announces {} groups and holds {found}", self.name, short(count))))
            }
        }
    }
}

fn enter(elements: &mut usize, open: &[Element], second_root: bool) -> Result<(), BadAnswer> {
    *elements += 1;
    if second_root && open.is_empty() {
        return Err(BadAnswer("something follows the end of the answer".to_owned()));
    }
    if open.len() >= MAX_DEPTH || *elements > MAX_ELEMENTS {
        return Err(BadAnswer(format!("the answer is deeper than {MAX_DEPTH} levels or has over {MAX_ELEMENTS} elements")));
    }
    Ok(())
}

fn leave(closed: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(closed),
        None => *root = Some(closed),
    }
}

fn element(tag: &BytesStart<'_>) -> Result<Element, BadAnswer> {
    let bad = |error: &dyn std::fmt::Display| BadAnswer(format!("the answer has a bad attribute: {error}"));
    let mut element = Element { name: tag.local_name().as_ref().to_owned(), ..Element::default() };
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| bad(&error))?;
        let slot = match attribute.key.as_ref() {
            "id" => &mut element.id,
            "count" => &mut element.count,
            _ => continue,
        };
        *slot = Some(attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| bad(&error))?.into_owned());
    }
    Ok(element)
}

fn append(open: &mut [Element], text: &str) -> Result<(), BadAnswer> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(BadAnswer("there is text outside of the answer".to_owned())),
    }
    Ok(())
}

fn reference(name: &BytesRef<'_>) -> Result<char, BadAnswer> {
    let unknown = || BadAnswer("the answer refers to a character that does not exist".to_owned());
    if let Some(character) = name.resolve_char_ref().map_err(|_| unknown())? {
        return Ok(character);
    }
    match &*name.xml10_content() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(unknown()),
    }
}

/// As much of a device's text as an error may hold.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
