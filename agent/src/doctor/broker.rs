//! Checks of the way to the broker, each on what the one before found: names, TCP, TLS, clock, WebSocket, enrolment.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use taxdisk_protocol::time::{Timestamp, skew_ms};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Report, chain};
use crate::config::{BrokerUrl, Config};
use crate::daemon::Lock;
use crate::identity::{Identity, Place, StateDir};
use crate::link::client::{Dial, LinkEvent, Way, drive, probe};
use crate::link::session::{CONNECT_LIMIT, GREETING_LIMIT, Input, Standing};
use crate::link::trouble::{Stage, http, io};
use crate::status::Status;

pub(super) const CODES: [&str; 10] = [
    "enrolment.present",
    "enrolment.machine",
    "broker.others",
    "broker.names",
    "broker.tcp",
    "broker.tls",
    "clock.right",
    "broker.version",
    "broker.websocket",
    "enrolment.accepted",
];
/// Those of the way to the first broker.
const WAY: &[&str] = CODES.split_at(3).1;

/// More than this, and log lines of agent and broker cannot be put side by side.
const SKEW_WARNING_S: i64 = 10;
/// More than this, and certificates are judged by the wrong day soon.
const SKEW_MAX_S: i64 = 300;
const CLOCK_HINT: &str = "set it, and switch time synchronisation on: `timedatectl set-ntp true`";
/// One step of the network may take this long.
const STEP_LIMIT: Duration = Duration::from_secs(10);

pub(super) fn check(report: &mut Report, config: &Config, state: &StateDir, running: Option<&Status>) {
    let identity = Identity::require(state).map_err(|failure| failure.text);
    let identity = report.take("enrolment.present", identity, |found| {
        format!("this PC is agent {} since {}", found.enrolled.agent, found.enrolled.enrolled_at)
    });
    match &identity {
        Some(found) => machine(report, found.enrolled.machine.as_deref(), crate::identity::this_machine().as_deref()),
        None => report.not_made(&CODES[1..2], "this PC is not enrolled"),
    }
    // Without an enrolment the way to the broker can be tried all the same, if the configuration names it.
    let place = match (&identity, &config.broker.url) {
        (Some(identity), _) => identity.broker(config).map_err(|failure| failure.text),
        (None, Some(url)) => BrokerUrl::parse(url).map(|url| {
            let (ca_file, proxy) = (config.broker.ca_file.clone(), config.broker.proxy.clone());
            Place { url, others: config.broker.others().unwrap_or_default(), ca_file, proxy }
        }),
        (None, None) => Err("neither configuration nor enrolment says where the broker is".to_owned()),
    };
    let place = match place {
        Ok(place) => place,
        Err(why) => return report.not_made(&CODES[2..], &why),
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return report.not_made(&CODES[2..], "the system gives no resources");
    };
    runtime.block_on(async {
        others(report, &place).await;
        way(report, &place, identity, state, running).await;
    });
}

/// The brokers that the agent turns to when the first one is away. One that is away now harms nothing yet.
async fn others(report: &mut Report, place: &Place) {
    let hint = "it is needed when the first broker is away: correct [broker] others, or start that broker";
    for url in place.others.iter().filter(|url| **url != place.url) {
        let other = Place { url: url.clone(), ..place.clone() };
        let tried = match other.dial() {
            Ok(dial) => limited(url, probe(&dial)).await,
            Err(failure) => Err(failure.text),
        };
        match tried {
            Ok(_) => report.good("broker.others", format!("the link to {} can be opened", url.authority())),
            Err(why) => report.warning("broker.others", why, hint),
        }
    }
}

