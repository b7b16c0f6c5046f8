//! Why the broker cannot be reached, in one sentence that says whose fault it is and what to do.
//!
//! It decides nothing: the same sentence serves enrolment, the log of the link and `doctor`.

use std::io;

use tokio_tungstenite::tungstenite::Error as WsError;

use crate::config::BrokerUrl;

/// How far a connection came before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The name has no address.
    Names,
    /// No TCP connection.
    Tcp,
    /// TLS.
    Tls,
    /// The upgrade to WebSocket.
    Upgrade,
}

/// What the network's errors mean for a person at this PC.
pub fn io(url: &BrokerUrl, stage: Stage, error: &io::Error) -> String {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_text(url, tls);
    }
    match (stage, error.kind()) {
        (Stage::Names, _) => {
            format!("The name {} has no address ({error}): correct [broker] url, or repair this PC's DNS.", url.host)
        }
        (Stage::Tcp, io::ErrorKind::ConnectionRefused) => {
            format!("Nothing listens at {}: the broker is down, or the port is wrong.", url.authority())
        }
        (Stage::Tcp, io::ErrorKind::TimedOut) => {
            format!("{} does not answer: a firewall blocks it, or the broker's machine is off.", url.authority())
        }
        (Stage::Tcp, io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
            format!("There is no way to {} ({error}): check this PC's network.", url.authority())
        }
        (Stage::Tls, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            format!("{} hung up during the TLS handshake: is it a broker with TLS 1.3?", url.authority())
        }
        (Stage::Tcp | Stage::Tls | Stage::Upgrade, _) => {
            format!("The connection to {} failed ({error}): check network and firewall.", url.authority())
        }
    }
}

/// What a failed TLS handshake means.
pub fn tls_text(url: &BrokerUrl, error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    let host = &url.host;
    match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => format!(
            "The certificate of {host} is signed by an authority that this PC does not trust: set [broker] ca_file to that authority's certificate, or have the broker use a public one."
        ),
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            format!("The certificate of {host} has expired, or this PC's clock is wrong: renew it, or set the clock.")
        }
        rustls::Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            format!("The certificate of {host} is not valid yet: set this PC's clock.")
        }
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            format!(
                "The certificate at {host} is for another name: correct [broker] url, or have the broker's certificate name {host}."
            )
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion) => {
            format!("{host} does not speak TLS 1.3: update whatever ends TLS in front of the broker.")
        }
        rustls::Error::InvalidMessage(_) => {
            format!("{host} does not speak TLS at port {}: correct [broker] url (http:// or https://, port).", url.port)
        }
        other => format!("TLS with {host} failed ({other}): ask the broker's administrator."),
    }
}

/// What a failed upgrade means.
pub fn upgrade(url: &BrokerUrl, error: &WsError) -> String {
    match error {
        WsError::Http(answer) => {
            let status = answer.status().as_u16();
            match status {
                401 | 403 => format!(
                    "The broker at {url} refuses this agent (status {status}): ask its administrator whether it was revoked."
                ),
                429 | 503 => {
                    format!("The broker at {url} is busy or starting (status {status}); this agent tries again by itself.")
                }
                _ => format!(
                    "What answers at {url} is not a taxdisk broker, or a proxy in between does not pass WebSocket (status {status})."
                ),
            }
        }
        WsError::Io(error) => io(url, Stage::Upgrade, error),
        WsError::Protocol(error) => format!("What answers at {url} is not a broker's link ({error}): correct [broker] url."),
        other => format!("The link to {url} could not be opened ({other})."),
    }
}

/// What a failed request means.
pub fn http(url: &BrokerUrl, error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => {
            let stage = if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) { Stage::Tls } else { Stage::Tcp };
            io(url, stage, error)
        }
        ureq::Error::HostNotFound => {
            format!("The name {} has no address: correct the broker's address, or repair this PC's DNS.", url.host)
        }
        ureq::Error::ConnectionFailed => {
            format!("Nothing answers at {}: the broker is down, the port is wrong, or a firewall blocks it.", url.authority())
        }
        ureq::Error::Timeout(_) => {
            format!("{} does not answer in time: a firewall blocks it, or the broker has trouble.", url.authority())
        }
        ureq::Error::Rustls(error) => tls_text(url, error),
        other => format!("What answers at {url} is not a taxdisk broker ({other}): correct the address."),
    }
}
