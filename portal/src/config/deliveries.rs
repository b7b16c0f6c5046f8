//! What reaches people: mail, short messages, card packs, public links. Everything is described in docs/delivery.md.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};
use crate::core::outbox::SCHEDULE_MINUTES;

/// Messages to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deliveries {
    /// Waits between attempts, seconds.
    pub schedule_s: Vec<u64>,
    /// Messages under way at the same time.
    pub concurrency: usize,
}

impl Default for Deliveries {
    fn default() -> Self {
        Deliveries { schedule_s: SCHEDULE_MINUTES.iter().map(|minutes| minutes * 60).collect(), concurrency: 8 }
    }
}

/// How the connection to the mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// STARTTLS, demanded: nothing is sent to a server that does not offer it (port 587).
    #[default]
    Starttls,
    /// TLS from the first byte (port 465).
    Tls,
    /// None. Only to a server on this machine.
    PlainOnLoopback,
}

/// The language of mails and short messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Chinese.
    #[default]
    Zh,
    /// English.
    En,
    /// Chinese, then English.
    Both,
}

/// The mail server and what is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Its name, which its certificate must have, or its address.
    pub host: String,
    /// 587 for `starttls`, 465 for `tls` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the connection is secured.
    #[serde(default)]
    pub security: Security,
    /// Name to sign in with; left out: nobody signs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// `发票服务 <invoice@platform.example>`.
    pub from: String,
    /// Where mail servers send their reports of what could not be delivered; that of `from` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounce_address: Option<String>,
    /// PEM: authorities instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A whole mail, from the connection to the server's last word, seconds.
    #[serde(default = "sixty")]
    pub limit_s: u64,
    /// Attach the PDF.
    #[serde(default = "yes")]
    pub attach_pdf: bool,
    /// Name the public link.
    #[serde(default = "yes")]
    pub link: bool,
    /// Language.
    #[serde(default)]
    pub language: Language,
    /// A mail as it is sent, at most, bytes. One that would be larger goes without its attachment, if it has a link.
    #[serde(default = "two_mebibytes")]
    pub max_bytes: usize,
}

/// The provider of short messages (docs/delivery.md, "Short messages").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sms {
    /// Where messages are posted; `https`, and guarded like a callback.
    pub url: String,
    /// Names the key.
    pub key_id: String,
    /// File with the secret that requests are signed with.
    pub secret_file: PathBuf,
    /// 短信签名, as `示例商户`: stands in front of the text in 【】.
    #[serde(default)]
    pub signature_name: String,
    /// Language.
    #[serde(default)]
    pub language: Language,
}

/// The account at WeChat that puts invoices into card packs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wechat {
    /// Where its API is.
    #[serde(default = "weixin")]
    pub base_url: String,
    /// App id of the platform's account.
    pub app_id: String,
    /// File with its secret.
    pub secret_file: PathBuf,
    /// `s_pappid`, which WeChat gave the platform.
    pub s_pappid: String,
    /// Template of the card, made once by `createcard`.
    pub card_id: String,
    /// Inside WeChat the form offers the titles that its user keeps there. The account then has this portal's name among its
    /// JS接口安全域名.
    #[serde(default)]
    pub titles: bool,
}

/// Public links to invoices, and codes for consumers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Links {
    /// A link ends after so many days.
    pub valid_days: u32,
    /// A code at which a consumer names the buyer ends after so many days.
    pub code_valid_days: u32,
    /// File with the key that links are made from, 64 hexadecimal digits; it is made if it is not there. Left out: the key is in
    /// the store, and who has a copy of the store has the links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

impl Default for Links {
    fn default() -> Self {
        Links { valid_days: 180, code_valid_days: 180, key_file: None }
    }
}

impl Links {
    /// How long a link is good, milliseconds.
    pub fn valid_ms(&self) -> i64 {
        i64::from(self.valid_days) * 24 * 3600 * 1000
    }

    /// How long a code is good, milliseconds.
    pub fn code_valid_ms(&self) -> i64 {
        i64::from(self.code_valid_days) * 24 * 3600 * 1000
    }
}

impl Config {
    pub(super) fn check_deliveries(&self) -> Result<(), ConfigError> {
        let Some(mail) = &self.mail else { return Ok(()) };
        let is_here = mail.host == "localhost" || mail.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if mail.security == Security::PlainOnLoopback && !is_here {
            return Err(ConfigError(format!("mail.security: {} is not this machine, so TLS is needed", mail.host)));
        }
        if mail.user.is_some() != mail.password_file.is_some() {
            return Err(ConfigError("mail.user and mail.password_file belong together".to_owned()));
        }
        if mail.limit_s == 0 || mail.max_bytes < 64 * 1024 {
            return Err(ConfigError("mail.limit_s must be above 0 and mail.max_bytes at least 65536".to_owned()));
        }
        if !mail.attach_pdf && !mail.link {
            return Err(ConfigError("mail: one of attach_pdf and link must be true, or there is no invoice in it".to_owned()));
        }
        Ok(())
    }
}

fn yes() -> bool {
    true
}

fn sixty() -> u64 {
    60
}

fn two_mebibytes() -> usize {
    2 << 20
}

fn weixin() -> String {
    "https://api.weixin.qq.com".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(host: &str) -> Mail {
        Mail {
            host: host.to_owned(),
            port: None,
            security: Security::Starttls,
            user: None,
            password_file: None,
            from: "a@platform.example".to_owned(),
            bounce_address: None,
            ca_file: None,
            limit_s: 60,
            attach_pdf: true,
            link: true,
            language: Language::Zh,
            max_bytes: 1 << 20,
        }
    }

    #[test]
    fn plain_mail_stays_on_this_machine_and_no_mail_is_without_its_invoice() {
        let check = |mail: Mail| Config { mail: Some(mail), ..Config::default() }.check_deliveries();
        assert_eq!(check(mail("mail.example")), Ok(()));
        for (host, good) in
            [("127.0.0.1", true), ("::1", true), ("localhost", true), ("mail.example", false), ("10.0.0.1", false)]
        {
            let plain = Mail { security: Security::PlainOnLoopback, ..mail(host) };
            assert_eq!(check(plain).is_ok(), good, "{host}");
        }
        assert!(check(Mail { attach_pdf: false, link: false, ..mail("mail.example") }).is_err());
        assert!(check(Mail { user: Some("a".to_owned()), ..mail("mail.example") }).is_err(), "no password");
    }
}
