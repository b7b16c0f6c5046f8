//! Mail over SMTP: STARTTLS or TLS, sign-in, one receiver a mail.
//!
//! * `Message-ID` is made of the message's id: a mail that went out twice can be told by its receiver.
//! * Reports of what could not be delivered go to the bounce address (the envelope's sender), never to a person.
//! * Headers are built from typed values; what others wrote (names, addresses) is checked or encoded, and put on one line first.
//! * TLS is demanded, never tried: a server without it, or with another's certificate, gets no word of a mail.

use std::time::Duration;

use async_trait::async_trait;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::words::{self, Facts};
use super::{Carrier, Letter, Outcome, secret};
use crate::config::{ConfigError, Mail, Security};
use crate::core::outbox::Verdict;

/// Replies of 5xx that are about this platform's set-up and not about the mail: commands out of order (503), not implemented
/// (502, 504), sign-in (530, 534, 535, 538; RFC 4954). A person mends them, so the mail waits.
const OUR_FAULT: [u16; 7] = [502, 503, 504, 530, 534, 535, 538];

/// Sends mail through one server.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    bounce: Address,
    config: Mail,
}

impl Mailer {
    /// As configured. Nothing is connected to yet.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn new(config: &Mail) -> Result<Mailer, ConfigError> {
        let wrong = |key: &str, why: &dyn std::fmt::Display| ConfigError(format!("mail.{key}: {why}"));
        let from: Mailbox = config.from.parse().map_err(|error| wrong("from", &error))?;
        let bounce = match &config.bounce_address {
            Some(address) => address.parse().map_err(|error| wrong("bounce_address", &error))?,
            None => from.email.clone(),
        };
        let tls = match config.security {
            Security::PlainOnLoopback => Tls::None,
            Security::Starttls => Tls::Required(parameters(config)?),
            Security::Tls => Tls::Wrapper(parameters(config)?),
        };
        let port = config.port.unwrap_or(if config.security == Security::Tls { 465 } else { 587 });
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(config.host.as_str())
            .port(port)
            .tls(tls)
            .hello_name(ClientId::Domain(from.email.domain().to_owned()))
            .timeout(Some(Duration::from_secs(config.limit_s)));
        if let (Some(user), Some(file)) = (&config.user, &config.password_file) {
            builder = builder.credentials(Credentials::new(user.clone(), secret("mail.password_file", file)?));
        }
        Ok(Mailer { transport: builder.build(), from, bounce, config: config.clone() })
    }

    /// The mail as it will be sent.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn compose(&self, letter: &Letter) -> Result<lettre::Message, String> {
        let link = letter.link.as_deref().filter(|_| self.config.link);
        let pdf = letter.pdf.as_ref().filter(|_| self.config.attach_pdf);
        if link.is_none() && pdf.is_none() {
            return Err("there is neither a PDF nor a link to send".to_owned());
        }
        let mail = self.written(letter, link, pdf)?;
        let too_large = |mail: &lettre::Message| mail.formatted().len() > self.config.max_bytes;
        if !too_large(&mail) {
            return Ok(mail);
        }
        let mail = if link.is_some() { self.written(letter, link, None)? } else { mail };
        if too_large(&mail) {
            return Err(format!("the mail is larger than mail.max_bytes ({})", self.config.max_bytes));
        }
        Ok(mail)
    }

    fn written(&self, letter: &Letter, link: Option<&str>, pdf: Option<&Vec<u8>>) -> Result<lettre::Message, String> {
        let to: Address = letter.message.address.parse().map_err(|_| "this is no mail address".to_owned())?;
        let envelope = Envelope::new(Some(self.bounce.clone()), vec![to.clone()]).map_err(|error| error.to_string())?;
        let (seller, request, simulated) = (letter.seller.as_str(), &letter.request, letter.simulated);
        let facts = Facts { seller, request, link, attached: pdf.is_some(), simulated };
        let texts = words::mail(&facts, self.config.language);
        let body = MultiPart::alternative()
            .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(texts.plain))
            .singlepart(SinglePart::builder().header(ContentType::TEXT_HTML).body(texts.html));
        let body = match pdf {
            None => body,
            Some(pdf) => {
                let kind = ContentType::parse("application/pdf").map_err(|error| error.to_string())?;
                MultiPart::mixed().multipart(body).singlepart(Attachment::new(file_name(letter)).body(pdf.clone(), kind))
            }
        };
        // RFC 3834: no machine answers it.
        let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(texts.subject)
            .message_id(Some(format!("<{}@{}>", letter.message.id, self.from.email.domain())))
            .raw_header(automatic)
            .envelope(envelope)
            .multipart(body)
            .map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Carrier for Mailer {
    async fn carry(&self, letter: &Letter) -> Outcome {
        let mail = match self.compose(letter) {
            Ok(mail) => mail,
            Err(why) => return Outcome::new(Verdict::Never, why),
        };
        let limit = Duration::from_secs(self.config.limit_s);
        match tokio::time::timeout(limit, self.transport.send(mail)).await {
            Ok(Ok(response)) => {
                let text = response.message().collect::<Vec<_>>().join(" ");
                Outcome::new(Verdict::Sent, text).status(code(response.code()))
            }
            Ok(Err(error)) => judged(&error),
            Err(_) => Outcome::new(Verdict::Later, format!("no end within {} s", self.config.limit_s)).unclear(),
        }
    }
}