async fn way(report: &mut Report, place: &Place, identity: Option<Identity>, state: &StateDir, running: Option<&Status>) {
    let url = &place.url;
    let dial = match place.dial() {
        Ok(dial) => dial,
        Err(failure) => {
            report.failed("broker.names", failure.text);
            return report.not_made(&WAY[1..], "the way there comes first");
        }
    };
    // Through a proxy, it is the proxy that this PC must find; the proxy finds the broker.
    let proxy = dial.proxy.as_ref();
    let (host, port) = proxy.map_or((url.host.as_str(), url.port), |proxy| (proxy.host(), proxy.port()));
    let found = limited(url, async {
        tokio::net::lookup_host((host, port))
            .await
            .map(Iterator::collect::<Vec<_>>)
            .map_err(|error| io(url, Stage::Names, &error))
    });
    let found = found.await.and_then(|list| {
        if list.is_empty() { Err(format!("The name {} has no address: correct [broker] url.", url.host)) } else { Ok(list) }
    });
    let Some(addresses) = report.take("broker.names", found, |list| format!("{host} is {}", list[0].ip())) else {
        return report.not_made(&WAY[1..], "the broker's name comes first");
    };
    let tcp = limited(url, async {
        let mut tcp = TcpStream::connect(&*addresses).await.map_err(|error| io(url, Stage::Tcp, &error))?;
        if let Some(proxy) = proxy {
            crate::link::proxy::connect(&mut tcp, url, proxy).await?;
        }
        Ok(tcp)
    });
    let Some(tcp) = report.take("broker.tcp", tcp.await, |_| match proxy {
        None => format!("{} takes connections", url.authority()),
        Some(proxy) => format!("the proxy {} leads to {}", crate::link::proxy::shown(proxy), url.authority()),
    }) else {
        return report.not_made(&WAY[2..], "the connection comes first");
    };
    if let Some(tls) = &dial.tls {
        let enrolled_at = identity.as_ref().map(|identity| identity.enrolled.enrolled_at.as_str());
        let Some(()) = handshake(report, &dial, enrolled_at, tls.clone(), tcp).await else {
            let is_told = report.checks.iter().any(|check| check.code == "clock.right");
            return report.not_made(&WAY[if is_told { 4 } else { 3 }..], "TLS comes first");
        };
    } else {
        report.good("broker.tls", "not used: the broker is on this PC itself");
    }
    clock(report, place).await;
    let upgraded = limited(url, probe(&dial)).await;
    match upgraded {
        Ok(Way::Tunnel) => report.warning(
            "broker.websocket",
            "what lies between passes no WebSocket: the link goes over plain requests".to_owned(),
            "it works, but slower: have the proxy's administrator allow WebSocket to the broker",
        ),
        upgraded => {
            if report.take("broker.websocket", upgraded, |_| "the link can be opened".to_owned()).is_none() {
                return report.not_made(&WAY[6..], "the link comes first");
            }
        }
    }
    match (identity, running) {
        (None, _) => report.not_made(&WAY[6..], "this PC is not enrolled"),
        (Some(_), Some(status)) if status.link.up => report.good("enrolment.accepted", "the running agent's link is up"),
        (Some(_), Some(status)) => report.failed(
            "enrolment.accepted",
            status.link.trouble.clone().unwrap_or_else(|| "The running agent has no link yet: try again in a minute.".to_owned()),
        ),
        (Some(identity), None) => {
            let joined = join_once(dial, identity, state).await;
            report.take("enrolment.accepted", joined, |()| "the broker accepts this agent".to_owned());
        }
    }
}

async fn limited<T>(url: &BrokerUrl, step: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || {
        format!(
            "{} did not answer within {} s: a firewall blocks it, or the broker's machine is off.",
            url.authority(),
            STEP_LIMIT.as_secs()
        )
    };
    tokio::time::timeout(STEP_LIMIT, step).await.unwrap_or_else(|_| Err(late()))
}

/// The key is this PC's: a folder that was copied to another one makes two agents with one key, and the broker stops both.
fn machine(report: &mut Report, enrolled: Option<&str>, here: Option<&str>) {
    match (enrolled, here) {
        (Some(enrolled), Some(here)) if enrolled != here => report.failed_with(
            "enrolment.machine",
            "this state folder was enrolled on another machine",
            "if that one still runs, two agents have one key, and the broker lets neither issue: enrol this PC for itself \
             (`taxdisk-agent enroll URL CODE --force`)",
        ),
        (Some(_), Some(_)) => report.good("enrolment.machine", "the enrolment is this machine's own"),
        _ => report.good("enrolment.machine", "not told by this enrolment"),
    }
}

