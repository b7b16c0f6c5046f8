//! The one shape of every answer on the compatible paths: HTTP 200, a JSON object, `code` one of four numeric texts
//! (yonyou-open-api.md, sections 3.5 and 3.8). A shop in PHP books any other status, and any other code, as success.

use super::json::Json;

/// What a caller can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// `0000`: taken, or found.
    Ok,
    /// `1001`: the caller must change something.
    Invalid,
    /// `1002`: this tenant has no such thing.
    Unknown,
    /// `9999`: we could not decide, or the state forbids it as published.
    Undecided,
}

impl Code {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Ok => "0000",
            Code::Invalid => "1001",
            Code::Unknown => "1002",
            Code::Undecided => "9999",
        }
    }

    /// The status that an honest HTTP interface would have had; sent in `X-Real-Status`, never as the status.
    pub fn real_status(self) -> u16 {
        match self {
            Code::Ok => 200,
            Code::Invalid => 400,
            Code::Unknown => 404,
            Code::Undecided => 503,
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Outcome.
    pub code: Code,
    /// For people.
    pub msg: String,
    /// Members that 用友 publishes for this name, in their order.
    pub members: Vec<(String, Json)>,
    /// Members of our own; left out where the caller has `plain_reply`.
    pub extra: Vec<(String, Json)>,
    /// The caller should wait so long, seconds; sent as `Retry-After`. Only answers to what came too often have it.
    pub retry_after_s: Option<u64>,
}

impl Reply {
    /// An answer without further members.
    pub fn new(code: Code, msg: impl Into<String>) -> Reply {
        Reply { code, msg: msg.into(), members: Vec::new(), extra: Vec::new(), retry_after_s: None }
    }

    /// `0000`, `success`.
    pub fn success() -> Reply {
        Reply::new(Code::Ok, "success")
    }

    /// `1001` with a finer cause.
    pub fn invalid(subcode: &str, msg: impl Into<String>) -> Reply {
        Reply::new(Code::Invalid, msg).extra("subcode", Json::text(subcode))
    }

    /// `9999`: nobody knows whether it was stored.
    pub fn busy() -> Reply {
        Reply::new(Code::Undecided, "系统繁忙，请稍后以原流水号重试").extra("subcode", Json::text("BUSY"))
    }

    /// `9999`: more than this caller may send. Nothing was read, nothing is stored.
    pub fn too_often(wait_s: u64) -> Reply {
        let text = format!("请求过于频繁，请 {wait_s} 秒后以原流水号重试");
        let reply = Reply::new(Code::Undecided, text).extra("subcode", Json::text("RATE_LIMITED"));
        Reply { retry_after_s: Some(wait_s), ..reply }
    }

    /// The status that an honest HTTP interface would have had.
    pub fn real_status(&self) -> u16 {
        if self.retry_after_s.is_some() { 429 } else { self.code.real_status() }
    }

    /// With a published member.
    #[must_use]
    pub fn member(mut self, name: &str, value: Json) -> Reply {
        self.members.push((name.to_owned(), value));
        self
    }

    /// With a member of our own.
    #[must_use]
    pub fn extra(mut self, name: &str, value: Json) -> Reply {
        self.extra.push((name.to_owned(), value));
        self
    }

    /// The body. `plain`: without members of our own. `gateway`: `message` beside `msg`, for names that are documented in the
    /// gateway family only; success is then written as `success`.
    pub fn body(&self, plain: bool, gateway: Option<&str>) -> Json {
        let code = match (self.code, gateway) {
            (Code::Ok, Some(success)) => success,
            (code, _) => code.as_str(),
        };
        let mut members = vec![("code".to_owned(), Json::text(code)), ("msg".to_owned(), Json::text(&self.msg))];
        if gateway.is_some() {
            members.push(("message".to_owned(), Json::text(&self.msg)));
        }
        members.extend(self.members.iter().cloned());
        if !plain {
            members.extend(self.extra.iter().cloned());
        }
        Json::Object(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numeric_whatever_is_asked() {
        for code in [Code::Ok, Code::Invalid, Code::Unknown, Code::Undecided] {
            let body = Reply::new(code, "x").body(true, None);
            let text = body.get("code").and_then(Json::as_text).unwrap_or_default();
            assert!(text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit()));
        }
        let reply = Reply::success().member("data", Json::Null).extra("subcode", Json::text("X"));
        assert_eq!(reply.body(true, None).to_string(), r#"{"code":"0000","msg":"success","data":null}"#);
        assert_eq!(
            reply.body(false, Some("200")).to_string(),
            r#"{"code":"200","msg":"success","message":"success","data":null,"subcode":"X"}"#
        );
    }
}
