//! A component behind HTTP: one POST a document, each on a connection of its own.
//!
//! A connection that was kept open might be dead, and finding that out by sending would put every failure in doubt. A
//! redirect would send the document twice, a proxy might repeat it: neither is followed or used, whatever the environment
//! says.

use std::time::Duration;

use ureq::{Agent, Timeout};

use super::{DocumentError, DocumentLink, MAX_ANSWER_BYTES, Sent};

/// Finding the host, and connecting to it, may take so long each (device-xml-and-usb.md, B.1).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The link. An `https` address needs the process-wide TLS provider that the programs set up at their start.
#[derive(Debug)]
pub struct HttpLink {
    agent: Agent,
    url: String,
}

impl HttpLink {
    /// A link to this address, such as `http://192.168.1.20:8080/SKServer/SKDo`. Nothing is sent yet.
    pub fn new(url: impl Into<String>) -> HttpLink {
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build();
        HttpLink { agent: config.new_agent(), url: url.into() }
    }

    fn failed(&self, error: &ureq::Error) -> DocumentError {
        let sent = sent(error);
        let text = match sent {
            Sent::No => format!("no connection to {} ({error}): is it running, and is the address right?", self.url),
            Sent::Maybe => format!("no answer from {} ({error}): the request may have arrived", self.url),
        };
        DocumentError { sent, text }
    }
}

/// Only what cannot happen once there is a connection counts as "not sent".
fn sent(error: &ureq::Error) -> Sent {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => Sent::No,
        // Reported for these phases only; after them a timeout has another name.
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => Sent::No,
        // A connected stream cannot be refused any more, it can only be reset.
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Sent::No,
        _ => Sent::Maybe,
    }
}

impl DocumentLink for HttpLink {
    fn call(&mut self, document: &[u8], within: Duration) -> Result<Vec<u8>, DocumentError> {
        let address = self.url.parse::<ureq::http::Uri>().ok().filter(|uri| uri.host().is_some() && uri.scheme().is_some());
        if address.is_none() {
            let text = format!("{} is no address of an HTTP service: correct it in the configuration", self.url);
            return Err(DocumentError::not_sent(text));
        }
        let request = self.agent.post(&self.url).config().timeout_global(Some(within)).build();
        let response = request.header("content-type", "text/xml").header("connection", "close").send(document);
        let mut response = response.map_err(|error| self.failed(&error))?;
        let status = response.status();
        if !status.is_success() {
            let text = format!("{} answered with the HTTP status {status}: the request may have been carried out", self.url);
            return Err(DocumentError::maybe_sent(text));
        }
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES as u64).read_to_vec();
        // Whatever broke, the request had arrived.
        body.map_err(|error| DocumentError { sent: Sent::Maybe, ..self.failed(&error) })
    }

    fn describe(&self) -> String {
        self.url.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(20);

    /// Serves connections with this function until the test ends; counts them.
    fn serve(answer: impl Fn(TcpStream) + Send + 'static) -> (HttpLink, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = HttpLink::new(format!("http://{}/SKServer/SKDo", listener.local_addr().unwrap()));
        let count = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                answer(stream.unwrap());
            }
        });
        (link, count)
    }

    /// Reads a request whose body ends with `!`.
    fn request(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        let mut byte = [0];
        while text.last() != Some(&b'!') {
            stream.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
        String::from_utf8(text).unwrap()
    }

    fn respond(head: &'static str, body: &'static [u8]) -> impl Fn(TcpStream) + Send + 'static {
        move |mut stream| {
            request(&mut stream);
            stream.write_all(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        }
    }

    #[test]
    fn one_post_and_its_answer() {
        let (sender, receiver) = mpsc::channel();
        let (mut link, count) = serve(move |mut stream| {
            sender.send(request(&mut stream)).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        });
        assert_eq!(link.call(b"document!", WITHIN).unwrap(), b"ok");
        let request = receiver.recv().unwrap();
        assert!(request.starts_with("POST /SKServer/SKDo HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("content-type: text/xml\r\n") && request.ends_with("\r\n\r\ndocument!"), "{request}");
        // Every document has a connection of its own.
        assert_eq!(link.call(b"document!", WITHIN).unwrap(), b"ok");
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_refused_connection_is_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut link = HttpLink::new(format!("http://{address}/"));
        assert_eq!(link.call(b"document!", WITHIN).unwrap_err().sent, Sent::No);
        assert_eq!(HttpLink::new("no address").call(b"document!", WITHIN).unwrap_err().sent, Sent::No);
    }

    #[test]
    fn a_connection_that_breaks_is_maybe_and_nothing_is_sent_again() {
        let (mut link, count) = serve(|mut stream| drop(request(&mut stream)));
        assert_eq!(link.call(b"document!", WITHIN).unwrap_err().sent, Sent::Maybe);
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let (mut link, count) = serve(drop);
        assert_eq!(link.call(b"document!", WITHIN).unwrap_err().sent, Sent::Maybe);
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let (mut link, _) = serve(|mut stream| {
            request(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").unwrap();
        });
        assert_eq!(link.call(b"document!", WITHIN).unwrap_err().sent, Sent::Maybe);
    }

    #[test]
    fn redirects_and_errors_are_maybe_and_not_followed() {
        for head in ["307 Temporary Redirect\r\nlocation: /again", "308 x\r\nlocation: /again", "302 x\r\nlocation: /", "500 x"] {
            let (mut link, count) = serve(respond(head, b""));
            let error = link.call(b"document!", WITHIN).unwrap_err();
            assert_eq!((error.sent, count.load(Ordering::SeqCst)), (Sent::Maybe, 1), "{head}: {error}");
        }
    }

    #[test]
    fn a_silent_server_is_maybe_when_the_time_is_over() {
        let (done, wait) = mpsc::channel::<()>();
        let (mut link, _) = serve(move |mut stream| {
            request(&mut stream);
            // Held open until the test is over.
            let _ = wait.recv();
        });
        assert_eq!(link.call(b"document!", Duration::from_millis(200)).unwrap_err().sent, Sent::Maybe);
        drop(done);
    }

    #[test]
    fn an_answer_without_end_is_cut_off() {
        let (mut link, _) = serve(|mut stream| {
            request(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").unwrap();
            // Ends when the link hangs up.
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
        });
        assert_eq!(link.call(b"document!", WITHIN).unwrap_err().sent, Sent::Maybe);
    }
}