async fn handshake(
    report: &mut Report,
    dial: &Dial,
    enrolled_at: Option<&str>,
    tls: Arc<rustls::ClientConfig>,
    tcp: TcpStream,
) -> Option<()> {
    let url = &dial.url;
    let mut behind = None;
    let shaken = limited(url, async {
        let name = rustls_pki_types::ServerName::try_from(url.host.clone())
            .map_err(|_| format!("{:?} is no name that a certificate can hold.", url.host))?;
        let stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await.map_err(|error| {
            let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            behind = refused.and_then(|refused| is_behind(this_clock(), enrolled_at, refused));
            io(url, Stage::Tls, &error)
        })?;
        let (_, session) = stream.get_ref();
        Ok((session.protocol_version(), session.peer_certificates().map_or(0, <[_]>::len)))
    })
    .await;
    let shaken = match shaken {
        Err(why) => Err(match issuer(dial).await {
            Some(issuer) => format!(
                "{why} It is signed by {issuer:?}; if that is none of the broker's, something in between reads along: have the broker excepted from that inspection."
            ),
            None => why,
        }),
        good => good,
    };
    // It comes first: with the right time the certificate may be good.
    if let Some(text) = behind {
        report.failed_with("clock.right", text, CLOCK_HINT);
    }
    report.take("broker.tls", shaken, |(version, chain)| {
        let version = version.map(|version| format!("{version:?}")).unwrap_or_default();
        format!("the certificate is trusted ({chain} in the chain), {version}")
    })?;
    Some(())
}

/// Who signed the certificate that this address shows; asked of a certificate that was refused.
async fn issuer(dial: &Dial) -> Option<String> {
    let (url, proxy) = (&dial.url, dial.proxy.as_ref());
    let (host, port) = proxy.map_or((url.host.as_str(), url.port), |proxy| (proxy.host(), proxy.port()));
    let asked = async {
        let mut tcp = TcpStream::connect((host, port)).await.ok()?;
        if let Some(proxy) = proxy {
            crate::link::proxy::connect(&mut tcp, url, proxy).await.ok()?;
        }
        chain::issuer(&url.host, tcp).await
    };
    tokio::time::timeout(STEP_LIMIT, asked).await.ok()?
}

/// What `/readyz` says: only these fields, and only to be shown.
#[derive(serde::Deserialize)]
struct Readiness {
    ready: bool,
    #[serde(default)]
    missing: Vec<String>,
    version: String,
}

/// What the broker says of the time, and when it was asked.
struct Told {
    date: String,
    /// By this PC's clock.
    asked_at: Timestamp,
    /// Until the answer's head was here.
    took: Duration,
}

/// The broker's `Date` against this PC's clock, and its version against this one's.
async fn clock(report: &mut Report, place: &Place) {
    let place = place.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let client = place.http().map_err(|failure| failure.text)?;
        let (asked_at, since) = (this_clock(), Instant::now());
        let mut answer = client.get(place.url.http("/readyz")).call().map_err(|error| http(&place.url, &error))?;
        let took = since.elapsed();
        let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
        let date = date.map(|date| Told { date: date.to_owned(), asked_at, took });
        let body = answer.body_mut().with_config().limit(16 * 1024).read_to_string().unwrap_or_default();
        Ok((date, serde_json::from_str::<Readiness>(&body).ok()))
    })
    .await
    .unwrap_or_else(|_| Err("The broker could not be asked.".to_owned()));
    let (date, said) = match asked {
        Ok((date, said)) => (date.ok_or_else(|| "The broker tells no time.".to_owned()), said),
        Err(why) => (Err(why), None),
    };
    judge_date(report, date);
    version(report, said);
}

/// Both sides choose a version of the link that both speak; what is said here is for people who update.
fn version(report: &mut Report, said: Option<Readiness>) {
    let own = env!("CARGO_PKG_VERSION");
    let numbers = |text: &str| text.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok()).take(2).collect::<Vec<_>>();
    match said {
        None => report.warning(
            "broker.version",
            "what answers does not tell a broker's version",
            "if the next checks fail too, the address leads to something else than a broker",
        ),
        Some(said) if !said.ready => report.warning(
            "broker.version",
            format!("the broker runs (version {}) and cannot work yet: {}", said.version, said.missing.join(", ")),
            "its administrator sees why in its log; this agent waits",
        ),
        Some(said) if numbers(&said.version) < numbers(own) => report.warning(
            "broker.version",
            format!("the broker has version {}, this agent {own}", said.version),
            "update the broker first, then its agents",
        ),
        Some(said) => report.good("broker.version", format!("the broker has version {}, this agent {own}", said.version)),
    }
}

