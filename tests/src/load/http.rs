//! One HTTP/1.1 connection with the least of work: requests are bytes that were made before, answers are looked at for their
//! status and length alone.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// An open connection.
pub struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

/// An answer.
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body, whole and without the marks of chunks.
    pub body: &'a [u8],
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// A request with a body of JSON, or of JSON lines.
pub fn request(method: &str, path: &str, key: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {key}\r\ncontent-type: {content_type}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection::over(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Over a stream that is open.
    pub fn over(stream: S) -> Connection<S> {
        Connection { stream, buffer: Vec::with_capacity(4096) }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// The connection broke, or what came is no HTTP.
    pub async fn call(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.buffer.clear();
        // Both at the same time: a batch is answered while it is sent, and more than the buffers hold would block both ends.
        let (mut read, mut write) = tokio::io::split(&mut self.stream);
        let send = async {
            write.write_all(request).await?;
            write.flush().await
        };
        let buffer = &mut self.buffer;
        let receive = async {
            let head = loop {
                if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end + 4;
                }
                if read.read_buf(buffer).await? == 0 {
                    return Err(broken("the connection ended before an answer"));
                }
            };
            let text = std::str::from_utf8(&buffer[..head]).map_err(|_| broken("the head of the answer is no text"))?;
            let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| broken("no status"))?;
            let length = text.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            match length {
                Some(length) => {
                    while buffer.len() < head + length {
                        if read.read_buf(buffer).await? == 0 {
                            return Err(broken("the answer broke off"));
                        }
                    }
                }
                None => {
                    // Chunks, without trailers: the last one is empty.
                    while !buffer.ends_with(b"0\r\n\r\n") {
                        if read.read_buf(buffer).await? == 0 {
                            return Err(broken("the answer broke off"));
                        }
                    }
                }
            }
            Ok((status, head, length.is_none()))
        };
        let ((), (status, head, chunked)) = tokio::try_join!(send, receive)?;
        if chunked {
            let whole = unchunked(&self.buffer[head..])?;
            self.buffer.truncate(head);
            self.buffer.extend_from_slice(&whole);
        }
        Ok(Answer { status, body: &self.buffer[head..] })
    }
}

fn unchunked(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut whole = Vec::with_capacity(rest.len());
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").ok_or_else(|| broken("a chunk without its length"))?;
        let length = std::str::from_utf8(&rest[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let length = length.ok_or_else(|| broken("a chunk without its length"))?;
        let chunk = rest.get(end + 2..end + 2 + length).ok_or_else(|| broken("a chunk that is too short"))?;
        if length == 0 {
            return Ok(whole);
        }
        whole.extend_from_slice(chunk);
        rest = rest.get(end + 2 + length + 2..).ok_or_else(|| broken("a chunk without its end"))?;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(unchunked(b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n").unwrap(), b"abc0123456789");
        assert!(unchunked(b"5\r\nabc\r\n0\r\n\r\n").is_err());
    }
}
