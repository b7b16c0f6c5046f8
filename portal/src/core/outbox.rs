//! Messages to people about an issued invoice: what is owed, what became of it, and when it is tried again.
//!
//! A message is written in the transaction that makes its reason true (the invoice is issued, or somebody asked to send it
//! again), so none is lost and none is sent for nothing. It never changes an invoice or its state: of a request only
//! `delivered`, which tells merchants how their mails and messages stand, is written here.
//!
//! If we stop after a message went out and before that is noted, it goes out again under the same id: a mail twice, never no
//! mail. The id is in `Message-ID`, so receivers can tell.
//!
//! Read first: [`Message`], [`on_issued`], [`resend`].

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use taxdisk_protocol::api::Operation;

use super::callback::Attempt;
use super::request::{NEVER, Phase, Request};
use crate::ledger::Session;
use crate::store::StoreError;

/// After the n-th failed attempt the next one waits so long, minutes: about a day in all, longer than most mail servers rest.
pub const SCHEDULE_MINUTES: [u64; 8] = [1, 5, 15, 60, 120, 240, 480, 480];
/// Attempts that are kept for people, the latest ones.
const ATTEMPTS_KEPT: usize = 20;
/// Messages of one channel about one serial number that may be asked for within a day.
const RESENDS_PER_SERIAL: usize = 10;
/// Messages to one address within a day, whoever asks: nobody's mailbox or telephone is flooded through us.
const MESSAGES_PER_ADDRESS: u64 = 30;
/// A day, milliseconds.
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Longest mail address, bytes (RFC 5321, section 4.5.3.1.3, less the angle brackets).
const MAX_MAIL_BYTES: usize = 254;

/// How a message reaches somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// To a mail address.
    Mail,
    /// To a telephone number.
    Sms,
    /// Into a WeChat card pack; the address is the order id that its owner authorised.
    Card,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Channel; 3] = [Channel::Mail, Channel::Sms, Channel::Card];

    /// As it is written in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Mail => "mail",
            Channel::Sms => "sms",
            Channel::Card => "card",
        }
    }
}

/// How a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It will be tried (again).
    Waiting,
    /// Handed over to the next one on its way. Whether a person read it is not known.
    Sent,
    /// Refused for good, or its schedule has ended; it may be asked for again.
    Failed,
    /// This platform has no such channel.
    Unavailable,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Handed over.
    Sent,
    /// Not now; nothing says that it cannot work later.
    Later,
    /// It will not work, however often it is tried.
    Never,
    /// The channel is not configured.
    Unavailable,
}

/// An attempt and what it came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it came to.
    pub verdict: Verdict,
    /// For people.
    pub attempt: Attempt,
    /// Nobody knows whether the other side took it: an answer was lost.
    pub unclear: bool,
}

/// A message. Kept as JSON, so a field that is added needs a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The same at every attempt.
    pub id: String,
    /// Tenant.
    pub tenant: String,
    /// Serial number.
    pub serial: String,
    /// How.
    pub channel: Channel,
    /// To whom.
    pub address: String,
    /// `issued`, or who asked to send it again.
    pub cause: String,
    /// How it stands.
    pub standing: Standing,
    /// Failed attempts.
    pub tries: u32,
    /// An earlier attempt may have arrived.
    #[serde(default)]
    pub unclear: bool,
    /// The latest attempts.
    pub attempts: Vec<Attempt>,
    /// Milliseconds.
    pub created_at: i64,
    /// The next attempt, milliseconds.
    pub due_at: i64,
}

impl Message {
    /// It was not handed over, and somebody should look. A card that waits for its user to authorise it is no trouble, nor is one
    /// that this platform cannot make.
    pub fn is_troubled(&self) -> bool {
        match (self.standing, self.channel) {
            (Standing::Sent, _) | (Standing::Waiting | Standing::Unavailable, Channel::Card) => false,
            (Standing::Waiting, _) => self.tries > 0,
            (Standing::Failed | Standing::Unavailable, _) => true,
        }
    }

