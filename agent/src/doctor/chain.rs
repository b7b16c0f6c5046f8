//! Who signed the certificate that somebody shows, also one that is not trusted: that names the box that rewrites TLS.
//!
//! The certificate is looked at and then refused, always: nothing is ever said over such a connection.

use std::sync::{Arc, Mutex};

use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};

/// The longest name that is shown, characters.
const NAME_MAX_CHARS: usize = 80;
/// Object identifiers of common name and organisation (X.520), as they are written in DER.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const ORGANISATION: [u8; 3] = [0x55, 0x04, 0x0a];

/// The issuer's name of the certificate at the other end. `None`: none was shown, or it tells none.
pub(super) async fn issuer<S: AsyncRead + AsyncWrite + Unpin>(host: &str, stream: S) -> Option<String> {
    let seen = Arc::new(Looks::default());
    let config = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    // It fails: that is how a look ends.
    let _ = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let certificate = seen.0.lock().ok()?.take()?;
    issuer_of(&certificate)
}

/// Keeps the first certificate and trusts nobody.
#[derive(Debug, Default)]
struct Looks(Mutex<Option<Vec<u8>>>);

impl ServerCertVerifier for Looks {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut seen) = self.0.lock() {
            *seen = Some(end_entity.to_vec());
        }
        Err(rustls::Error::General("it was only looked at".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("it was only looked at".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("it was only looked at".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        crate::tls::provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Common name of the issuer, or its organisation (RFC 5280, section 4.1: the fourth field after the optional version).
fn issuer_of(certificate: &[u8]) -> Option<String> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    let (tag, _, after) = element(rest)?;
    if tag == 0xa0 {
        rest = after;
    }
    let (_, _, rest) = element(rest)?;
    let (_, _, rest) = element(rest)?;
    let (_, mut names, _) = element(rest)?;
    let (mut common, mut organisation) = (None, None);
    while let Some((_, set, after)) = element(names) {
        names = after;
        let (_, pair, _) = element(set)?;
        let (_, identifier, value) = element(pair)?;
        let (_, text, _) = element(value)?;
        // A name is somebody else's text on this terminal.
        let text: String = String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(NAME_MAX_CHARS).collect();
        if identifier == COMMON_NAME {
            common = Some(text);
        } else if identifier == ORGANISATION {
            organisation = Some(text);
        }
    }
    common.or(organisation).filter(|name| !name.is_empty())
}

/// Tag, content and what comes after the first element of DER.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(short), rest),
        // A certificate's lengths have up to three bytes.
        long @ 0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn signed_by(name: Option<&str>, organisation: Option<&str>) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = name {
            parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        }
        if let Some(name) = organisation {
            parameters.distinguished_name.push(rcgen::DnType::OrganizationName, name);
        }
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_issuer_is_named_by_common_name_or_organisation() {
        assert_eq!(issuer_of(&signed_by(Some("Office Proxy CA"), Some("Office"))).as_deref(), Some("Office Proxy CA"));
        assert_eq!(issuer_of(&signed_by(None, Some("办公室"))).as_deref(), Some("办公室"));
        assert_eq!(issuer_of(&signed_by(None, None)), None);
    }

    #[test]
    fn cut_and_damaged_certificates_name_nobody_and_stop_nothing() {
        let whole = signed_by(Some("Office Proxy CA"), None);
        for length in 0..whole.len() {
            let _ = issuer_of(&whole[..length]);
            let mut damaged = whole.clone();
            damaged[length] ^= 0xff;
            let _ = issuer_of(&damaged);
        }
    }
}
