//! Carries messages to people: mail, short messages, cards of WeChat. What is owed and when is decided in
//! [`crate::core::outbox`]; here it is sent, and what came of it is noted.
//!
//! A channel that fails, hangs or is not there touches no invoice and holds up no other channel for longer than its own limits.
//!
//! Read first: [`send::run`], [`Letter`]. Each channel has one file: [`mail`], [`sms`], [`card`]; the last one goes through
//! [`weixin`].

pub mod admin;
pub mod card;
pub mod mail;
pub mod send;
pub mod sms;
pub mod weixin;
pub mod words;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use taxdisk_web::outbound::Outbound;

use crate::config::{Config, ConfigError};
use crate::core::outbox::{Channel, Message, Verdict};
use crate::core::request::Request;
use crate::ledger::Clock;
use weixin::Weixin;

/// A message with what is said in it.
pub struct Letter {
    /// What is sent, to whom.
    pub message: Message,
    /// About which invoice.
    pub request: Request,
    /// Name of the seller.
    pub seller: String,
    /// Public link, unless it was revoked.
    pub link: Option<String>,
    /// The PDF, if it can be made.
    pub pdf: Option<Vec<u8>>,
    /// A simulated disk signed: everything says so.
    pub simulated: bool,
}

/// What an attempt came to, for whoever notes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What it came to.
    pub verdict: Verdict,
    /// Status of the answer: of SMTP, HTTP, or WeChat's `errcode`.
    pub status: Option<u16>,
    /// For people.
    pub text: String,
    /// The other side may have taken it all the same.
    pub unclear: bool,
}

impl Outcome {
    /// Nothing reached the other side.
    pub fn new(verdict: Verdict, text: impl Into<String>) -> Outcome {
        Outcome { verdict, status: None, text: text.into(), unclear: false }
    }

    /// With a status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Outcome {
        self.status = Some(status);
        self
    }

    /// Nobody knows whether it was taken.
    #[must_use]
    pub fn unclear(mut self) -> Outcome {
        self.unclear = true;
        self
    }
}

/// One way to people.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Tries once.
    async fn carry(&self, letter: &Letter) -> Outcome;
}

/// The channels of this platform.
#[derive(Clone, Default)]
pub struct Channels {
    mail: Option<Arc<dyn Carrier>>,
    sms: Option<Arc<dyn Carrier>>,
    card: Option<Arc<dyn Carrier>>,
    weixin: Option<Arc<Weixin>>,
}

impl Channels {
    /// As configured.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn new(config: &Config, outbound: &Outbound, clock: &Clock) -> Result<Channels, ConfigError> {
        let mut channels = Channels::default();
        if let Some(config) = &config.mail {
            channels.mail = Some(Arc::new(mail::Mailer::new(config)?));
        }
        if let Some(config) = &config.sms {
            channels.sms = Some(Arc::new(sms::SignedProvider::new(config, outbound.clone(), clock.clone())?));
        }
        if let Some(config) = &config.wechat {
            let weixin = Arc::new(Weixin::new(config, outbound.clone(), clock.clone())?);
            channels.card = Some(Arc::new(card::CardPack::new(weixin.clone())));
            channels.weixin = Some(weixin);
        }
        Ok(channels)
    }

    /// The account at WeChat, if there is one.
    pub fn weixin(&self) -> Option<Arc<Weixin>> {
        self.weixin.clone()
    }

    /// What carries messages of a channel, if there is one.
    pub fn carrier(&self, channel: Channel) -> Option<&Arc<dyn Carrier>> {
        match channel {
            Channel::Mail => self.mail.as_ref(),
            Channel::Sms => self.sms.as_ref(),
            Channel::Card => self.card.as_ref(),
        }
    }
}

/// A secret of a file, without the line end that editors add.
fn secret(key: &str, file: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| ConfigError(format!("{key}: {} cannot be read: {error}", file.display())))?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() { Err(ConfigError(format!("{key}: {} is empty", file.display()))) } else { Ok(text) }
}