    /// After an attempt. `schedule_s`: waits between attempts, seconds.
    pub fn attempted(&mut self, report: Report, schedule_s: &[u64], now: i64) {
        self.attempts.push(report.attempt);
        let surplus = self.attempts.len().saturating_sub(ATTEMPTS_KEPT);
        self.attempts.drain(..surplus);
        self.unclear |= report.unclear;
        let wait = schedule_s.get(self.tries as usize).and_then(|wait| i64::try_from(wait * 1000).ok());
        (self.standing, self.due_at) = match (report.verdict, wait) {
            (Verdict::Sent, _) => (Standing::Sent, NEVER),
            (Verdict::Unavailable, _) => (Standing::Unavailable, NEVER),
            (Verdict::Later, Some(wait)) => (Standing::Waiting, now.saturating_add(wait)),
            (Verdict::Later, None) | (Verdict::Never, _) => (Standing::Failed, NEVER),
        };
        if !matches!(report.verdict, Verdict::Sent | Verdict::Unavailable) {
            self.tries += 1;
        }
    }
}

/// `emailState` and `smsState` (yonyou-open-api.md, section 3.7), and the same of the card pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delivered {
    /// Mails.
    #[serde(default)]
    pub mail: u8,
    /// Short messages.
    #[serde(default)]
    pub sms: u8,
    /// Cards.
    #[serde(default)]
    pub card: u8,
}

impl Delivered {
    /// Nothing was sent.
    pub fn is_nothing(&self) -> bool {
        *self == Delivered::default()
    }

    /// Of all messages of a request: 1 if the latest to any address failed, else 2 if one was handed over, else 0.
    pub fn of(messages: &[Message]) -> Delivered {
        let state = |channel: Channel| {
            let all: Vec<&Message> = messages.iter().filter(|message| message.channel == channel).collect();
            let latest = all
                .iter()
                .enumerate()
                .filter(|(index, message)| all.iter().skip(index + 1).all(|later| later.address != message.address));
            let latest: Vec<Standing> = latest.map(|(_, message)| message.standing).collect();
            match () {
                () if latest.contains(&Standing::Failed) => 1,
                () if latest.contains(&Standing::Sent) => 2,
                () => 0,
            }
        };
        Delivered { mail: state(Channel::Mail), sms: state(Channel::Sms), card: state(Channel::Card) }
    }
}

/// Writes what is owed once an invoice exists: one message for each address. Twice is once.
///
/// # Errors
/// Those of the store.
pub async fn on_issued(session: &mut Session, request: &Request) -> Result<(), StoreError> {
    if request.phase != Phase::Issued || request.operation == Operation::Void {
        return Ok(());
    }
    for (channel, addresses) in [(Channel::Mail, &request.delivery.emails), (Channel::Sms, &request.delivery.phones)] {
        for address in addresses {
            write(session, request, channel, address, "issued", 0).await?;
        }
    }
    let part = match &request.parent {
        None => 0,
        Some(parent) => {
            let plan = session.db.request(&request.tenant, parent).await?;
            plan.and_then(|plan| plan.parts.iter().position(|part| *part == request.serial)).unwrap_or_default()
        }
    };
    if let Some(order) = card_order(request, part) {
        write(session, request, Channel::Card, &order, "issued", 0).await?;
    }
    Ok(())
}

/// The order id under which WeChat's user authorised this invoice: one for each invoice. Parts of a split from the second on
/// (`part` 1) have the caller's own with `-2`, `-3` …: WeChat takes an order id once (its error 72056).
pub fn card_order(request: &Request, part: usize) -> Option<String> {
    let (order, app) = (request.document.text("WXORDERID"), request.document.text("WXAPPID"));
    if order.is_empty() || app.is_empty() || request.operation != Operation::Issue {
        return None;
    }
    Some(if part == 0 { order.to_owned() } else { format!("{order}-{}", part + 1) })
}

/// The order id under which a consumer takes an invoice into his card pack by himself. `None`: the merchant has named one of his.
pub fn own_card_order(request: &Request) -> Option<String> {
    let (order, app) = (request.document.text("WXORDERID"), request.document.text("WXAPPID"));
    if !order.is_empty() || !app.is_empty() || request.operation != Operation::Issue {
        return None;
    }
    let text = format!("card-order-v1\n{}\n{}", request.tenant, request.serial);
    Some(format!("td{}", &hex::encode(Sha256::digest(text.as_bytes()))[..30]))
}

