//! As much HTTP/1.1 as a tax-control server needs: a request's head and body by Content-Length, an answer. No chunks, no
//! TLS, no guessing: what it does not understand is refused with a status.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use super::Delivery;
use crate::sim::markup::MAX_DOCUMENT_BYTES;

/// Longest head: request line and headers.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Bytes asked of the socket at once.
const READ_BYTES: usize = 8 << 10;

/// A request, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    /// The client keeps the connection for another request.
    pub(super) keeps: bool,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum NoRequest {
    /// The client went away between requests, or did not say anything in time.
    Gone,
    /// Refused with this status; the connection ends.
    Refused(u16),
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> NoRequest {
        NoRequest::Gone
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    method: String,
    path: String,
    length: usize,
    keeps: bool,
    expects: bool,
}

/// Reads one request. `left` are bytes of the next one that came along; it is used up and refilled.
pub(super) fn read_request(stream: &mut (impl Read + Write), left: &mut Vec<u8>) -> Result<Request, NoRequest> {
    let (head, at) = loop {
        if let Some(end) = left.windows(4).position(|window| window == b"\r\n\r\n") {
            break (parse_head(&left[..end]).map_err(NoRequest::Refused)?, end + 4);
        }
        if left.len() > MAX_HEAD_BYTES {
            return Err(NoRequest::Refused(431));
        }
        read_more(stream, left)?;
    };
    if head.length > MAX_DOCUMENT_BYTES {
        return Err(NoRequest::Refused(413));
    }
    if head.expects && left.len() < at + head.length {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    while left.len() < at + head.length {
        read_more(stream, left)?;
    }
    let rest = left.split_off(at + head.length);
    let body = std::mem::replace(left, rest).split_off(at);
    Ok(Request { method: head.method, path: head.path, body, keeps: head.keeps })
}

fn read_more(stream: &mut impl Read, left: &mut Vec<u8>) -> Result<(), NoRequest> {
    let mut bytes = [0; READ_BYTES];
    let count = stream.read(&mut bytes)?;
    left.extend_from_slice(bytes.get(..count).unwrap_or_default());
    if count == 0 { Err(NoRequest::Gone) } else { Ok(()) }
}

fn parse_head(head: &[u8]) -> Result<Head, u16> {
    let text = std::str::from_utf8(head).map_err(|_| 400_u16)?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(400);
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") || !target.starts_with('/') {
        return Err(400);
    }
    let (mut length, mut keeps, mut expects) = (None, version == "HTTP/1.1", false);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(400_u16)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            // Two lengths are how requests are smuggled.
            "content-length" if length.is_some() => return Err(400),
            "content-length" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                length = Some(value.parse().map_err(|_| 413_u16)?);
            }
            "content-length" => return Err(400),
            "transfer-encoding" => return Err(411),
            "connection" => keeps = keeps && !value.eq_ignore_ascii_case("close"),
            "expect" => expects = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
    }
    let path = target.split('?').next().unwrap_or_default().to_owned();
    Ok(Head { method: method.to_owned(), path, length: length.unwrap_or(0), keeps, expects })
}

/// Writes an answer, or as much of it as arrives. `Ok(true)` = the connection may be used again.
pub(super) fn write_answer(stream: &mut impl Write, delivery: &Delivery, keeps: bool) -> io::Result<bool> {
    let keeps = keeps && delivery.cut_after.is_none();
    let mut head = String::new();
    let reason = if delivery.status == 200 { "OK" } else { "Error" };
    // Writing into a String never fails.
    let _ = write!(
        head,
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n",
        delivery.status,
        delivery.kind,
        delivery.body.len(),
        if keeps { "keep-alive" } else { "close" },
    );
    stream.write_all(head.as_bytes())?;
    let end = delivery.cut_after.map_or(delivery.body.len(), |end| end.min(delivery.body.len()));
    stream.write_all(delivery.body.get(..end).unwrap_or_default())?;
    stream.flush()?;
    Ok(keeps)
}

/// An answer without a document.
pub(super) fn refusal(status: u16) -> Delivery {
    Delivery { status, kind: "text/html", body: format!("<html><body>{status}</body></html>").into_bytes(), cut_after: None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    struct Pipe(io::Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // In small pieces, as a network gives them.
            let end = buffer.len().min(7);
            self.0.read(&mut buffer[..end])
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn read(bytes: &[u8]) -> Result<Request, NoRequest> {
        read_request(&mut Pipe(io::Cursor::new(bytes.to_vec()), Vec::new()), &mut Vec::new())
    }

    #[test]
    fn requests_follow_each_other_on_one_connection() {
        let first = b"POST /SKServer/SKDo?x=1 HTTP/1.1\r\nHost: a\r\nContent-length: 3\r\n\r\nabc";
        let second = b"POST / HTTP/1.1\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nde";
        let mut pipe = Pipe(io::Cursor::new([first.as_slice(), second].concat()), Vec::new());
        let mut left = Vec::new();
        let request = read_request(&mut pipe, &mut left).unwrap();
        let expected = ("/SKServer/SKDo", b"abc".as_slice(), true);
        assert_eq!((request.path.as_str(), request.body.as_slice(), request.keeps), expected);
        let request = read_request(&mut pipe, &mut left).unwrap();
        assert_eq!((request.body.as_slice(), request.keeps), (b"de".as_slice(), false));
        assert!(pipe.1.starts_with(b"HTTP/1.1 100 "));
        assert!(matches!(read_request(&mut pipe, &mut left), Err(NoRequest::Gone)));
    }

    #[test]
    fn limits_and_nonsense_are_refused_with_a_status() {
        let long = format!("POST / HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD_BYTES));
        let cases: [(&str, u16); 8] = [
            ("POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            ("POST / FTP/1\r\n\r\n", 400),
            ("GET\r\n\r\n", 400),
            (&long, 431),
        ];
        for (text, status) in cases {
            assert!(matches!(read(text.as_bytes()), Err(NoRequest::Refused(found)) if found == status), "{text:.40}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
            let _ = read(&[b"POST / HTTP/1.1\r\n".as_slice(), &bytes, b"\r\n\r\n"].concat());
        }
    }
}