fn judge_date(report: &mut Report, told: Result<Told, String>) {
    let skew = told.and_then(|told| {
        let theirs = jiff::fmt::rfc2822::parse(&told.date).map_err(|_| "The broker's time cannot be read.".to_owned())?;
        let theirs = Timestamp(theirs.timestamp().as_millisecond());
        let after = Timestamp(told.asked_at.0.saturating_add(i64::try_from(told.took.as_millis()).unwrap_or(i64::MAX)));
        // A `Date` has whole seconds.
        Ok((skew_ms(told.asked_at, theirs, 1000, after), told.took))
    });
    match skew {
        Ok((skew_ms, took)) => judge(report, skew_ms, took),
        Err(why) => report.warning("clock.right", why, "what answers may be a proxy: the next checks tell"),
    }
}

fn judge(report: &mut Report, skew_ms: i64, took: Duration) {
    let side = if skew_ms < 0 { "behind" } else { "ahead of" };
    let text = match skew_ms.abs() / 1000 {
        0 => format!("this PC's clock is the broker's (it answered in {} ms)", took.as_millis()),
        skew_s => format!("this PC's clock is {skew_s} s {side} the broker's (it answered in {} ms)", took.as_millis()),
    };
    match skew_ms.abs() / 1000 {
        0..=SKEW_WARNING_S => report.good("clock.right", text),
        ..=SKEW_MAX_S => report.warning("clock.right", text, CLOCK_HINT),
        _ => report.failed_with("clock.right", text, CLOCK_HINT),
    }
}

fn this_clock() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// What shows that this PC's clock is behind, where nobody was reached who tells the time: a certificate of the future, or an
/// enrolment of the future. A clock that is ahead shows nothing but certificates that have expired, which may be so.
fn is_behind(now: Timestamp, enrolled_at: Option<&str>, error: &rustls::Error) -> Option<String> {
    use rustls::CertificateError as Bad;
    let enrolled_at = enrolled_at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let said = jiff::Timestamp::from_millisecond(now.0).map(|now| format!("this PC's clock says {now:.0}")).ok()?;
    match (error, enrolled_at) {
        (_, Some(at)) if at.as_millisecond() - now.0 > SKEW_MAX_S * 1000 => {
            Some(format!("{said}, and it was enrolled at {at:.0}"))
        }
        (rustls::Error::InvalidCertificate(Bad::NotValidYetContext { not_before, .. }), _) => {
            let from = jiff::Timestamp::from_second(i64::try_from(not_before.as_secs()).ok()?).ok()?;
            Some(format!("{said}, and the broker's certificate is valid from {from:.0}"))
        }
        (rustls::Error::InvalidCertificate(Bad::NotValidYet), _) => {
            Some(format!("{said}, and the broker's certificate is not valid yet"))
        }
        _ => None,
    }
}