/// What asking for a message did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resent {
    /// Written, under this id.
    Queued(String),
    /// One to the same address waits already; it is due now.
    Waiting(String),
    /// There is no such request.
    Unknown,
    /// No invoice exists yet.
    NotIssued(Box<Request>),
    /// Such an address cannot exist.
    Address(&'static str),
    /// Too many of them; the text says what is counted.
    TooMany(String),
}

/// Sends an invoice again. Never issues, never changes the invoice.
///
/// # Errors
/// Those of the store.
pub async fn resend(
    session: &mut Session,
    tenant: &str,
    serial: &str,
    channel: Channel,
    address: &str,
    by: &str,
) -> Result<Resent, StoreError> {
    if let Err(why) = checked(channel, address) {
        return Ok(Resent::Address(why));
    }
    let Some(request) = session.db.request(tenant, serial).await? else { return Ok(Resent::Unknown) };
    if request.phase != Phase::Issued || request.operation == Operation::Void {
        return Ok(Resent::NotIssued(Box::new(request)));
    }
    let messages = session.db.messages_of(tenant, serial).await?;
    let since = session.now - DAY_MS;
    let same = |message: &&Message| message.channel == channel && message.address == address;
    let waiting = messages.iter().find(|message| same(message) && message.standing == Standing::Waiting);
    if let Some(waiting) = waiting.cloned() {
        let id = waiting.id.clone();
        session.db.put_message(&Message { due_at: session.now, ..waiting }).await?;
        session.wake_outbox();
        return Ok(Resent::Waiting(id));
    }
    let of_day = messages.iter().filter(|m| m.channel == channel && m.cause != "issued" && m.created_at > since).count();
    if of_day >= RESENDS_PER_SERIAL {
        return Ok(Resent::TooMany(format!("同一流水号每天最多重发 {RESENDS_PER_SERIAL} 次")));
    }
    if session.db.messages_to(channel, address, since).await? >= MESSAGES_PER_ADDRESS {
        return Ok(Resent::TooMany(format!("同一接收地址每天最多 {MESSAGES_PER_ADDRESS} 条")));
    }
    let round = messages.iter().filter(same).count();
    let id = write(session, &request, channel, address, by, round).await?;
    session.note(tenant, serial, by, "resend", channel.as_str()).await?;
    Ok(Resent::Queued(id))
}

/// Notes what an attempt came to.
///
/// # Errors
/// Those of the store.
pub async fn attempted(session: &mut Session, id: &str, report: Report, schedule_s: &[u64]) -> Result<(), StoreError> {
    let Some(mut message) = session.db.message(id).await? else { return Ok(()) };
    message.attempted(report, schedule_s, session.now);
    session.db.put_message(&message).await?;
    let Some(mut request) = session.db.request(&message.tenant, &message.serial).await? else { return Ok(()) };
    let delivered = Delivered::of(&session.db.messages_of(&message.tenant, &message.serial).await?);
    if delivered != request.delivered {
        request.delivered = delivered;
        session.db.put_request(&request).await?;
    }
    Ok(())
}

/// Can there be such an address?
///
/// # Errors
/// What is wrong with it.
pub fn checked(channel: Channel, address: &str) -> Result<(), &'static str> {
    match channel {
        Channel::Mail if address.len() > MAX_MAIL_BYTES => Err("邮件地址过长"),
        Channel::Mail if address.parse::<lettre::Address>().is_err() => Err("不是邮件地址"),
        Channel::Sms => {
            let digits = address.strip_prefix('+').unwrap_or(address);
            let good = (5..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            if good { Ok(()) } else { Err("不是电话号码") }
        }
        Channel::Card if address.is_empty() || address.len() > 64 => Err("不是订单号"),
        Channel::Mail | Channel::Card => Ok(()),
    }
}

