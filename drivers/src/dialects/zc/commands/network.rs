//! 17 网络参数维护: the converter's network settings. Changes the converter, not the disk.

use std::net::Ipv4Addr;

use super::super::fields::{FieldError, FieldWriter};
use crate::secret::Secret;

/// Command number.
pub const CODE: u8 = 0x17;

/// How the converter takes its own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// DHCP gives it.
    Dhcp,
    /// It is fixed.
    Fixed {
        /// Address.
        address: Ipv4Addr,
        /// Gateway.
        gateway: Ipv4Addr,
        /// Mask.
        mask: Ipv4Addr,
        /// Name server.
        name_server: Ipv4Addr,
    },
}

/// All settings; the command replaces all of them at once.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// Own address.
    pub addressing: Addressing,
    /// The tax office's server.
    pub server: (Ipv4Addr, u16),
    /// Path on it, at most 50 characters.
    pub path: String,
    /// FTP server for updates.
    pub ftp: (Ipv4Addr, u16),
    /// Its user, at most 16 characters.
    pub ftp_user: String,
    /// Its password, at most 16 characters.
    pub ftp_password: Secret,
}

/// isdhcp 1, address 20, gateway 20, mask 20, dns 20, server 20, port 6, path 50, ftp 20, port 6, user 16, password 16. The
/// answer is empty.
///
/// # Errors
/// A field does not fit. No password stands in the text.
pub fn request(settings: &NetworkSettings) -> Result<Vec<u8>, FieldError> {
    let mut writer = FieldWriter::new();
    match settings.addressing {
        Addressing::Dhcp => {
            writer.text("", "1", 1).empty(4 * 20);
        }
        Addressing::Fixed { address, gateway, mask, name_server } => {
            writer.text("", "0", 1);
            for one in [address, gateway, mask, name_server] {
                writer.text("address", &one.to_string(), 20);
            }
        }
    }
    writer.text("server", &settings.server.0.to_string(), 20).text("server port", &settings.server.1.to_string(), 6);
    writer.text("path", &settings.path, 50);
    writer.text("ftp", &settings.ftp.0.to_string(), 20).text("ftp port", &settings.ftp.1.to_string(), 6);
    writer.text("ftp user", &settings.ftp_user, 16);
    match settings.ftp_password.expose() {
        bytes if bytes.iter().all(u8::is_ascii_graphic) => writer.bytes("ftp password", bytes, 16),
        _ => writer.refuse("ftp password", "it does not fit: at most 16 ASCII characters are expected"),
    };
    writer.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings(addressing: Addressing) -> NetworkSettings {
        NetworkSettings {
            addressing,
            server: ([192, 0, 2, 1].into(), 8001),
            path: "/".to_owned(),
            ftp: ([192, 0, 2, 2].into(), 21),
            ftp_user: "user".to_owned(),
            ftp_password: Secret::new("secret"),
        }
    }

    #[test]
    fn fields_in_their_places() {
        let data = request(&settings(Addressing::Dhcp)).unwrap();
        assert_eq!((data.len(), data[0], &data[1..81]), (215, b'1', &[0; 80][..]));
        assert_eq!((&data[81..90], &data[101..105], &data[199..205]), (&b"192.0.2.1"[..], &b"8001"[..], &b"secret"[..]));
        let address = Ipv4Addr::new(192, 0, 2, 3);
        let fixed = Addressing::Fixed { address, gateway: address, mask: [255, 255, 255, 0].into(), name_server: address };
        let data = request(&settings(fixed)).unwrap();
        assert_eq!((data[0], &data[41..54]), (b'0', &b"255.255.255.0"[..]));
        let long = NetworkSettings { ftp_password: Secret::new("seventeen letters"), ..settings(Addressing::Dhcp) };
        assert!(!request(&long).unwrap_err().to_string().contains("seventeen"));
    }
}