/// Joins the link once, as the agent would, and leaves it.
async fn join_once(dial: Dial, identity: Identity, state: &StateDir) -> Result<(), String> {
    let _lock = Lock::take(&state.lock_file()).map_err(|failure| failure.text)?;
    let journal = crate::commands::open_journal(state).map_err(|failure| failure.text)?;
    let (inputs, link_inputs) = mpsc::channel(4);
    let (tell, mut told) = mpsc::unbounded_channel();
    let session = crate::run::bare_session(identity);
    let link = tokio::spawn(drive(
        dial.into(),
        session,
        crate::run::joins(&journal, state, 0),
        crate::clock::since_boot,
        link_inputs,
        Arc::new(Mutex::new(Standing::default())),
        Box::new(move |event| drop(tell.send(event))),
    ));
    let first = tokio::time::timeout(CONNECT_LIMIT + GREETING_LIMIT, async {
        while let Some(event) = told.recv().await {
            match event {
                LinkEvent::KeyTaken(key) => crate::rotate::adopt(state, &key).map_err(|failure| failure.text)?,
                LinkEvent::Up(_) => return Ok(()),
                LinkEvent::Down(text) => return Err(text),
                _ => {}
            }
        }
        Err("The link ended by itself.".to_owned())
    })
    .await
    .unwrap_or_else(|_| Err("The broker did not welcome this agent in time.".to_owned()));
    let _ = inputs.send(Input::Leave).await;
    let _ = link.await;
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn another_machine_and_an_older_broker_are_told() {
        let of = |look: &dyn Fn(&mut Report)| {
            let mut report = Report::default();
            look(&mut report);
            report.checks[0].outcome
        };
        let machine = |enrolled, here| of(&|report: &mut Report| super::machine(report, enrolled, here));
        assert_eq!(machine(Some("a"), Some("b")), Outcome::Failed);
        assert_eq!([machine(Some("a"), Some("a")), machine(None, Some("b")), machine(Some("a"), None)], [Outcome::Good; 3]);
        let version = |version: &str, ready| {
            let said = || Some(Readiness { ready, missing: vec!["ledger".to_owned()], version: version.to_owned() });
            of(&|report: &mut Report| super::version(report, said()))
        };
        assert_eq!([version("0.0.9", true), version("0.1.0", false)], [Outcome::Warning; 2]);
        assert_eq!([version(env!("CARGO_PKG_VERSION"), true), version("99.0.0+git1", true)], [Outcome::Good; 2]);
    }

    #[test]
    fn a_clock_is_judged_by_its_distance_in_both_directions() {
        let outcome = |skew_s: i64| {
            let mut report = Report::default();
            judge(&mut report, skew_s * 1000, Duration::ZERO);
            report.checks[0].outcome
        };
        assert_eq!([0, 10, -10].map(outcome), [Outcome::Good; 3]);
        assert_eq!([11, -11, 300].map(outcome), [Outcome::Warning; 3]);
        assert_eq!([301, -301, i64::from(i32::MAX)].map(outcome), [Outcome::Failed; 3]);
    }

    #[test]
    fn the_way_to_the_broker_and_back_is_no_difference_of_clocks() {
        let of = |asked_at_s: i64, took_s| {
            let mut report = Report::default();
            let date = "Thu, 01 Jan 1970 00:16:40 GMT".to_owned();
            judge_date(&mut report, Ok(Told { date, asked_at: Timestamp(asked_at_s * 1000), took: Duration::from_secs(took_s) }));
            (report.checks[0].outcome, report.checks[0].text.clone())
        };
        assert_eq!(of(1000, 0), (Outcome::Good, "this PC's clock is the broker's (it answered in 0 ms)".to_owned()));
        assert_eq!(of(960, 40).0, Outcome::Good, "the broker was reached after most of a minute");
        assert_eq!(
            of(1012, 40),
            (Outcome::Warning, "this PC's clock is 11 s ahead of the broker's (it answered in 40000 ms)".to_owned())
        );
        assert_eq!(
            of(600, 40),
            (Outcome::Failed, "this PC's clock is 360 s behind the broker's (it answered in 40000 ms)".to_owned())
        );
        let mut report = Report::default();
        judge_date(&mut report, Ok(Told { date: "noon".to_owned(), asked_at: Timestamp(0), took: Duration::ZERO }));
        assert_eq!(report.checks[0].outcome, Outcome::Warning);
    }

    #[test]
    fn a_clock_that_was_lost_is_told_by_what_is_known_without_a_broker() {
        use rustls::CertificateError as Bad;
        let refused = rustls::Error::InvalidCertificate;
        let not_yet = || {
            let at = |seconds| rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            refused(Bad::NotValidYetContext { time: at(0), not_before: at(86_400) })
        };
        let of = |enrolled_at, error| is_behind(Timestamp(1000), enrolled_at, &error);
        let text = "this PC's clock says 1970-01-01T00:00:01Z, and the broker's certificate is valid from 1970-01-02T00:00:00Z";
        assert_eq!(of(None, not_yet()).as_deref(), Some(text));
        let text = "this PC's clock says 1970-01-01T00:00:01Z, and it was enrolled at 2026-11-01T00:00:00Z";
        assert_eq!(of(Some("2026-11-01T00:00:00Z"), refused(Bad::UnknownIssuer)).as_deref(), Some(text));
        assert_eq!(of(Some("1970-01-01T00:05:01Z"), refused(Bad::Expired)), None, "within what is allowed");
        assert_eq!(of(Some("at noon"), refused(Bad::UnknownIssuer)), None);
    }
}
