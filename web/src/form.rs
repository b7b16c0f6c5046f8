//! Forms as old clients write them (yonyou-open-api.md, sections 1.1, 2.3, 3.8): a C# client posts JSON unescaped, so a pair ends
//! at `&` and its name at the first `=` only; always UTF-8, whatever the header says.

/// Fields of one form at most; the interface knows eight.
const MAX_FIELDS: usize = 64;

/// A form, decoded once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form {
    fields: Vec<(String, String)>,
}

/// Not a form. Written for whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A value is not UTF-8 after decoding.
    #[error("表单不是 UTF-8 编码")]
    Encoding,
    /// Too many fields.
    #[error("表单字段过多（最多 64 个）")]
    Fields,
}

impl Form {
    /// Splits and decodes a body or a query string.
    ///
    /// # Errors
    /// Not UTF-8, or too many fields.
    pub fn parse(text: &[u8]) -> Result<Form, FormError> {
        Form::parse_at_most(text, MAX_FIELDS)
    }

    /// With another limit of fields.
    ///
    /// # Errors
    /// Not UTF-8, or too many fields.
    pub fn parse_at_most(text: &[u8], limit: usize) -> Result<Form, FormError> {
        let mut fields = Vec::new();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if fields.len() == limit {
                return Err(FormError::Fields);
            }
            let end = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = end.map_or((pair, &pair[pair.len()..]), |end| (&pair[..end], &pair[end + 1..]));
            fields.push((decode(name)?, decode(value)?));
        }
        Ok(Form { fields })
    }

    /// A form of fields that were read from another encoding.
    pub fn of(fields: Vec<(String, String)>) -> Form {
        Form { fields }
    }

    /// The value of a field; the first if there are several.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The value of a field whose name is written in any letter case (`appid`, `appId`).
    pub fn get_any_case(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// How often the field occurs.
    pub fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|(field, _)| field == name).count()
    }

    /// All fields in their order.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }
}

/// Undoes one form encoding: `+` is a blank, `%XX` a byte. A `%` that begins no escape stays: unescaped JSON may hold it.
///
/// # Errors
/// Not UTF-8 afterwards.
pub fn decode(text: &[u8]) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let escaped = text.get(at + 1..at + 3).and_then(|pair| hex_pair(pair[0], pair[1]));
        match (text[at], escaped) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(byte)) => {
                bytes.push(byte);
                at += 2;
            }
            (byte, _) => bytes.push(byte),
        }
        at += 1;
    }
    String::from_utf8(bytes).map_err(|_| FormError::Encoding)
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_real_clients_are_read() {
        let form =
            Form::parse("requestdatas=%5B%7B%22a%22%3a+1%7D%5D&sms=[{\"x\":\"a=b\"}]&empty=&alone&&s=100%".as_bytes()).unwrap();
        assert_eq!(form.get("requestdatas"), Some("[{\"a\": 1}]"));
        assert_eq!(form.get("sms"), Some("[{\"x\":\"a=b\"}]"));
        assert_eq!((form.get("empty"), form.get("alone"), form.get("s")), (Some(""), Some(""), Some("100%")));
        assert_eq!(form.get("nothing"), None);
        assert_eq!(Form::parse(b"appId=A&x=1&x=2").unwrap().get_any_case("appid"), Some("A"));
        assert_eq!(Form::parse(b"x=1&x=2").unwrap().count("x"), 2);
    }

    #[test]
    fn what_is_no_utf8_or_too_much_is_refused() {
        assert_eq!(Form::parse(b"a=%ff"), Err(FormError::Encoding));
        assert_eq!(Form::parse(b"a=\xd6\xd0"), Err(FormError::Encoding));
        assert_eq!(Form::parse("a=1&".repeat(65).as_bytes()), Err(FormError::Fields));
        assert!(Form::parse("a=1&".repeat(64).as_bytes()).is_ok());
    }
}
