//! `taxdisk-portal qr make`: the link that a till prints for an offline code, for trying out and for tills that run a program.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::Failure;
use crate::order::{self, Algorithm, Nonce, Order, OrderKey};

/// A key file at most, bytes: 64 hexadecimal digits and what an editor puts behind them.
const MAX_KEY_FILE: u64 = 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Qr {
    /// Print the link of an offline code for one order.
    Make(Make),
}

#[derive(Debug, Args)]
pub(super) struct Make {
    /// The system that prints codes, as it was registered.
    #[arg(long)]
    syscode: String,
    /// The order's number at the merchant: 1 to 64 characters.
    #[arg(long)]
    order: String,
    /// File with the key in hexadecimal: 32 bytes for AES-256-GCM, 16 bytes for SM4-GCM. Keep it from others.
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Id of the key.
    #[arg(long)]
    kid: u16,
    /// Algorithm that the key is registered for.
    #[arg(long, value_enum, default_value_t = Chosen::Aes256Gcm)]
    algorithm: Chosen,
    /// How consumers reach the portal.
    #[arg(long, value_name = "URL")]
    public_url: String,
    /// The code may be used for so many days; left out: as long as its key is read.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    expires_days: Option<u16>,
    /// Number of the till, where its machine has no good generator of random numbers. A key is used by all tills in this way, or
    /// by none.
    #[arg(long, requires = "counter", value_name = "NUMBER")]
    till: Option<u32>,
    /// How many tokens this till has made before; it outlives every restart and never goes back. The same number twice gives the
    /// key away.
    #[arg(long, requires = "till", value_name = "COUNT")]
    counter: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Chosen {
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
    #[value(name = "sm4-gcm")]
    Sm4Gcm,
}

impl Qr {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Qr::Make(make) = self;
        let (token, url) = make.link(super::now_ms() / 1000)?;
        let text = match make.json {
            true => serde_json::json!({ "url": url, "order": token }).to_string(),
            false => url,
        };
        writeln!(std::io::stdout(), "{text}").map_err(|error| Failure::Other(error.to_string()))
    }
}

impl Make {
    fn link(&self, now_s: i64) -> Result<(String, String), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Other(error.to_string());
        let algorithm = match self.algorithm {
            Chosen::Aes256Gcm => Algorithm::Aes256Gcm,
            Chosen::Sm4Gcm => Algorithm::Sm4Gcm,
        };
        let secret = secret(&self.key_file).map_err(|error| failed(&format!("{}: {error}", self.key_file.display())))?;
        let key = OrderKey::new(self.kid, algorithm, &secret).map_err(|error| failed(&error))?;
        let expires_at_s = self.expires_days.map(|days| now_s + i64::from(days) * 24 * 3600);
        let order = Order { number: self.order.clone(), made_at_s: now_s, expires_at_s };
        let nonce = match (self.till, self.counter) {
            (Some(till), Some(counter)) => Nonce::counted(till, counter),
            _ => Nonce::random(),
        };
        let token = order::make(&self.syscode, &key, &order, nonce).map_err(|error| failed(&error))?;
        // Syscode and token have no character that a query string would have to escape.
        let url = format!("{}/qrcode-connector?syscode={}&order={token}", self.public_url.trim_end_matches('/'), self.syscode);
        Ok((token, url))
    }
}

fn secret(file: &Path) -> Result<Vec<u8>, String> {
    let mut text = String::new();
    let open = std::fs::File::open(file).map_err(|error| error.to_string())?;
    open.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(|error| error.to_string())?;
    // What is wrong with it is not repeated: it is a key.
    hex::decode(text.trim()).map_err(|_| "a key in hexadecimal is expected".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::order::Keyring;

    #[test]
    fn the_printed_link_is_opened_with_the_registered_key() {
        let dir = tempfile::tempdir().unwrap();
        let key_file = dir.path().join("key");
        std::fs::write(&key_file, format!("{}\n", "0f".repeat(16))).unwrap();
        let make = |key_file: &Path| Make {
            syscode: "DEMOSYS".to_owned(),
            order: "POS42-0007".to_owned(),
            key_file: key_file.to_owned(),
            kid: 4,
            algorithm: Chosen::Sm4Gcm,
            public_url: "https://fp.example/".to_owned(),
            expires_days: Some(30),
            till: None,
            counter: None,
            json: false,
        };
        let now = 1_800_000_000;
        let (token, url) = make(&key_file).link(now).unwrap();
        assert_eq!(url, format!("https://fp.example/qrcode-connector?syscode=DEMOSYS&order={token}"));
        let keys = Keyring::new(vec![OrderKey::new(4, Algorithm::Sm4Gcm, &[15; 16]).unwrap()]).unwrap();
        let opened = order::open(&token, "DEMOSYS", &keys, now + 30 * 24 * 3600).unwrap();
        assert_eq!((opened.number.as_str(), opened.made_at_s), ("POS42-0007", now));
        assert!(order::open(&token, "DEMOSYS", &keys, now + 30 * 24 * 3600 + 1).is_err());

        // A till that counts makes the same token of the same number, which is why a number is used once.
        let counted = |counter| Make { till: Some(42), counter: Some(counter), ..make(&key_file) }.link(now).unwrap().0;
        assert_eq!(counted(7), counted(7));
        assert_ne!(counted(7), counted(8));
        assert!(order::open(&counted(7), "DEMOSYS", &keys, now).is_ok());
        assert_ne!(make(&key_file).link(now).unwrap().0, token, "without a counter each is another one");

        std::fs::write(&key_file, "no key").unwrap();
        let failed = make(&key_file).link(now).unwrap_err().to_string();
        assert!(failed.contains("hexadecimal") && !failed.contains("no key"), "{failed}");
    }
}