/// What an error says about the mail. Only a server's own refusal is final; a broken connection never is.
fn judged(error: &lettre::transport::smtp::Error) -> Outcome {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    match error.status().map(code) {
        Some(status) if error.is_permanent() && !OUR_FAULT.contains(&status) => Outcome::new(Verdict::Never, text).status(status),
        Some(status) => Outcome::new(Verdict::Later, text).status(status),
        // Refused before a word of the mail was written.
        None if error.is_tls() || error.is_client() => Outcome::new(Verdict::Later, text),
        None => Outcome::new(Verdict::Later, text).unclear(),
    }
}

fn code(code: lettre::transport::smtp::response::Code) -> u16 {
    u16::from(code)
}

/// Digits and a hyphen: no name of others is in it.
fn file_name(letter: &Letter) -> String {
    let pair = letter.request.pair().unwrap_or_default();
    let digits = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    format!("{}-{}.pdf", digits(&pair.code), digits(&pair.number))
}

fn parameters(config: &Mail) -> Result<TlsParameters, ConfigError> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(file) = &config.ca_file {
        let wrong =
            |error: &dyn std::fmt::Display| ConfigError(format!("mail.ca_file: {} cannot be used: {error}", file.display()));
        let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
        let authority = Certificate::from_pem(&pem).map_err(|error| wrong(&error))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(authority);
    }
    builder.build().map_err(|error| ConfigError(format!("mail.host: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Language;
    use crate::core::outbox::{Channel, Message, Standing};
    use crate::store::tests::request;

    fn mailer(max_bytes: usize) -> Mailer {
        Mailer::new(&Mail {
            host: "127.0.0.1".to_owned(),
            port: None,
            security: Security::PlainOnLoopback,
            user: None,
            password_file: None,
            from: "发票 <invoice@platform.example>".to_owned(),
            bounce_address: None,
            ca_file: None,
            limit_s: 5,
            attach_pdf: true,
            link: true,
            language: Language::Zh,
            max_bytes,
        })
        .unwrap()
    }

    fn letter(seller: &str, pdf: usize) -> Letter {
        let message = Message {
            id: "msg_1".to_owned(),
            tenant: "one".to_owned(),
            serial: "A1".to_owned(),
            channel: Channel::Mail,
            address: "a@buyer.example".to_owned(),
            cause: "issued".to_owned(),
            standing: Standing::Waiting,
            tries: 0,
            unclear: false,
            attempts: Vec::new(),
            created_at: 0,
            due_at: 0,
        };
        let (request, link) = (request("one", "A1"), Some("https://fp.example/i/t".to_owned()));
        Letter { message, request, seller: seller.to_owned(), link, pdf: Some(vec![b'x'; pdf]), simulated: false }
    }

    #[test]
    fn what_others_wrote_begins_no_header() {
        let seller = "x\r\nBcc: victim@elsewhere.example\r\n\r\nbody\u{0}\u{85}";
        let mail = mailer(1 << 20).compose(&letter(seller, 10)).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split(':').next().unwrap_or_default())
            .collect();
        assert!(!names.iter().any(|name| name.eq_ignore_ascii_case("bcc")), "{head}");
        assert_eq!(mail.envelope().to().iter().map(ToString::to_string).collect::<Vec<_>>(), ["a@buyer.example"]);
        let mut bad = letter("x", 10);
        bad.message.address = "a@buyer.example>\r\nRCPT TO:<b@buyer.example".to_owned();
        assert!(mailer(1 << 20).compose(&bad).is_err());
    }

    #[test]
    fn a_mail_that_is_too_large_goes_with_its_link_alone() {
        let small = mailer(64 * 1024).compose(&letter("x", 1000)).unwrap().formatted();
        assert!(String::from_utf8_lossy(&small).contains("application/pdf"));
        let large = mailer(64 * 1024).compose(&letter("x", 100_000)).unwrap().formatted();
        assert!(large.len() < 64 * 1024 && !String::from_utf8_lossy(&large).contains("application/pdf"));
        let no_link = Letter { link: None, ..letter("x", 100_000) };
        assert!(mailer(64 * 1024).compose(&no_link).unwrap_err().contains("max_bytes"));
    }
}
