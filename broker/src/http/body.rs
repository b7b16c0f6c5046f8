//! Reads a request's body within its limit, and checks what the request says that it is.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use taxdisk_protocol::error::Code;

use super::json;
use super::refused::Refused;

/// The longest body of one call, bytes: an invoice of 100 lines is under 64 KiB.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// So much of a body that is too long is read and dropped before the answer, bytes: a caller that is still writing would
/// otherwise see a broken connection and not the answer.
const MAX_DRAIN_BYTES: usize = 64 * 1024 * 1024;

/// The whole body.
///
/// # Errors
/// `body_too_large`, or `malformed_json` when the connection broke before its end.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Refused> {
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    let mut stream = body.into_data_stream();
    let mut whole = Vec::with_capacity(declared.unwrap_or(0).min(MAX_BODY_BYTES as u64) as usize);
    let mut dropped = 0_usize;
    if declared.is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) && headers.contains_key(header::EXPECT) {
        // The caller waits for our word before it sends: it sends nothing.
        return Err(too_large());
    }
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| Refused::new(Code::MalformedJson, format!("the body broke off: {error}")))?;
        if dropped > 0 || whole.len() + chunk.len() > MAX_BODY_BYTES {
            whole = Vec::new();
            dropped += chunk.len();
            if dropped > MAX_DRAIN_BYTES {
                break;
            }
        } else {
            whole.extend_from_slice(&chunk);
        }
    }
    if dropped > 0 { Err(too_large()) } else { Ok(Bytes::from(whole)) }
}

fn too_large() -> Refused {
    Refused::new(Code::BodyTooLarge, format!("the body is longer than {MAX_BODY_BYTES} bytes"))
}

/// Is the body what this call takes?
///
/// # Errors
/// `payload_type`, with what is expected.
pub fn expect(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Refused> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if accepted.iter().any(|accepted| essence.eq_ignore_ascii_case(accepted)) {
        return Ok(());
    }
    Err(Refused::new(Code::PayloadType, format!("content-type is {given:?}; {} is expected", accepted.join(" or "))))
}

/// A JSON body, read strictly.
#[derive(Debug)]
pub struct Strict<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Strict<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        expect(&parts.headers, &["application/json"])?;
        let bytes = read(&parts.headers, body).await?;
        json::parse(&bytes).map(Strict)
    }
}