async fn write(
    session: &mut Session,
    request: &Request,
    channel: Channel,
    address: &str,
    cause: &str,
    round: usize,
) -> Result<String, StoreError> {
    let id = id(request, channel, address, round);
    if session.db.message(&id).await?.is_none() {
        let message = Message {
            id: id.clone(),
            tenant: request.tenant.clone(),
            serial: request.serial.clone(),
            channel,
            address: address.to_owned(),
            cause: cause.to_owned(),
            standing: Standing::Waiting,
            tries: 0,
            unclear: false,
            attempts: Vec::new(),
            created_at: session.now,
            due_at: session.now,
        };
        session.db.put_message(&message).await?;
        session.wake_outbox();
    }
    Ok(id)
}

fn id(request: &Request, channel: Channel, address: &str, round: usize) -> String {
    let (tenant, serial) = (&request.tenant, &request.serial);
    let text = format!("message-v1\n{tenant}\n{serial}\n{}\n{address}\n{round}", channel.as_str());
    format!("msg_{}", &hex::encode(Sha256::digest(text.as_bytes()))[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(address: &str, standing: Standing) -> Message {
        Message {
            id: "msg_1".to_owned(),
            tenant: "t".to_owned(),
            serial: "s".to_owned(),
            channel: Channel::Mail,
            address: address.to_owned(),
            cause: "issued".to_owned(),
            standing,
            tries: 0,
            unclear: false,
            attempts: Vec::new(),
            created_at: 0,
            due_at: 0,
        }
    }

    fn report(verdict: Verdict) -> Report {
        Report { verdict, attempt: Attempt { at: 0, status: None, ms: 1, text: String::new() }, unclear: false }
    }

    #[test]
    fn a_message_is_tried_until_its_schedule_ends_and_a_refusal_ends_it_at_once() {
        let schedule: Vec<u64> = SCHEDULE_MINUTES.iter().map(|minutes| minutes * 60).collect();
        let mut late = message("a", Standing::Waiting);
        let mut waits = Vec::new();
        while late.standing == Standing::Waiting {
            late.attempted(report(Verdict::Later), &schedule, 0);
            waits.push(late.due_at / 60_000);
        }
        assert_eq!(waits[..8], [1, 5, 15, 60, 120, 240, 480, 480]);
        assert_eq!((late.standing, late.due_at, waits.len()), (Standing::Failed, NEVER, 9));
        for (verdict, standing) in
            [(Verdict::Never, Standing::Failed), (Verdict::Sent, Standing::Sent), (Verdict::Unavailable, Standing::Unavailable)]
        {
            let mut one = message("a", Standing::Waiting);
            one.attempted(report(verdict), &schedule, 0);
            assert_eq!((one.standing, one.due_at), (standing, NEVER));
        }
    }

    #[test]
    fn the_latest_message_to_each_address_says_how_it_stands() {
        use Standing::{Failed, Sent, Unavailable, Waiting};
        let mail = |all: &[(&str, Standing)]| {
            Delivered::of(&all.iter().map(|(address, standing)| message(address, *standing)).collect::<Vec<_>>()).mail
        };
        assert_eq!(mail(&[]), 0);
        assert_eq!(mail(&[("a", Waiting)]), 0);
        assert_eq!(mail(&[("a", Unavailable)]), 0, "nothing was sent, and nothing failed");
        assert_eq!(mail(&[("a", Sent), ("b", Waiting)]), 2);
        assert_eq!(mail(&[("a", Sent), ("b", Failed)]), 1);
        assert_eq!(mail(&[("a", Failed), ("a", Sent)]), 2, "it was sent again, with success");
    }

    #[test]
    fn what_is_no_address_is_none() {
        for good in ["a@buyer.example", "财务@例子.中国"] {
            assert_eq!(checked(Channel::Mail, good), Ok(()), "{good}");
        }
        for bad in ["", "a", "a@b\r\nBcc: c@d", "a@b>\r\nRCPT TO:<c@d", "a b@c.example", "@c.example"] {
            assert!(checked(Channel::Mail, bad).is_err(), "{bad:?}");
        }
        assert_eq!(checked(Channel::Sms, "+8613800000000"), Ok(()));
        for bad in ["", "1380", "1380000000a", "13800000000\r\n"] {
            assert!(checked(Channel::Sms, bad).is_err(), "{bad:?}");
        }
    }
}
