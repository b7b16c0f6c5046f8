//! JSON whose numbers stay as they were written and whose members keep their order.
//!
//! serde_json would put `100000000000.07` through a binary float unless a feature is switched on that changes it for every crate
//! of the workspace. Reading is strict (RFC 8259): a comma too many, a member twice or a cut text is an error with its place.

use std::fmt;

/// Nesting at most. Documents of the interface have three levels.
pub const MAX_DEPTH: usize = 16;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Json {
    /// `null`.
    #[default]
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object, in the order of its members.
    Object(Vec<(String, Json)>),
}

/// Not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("不是合法的 JSON：第 {offset} 字节处{what}")]
pub struct JsonError {
    /// Byte at which reading stopped, from 0.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl Json {
    /// A text.
    pub fn text(text: impl Into<String>) -> Json {
        Json::Text(text.into())
    }

    /// An integer.
    pub fn integer(value: impl Into<i64>) -> Json {
        Json::Number(value.into().to_string())
    }

    /// A decimal number, written exactly.
    pub fn decimal(value: rust_decimal::Decimal) -> Json {
        Json::Number(value.to_string())
    }

    /// The member of an object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.members().iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The members of an object; none of anything else.
    pub fn members(&self) -> &[(String, Json)] {
        match self {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    /// The text of a text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Text or number, as it was written. `None` of everything else, of `null` and of what is blank: such members are absent.
    pub fn scalar(&self) -> Option<&str> {
        let text = match self {
            Json::Text(text) | Json::Number(text) => text.trim(),
            Json::Bool(true) => "true",
            Json::Bool(false) => "false",
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// Parses a whole text.
    ///
    /// # Errors
    /// The first place that is not JSON.
    pub fn parse(text: &str) -> Result<Json, JsonError> {
        Json::parse_within(text, MAX_DEPTH)
    }

    /// Parses a whole text with a limit on its nesting.
    ///
    /// # Errors
    /// The first place that is not JSON.
    pub fn parse_within(text: &str, depth: usize) -> Result<Json, JsonError> {
        let mut reader = Reader { text, at: 0 };
        reader.blanks();
        let value = reader.value(depth)?;
        reader.blanks();
        if reader.at < text.len() {
            return Err(reader.wrong("有多余的内容"));
        }
        Ok(value)
    }
}

/// The order of members does not count and neither does how a number is written: that is for [`crate::document::canonical`].
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => write!(f, "{value}"),
            Json::Number(number) => f.write_str(number),
            Json::Text(text) => quoted(text, f),
            Json::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
            Json::Object(members) => {
                f.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    quoted(name, f)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &'static str) -> JsonError {
        JsonError { offset: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        match self.peek() {
            Some(b'{' | b'[') if depth == 0 => Err(self.wrong("嵌套过深")),
            Some(b'{') => self.object(depth - 1),
            Some(b'[') => self.list(depth - 1),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => {
                for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                Err(self.wrong("缺少值"))
            }
            None => Err(self.wrong("内容不完整")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut members: Vec<(String, Json)> = Vec::new();
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("应为带引号的成员名"));
            }
            let start = self.at;
            let name = self.string()?;
            if members.iter().any(|(known, _)| *known == name) {
                return Err(JsonError { offset: start, what: "成员重复" });
            }
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.wrong("应为冒号"));
            }
            self.at += 1;
            self.blanks();
            let value = self.value(depth)?;
            members.push((name, value));
            if self.end(b'}')? {
                return Ok(Json::Object(members));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut items = Vec::new();
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(items));
        }
        loop {
            self.blanks();
            items.push(self.value(depth)?);
            if self.end(b']')? {
                return Ok(Json::List(items));
            }
        }
    }

    /// After an element: its end (true) or a comma.
    fn end(&mut self, close: u8) -> Result<bool, JsonError> {
        self.blanks();
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(self.wrong("应为逗号或结束符")),
            None => Err(self.wrong("内容不完整")),
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(byte) if *byte < 0x20 => return Err(JsonError { offset: at, what: "文本中有控制字符" }),
                Some(_) => at += 1,
                None => return Err(JsonError { offset: start, what: "文本没有结束" }),
            }
        }
        // The escapes, surrogates among them, are the library's.
        let text = serde_json::from_str(&self.text[start..=at])
            .map_err(|_| JsonError { offset: start, what: "文本中的转义不合法" })?;
        self.at = at + 1;
        Ok(text)
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        let number = &rest[..end];
        // The grammar is the library's; its value is not looked at.
        if number.len() > 64 || serde_json::from_str::<serde_json::Number>(number).is_err() {
            return Err(self.wrong("数字不合法"));
        }
        self.at += end;
        Ok(Json::Number(number.to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_as_they_are_written_and_members_in_their_order() {
        let text = r#"{"b":100000000000.070,"a":[1E7,"x\u4e2d\"",null,true,-0.10],"c":{}}"#;
        let json = Json::parse(text).unwrap();
        assert_eq!(json.get("b"), Some(&Json::Number("100000000000.070".to_owned())));
        assert_eq!(json.to_string(), r#"{"b":100000000000.070,"a":[1E7,"x中\"",null,true,-0.10],"c":{}}"#);
        assert_eq!(Json::parse(&json.to_string()).unwrap(), json);
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for (bad, offset) in [
            (r#"{"a":1,}"#, 7),
            (r#"{"a":1 "b":2}"#, 7),
            (r#"{"a":1,"a":2}"#, 7),
            ("[1,]", 3),
            ("{\"a\":", 5),
            ("\"a", 0),
            ("[01]", 1),
            ("[1] 2", 4),
            ("[\"\u{1}\"]", 2),
            ("[\"\\x\"]", 1),
            ("[--1]", 1),
            ("nul", 0),
            ("", 0),
        ] {
            assert_eq!(Json::parse(bad).unwrap_err().offset, offset, "{bad}");
        }
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
        assert!(Json::parse_within("[[1]]", 1).is_err());
        assert!(Json::parse_within("[[1]]", 2).is_ok());
    }

    #[test]
    fn blank_and_null_are_absent() {
        let json = Json::parse(r#"{"a":"  ","b":null,"c":" 1 ","d":0}"#).unwrap();
        let scalar = |name| json.get(name).and_then(Json::scalar);
        assert_eq!((scalar("a"), scalar("b"), scalar("c"), scalar("d")), (None, None, Some("1"), Some("0")));
    }
}
