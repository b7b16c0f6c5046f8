//! What the running agent does about offers: judges, has the program fetched, waits for a quiet moment. It decides and does
//! nothing itself: time and what is going on come in, one thing to do comes out.

use std::time::Duration;

use semver::Version;
use taxdisk_protocol::update::{AgentUpdate, FailedVersion, UpdateOffer, UpdateState, target};

use super::fetch::Wanted;
use super::shelf::Shelf;
use super::signed;

/// Nothing was open and no disk was at work for this long: between two jobs of a till there is less.
pub const QUIET: Duration = Duration::from_secs(5);
/// How often it is looked whether it is quiet.
const LOOK: Duration = Duration::from_secs(1);
/// After a fetch that failed: doubled each time, up to [`REST_MAX`].
const REST: Duration = Duration::from_secs(30);
/// The longest rest between two tries to fetch.
const REST_MAX: Duration = Duration::from_secs(60 * 60);
/// The broker is asked so often, without need, whether there is something: an offer may have been lost, and a version that an
/// administrator allowed again is taken up.
pub const ASK: Duration = Duration::from_secs(10 * 60);

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Fetch it, and say what came of it by [`Desk::fetched`].
    Fetch(Box<Wanted>),
    /// Stop in order, and go to it.
    Swap(Version),
}

#[derive(Debug)]
enum Phase {
    /// Nothing to take.
    Current,
    /// What is offered cannot be taken.
    Refused(String),
    /// To be fetched as soon as it is this time.
    Resting {
        until: Duration,
        why: String,
    },
    Fetching,
    /// It is there; why not now.
    Stored {
        why: String,
        quiet_since: Option<Duration>,
    },
}

/// The desk.
pub struct Desk {
    off: Option<String>,
    shelf: Shelf,
    running: Version,
    wanted: Option<Wanted>,
    offered: Option<String>,
    phase: Phase,
    failed: Vec<FailedVersion>,
    rest: Duration,
    asked_at: Duration,
    looked_at: Duration,
}

impl Desk {
    /// Of an agent that runs this version. `off`: why it takes no updates.
    pub fn new(off: Option<String>, shelf: Shelf, running: Version) -> Desk {
        let failed = shelf.book().map(|book| book.failed).unwrap_or_default();
        let (asked_at, looked_at) = (Duration::ZERO, Duration::ZERO);
        Desk { off, shelf, running, wanted: None, offered: None, phase: Phase::Current, failed, rest: REST, asked_at, looked_at }
    }

    /// What the broker offers now.
    pub fn offered(&mut self, offer: Option<UpdateOffer>, now: Duration) {
        if self.off.is_some() {
            return;
        }
        let Some(offer) = offer else {
            (self.wanted, self.offered, self.phase) = (None, None, Phase::Current);
            return;
        };
        // The same again: only the way to it may be another one.
        if let Some(wanted) = &mut self.wanted
            && wanted.offer.manifest == offer.manifest
        {
            wanted.offer = offer;
            return;
        }
        let judged = self.judge(&offer);
        self.phase = match judged {
            Ok(wanted) => {
                tracing::info!(version = %wanted.manifest.version, "the broker offers a newer version of this agent");
                self.offered = Some(wanted.manifest.version.to_string());
                self.wanted = Some(wanted);
                self.rest = REST;
                crate::fault::point("update_offered");
                Phase::Resting { until: now, why: String::new() }
            }
            Err(why) => {
                tracing::warn!("what the broker offers is not taken: {why}");
                self.wanted = None;
                Phase::Refused(why)
            }
        };
    }

    fn judge(&mut self, offer: &UpdateOffer) -> Result<Wanted, String> {
        let book = self.shelf.book().map_err(|failure| failure.text)?;
        self.failed.clone_from(&book.failed);
        self.offered = None;
        let manifest = signed::open(self.shelf.keys(), &offer.manifest, &offer.signature)?;
        self.offered = Some(manifest.version.to_string());
        signed::judge(&manifest, &self.running, &book.failed_versions())?;
        Ok(Wanted { manifest, offer: offer.clone() })
    }

    /// What came of [`Act::Fetch`].
    pub fn fetched(&mut self, version: &Version, result: Result<(), String>, now: Duration) {
        // Of an offer that is over.
        if !matches!(self.phase, Phase::Fetching) || self.wanted.as_ref().is_none_or(|one| one.manifest.version != *version) {
            return;
        }
        self.phase = match result {
            Ok(()) => {
                tracing::info!(%version, "the new version is here and waits until nothing is open");
                Phase::Stored { why: String::new(), quiet_since: None }
            }
            Err(why) => {
                tracing::warn!(%version, "the new version did not come: {why}");
                let until = now + self.rest;
                self.rest = (self.rest * 2).min(REST_MAX);
                Phase::Resting { until, why }
            }
        };
    }

    /// Time passed, or something happened. `quiet` says why this is no moment to stop in, if it is none.
    pub fn step(&mut self, now: Duration, quiet: Result<(), String>) -> Option<Act> {
        self.looked_at = now;
        let wanted = self.wanted.as_ref()?;
        match &mut self.phase {
            Phase::Resting { until, .. } if now >= *until => {
                let wanted = Box::new(wanted.clone());
                self.phase = Phase::Fetching;
                Some(Act::Fetch(wanted))
            }
            Phase::Stored { why, quiet_since } => match quiet {
                Err(text) => {
                    (*why, *quiet_since) = (text, None);
                    None
                }
                Ok(()) => {
                    let since = *quiet_since.get_or_insert(now);
                    *why = "it is quiet".to_owned();
                    (now >= since + crate::fault::shorter("TAXDISK_UPDATE_QUIET_MS", QUIET))
                        .then(|| Act::Swap(wanted.manifest.version.clone()))
                }
            },
            _ => None,
        }
    }

    /// When [`Desk::step`] is due; `None`: only after something happened.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Resting { until, .. } => Some(*until),
            Phase::Stored { .. } => Some(self.looked_at + crate::fault::shorter("TAXDISK_UPDATE_QUIET_MS", LOOK)),
            _ => None,
        }
    }

    /// It is time to say how it stands, even if nothing changed.
    pub fn asks(&mut self, now: Duration) -> bool {
        let due = self.off.is_none() && now >= self.asked_at + ASK;
        if due {
            self.asked_at = now;
            // What was refused is judged anew.
            if matches!(self.phase, Phase::Refused(_)) {
                self.wanted = None;
            }
        }
        due
    }

    /// When it is.
    pub fn asks_at(&self) -> Option<Duration> {
        self.off.is_none().then_some(self.asked_at + ASK)
    }

    /// How it stands, for the broker and for people.
    pub fn standing(&self) -> AgentUpdate {
        let (state, text) = match (&self.off, &self.phase) {
            (Some(why), _) => (UpdateState::Off, why.clone()),
            (None, Phase::Current) => (UpdateState::Current, String::new()),
            (None, Phase::Refused(why)) => (UpdateState::Failed, why.clone()),
            (None, Phase::Resting { why, .. }) => (UpdateState::Fetching, why.clone()),
            (None, Phase::Fetching) => (UpdateState::Fetching, String::new()),
            (None, Phase::Stored { why, .. }) => (UpdateState::Waiting, why.clone()),
        };
        AgentUpdate { target: target(), state, version: self.offered.clone(), text, failed: self.failed.clone() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::identity::StateDir;
    use crate::update::signed::tests::{manifest, public, sign};
    use minisign::KeyPair;

    const S: fn(u64) -> Duration = Duration::from_secs;

    struct Bench {
        pair: KeyPair,
        desk: Desk,
        shelf: Shelf,
        _dir: tempfile::TempDir,
    }

    fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let shelf = Shelf::new(&StateDir::at(dir.path()), &[public(&pair)]);
        let desk = Desk::new(None, shelf.clone(), Version::new(0, 1, 0));
        Bench { pair, desk, shelf, _dir: dir }
    }

    impl Bench {
        fn offer(&self, version: &str) -> UpdateOffer {
            let manifest = manifest(version, "0.1.0", 7, &"0".repeat(64));
            let signature = sign(&self.pair, &manifest);
            UpdateOffer { manifest, signature, path: "/v1/updates/x/y".to_owned() }
        }

        fn state(&self) -> (UpdateState, String) {
            let standing = self.desk.standing();
            (standing.state, standing.text)
        }
    }

    fn is_fetch(act: Option<Act>) -> bool {
        matches!(act, Some(Act::Fetch(_)))
    }

    #[test]
    fn an_offer_is_fetched_and_taken_when_it_has_been_quiet() {
        let mut bench = bench();
        let two = Version::new(0, 2, 0);
        bench.desk.offered(Some(bench.offer("0.2.0")), S(100));
        assert!(is_fetch(bench.desk.step(S(100), Ok(()))));
        assert_eq!(bench.desk.step(S(101), Ok(())), None, "it is being fetched");
        bench.desk.fetched(&Version::new(0, 3, 0), Ok(()), S(102));
        assert_eq!(bench.state().0, UpdateState::Fetching, "that was another one");
        bench.desk.fetched(&two, Ok(()), S(103));
        assert_eq!(bench.desk.step(S(104), Ok(())), None);
        assert_eq!(bench.desk.step(S(106), Err("a job is open".into())), None);
        assert_eq!(bench.state(), (UpdateState::Waiting, "a job is open".to_owned()));
        assert_eq!(bench.desk.step(S(108), Ok(())), None, "quiet is counted anew");
        assert_eq!(bench.desk.step(S(112), Ok(())), None);
        assert_eq!(bench.desk.deadline(), Some(S(113)));
        assert_eq!(bench.desk.step(S(113), Ok(())), Some(Act::Swap(two)));
    }

    #[test]
    fn a_fetch_that_fails_is_tried_again_later_and_later() {
        let mut bench = bench();
        bench.desk.offered(Some(bench.offer("0.2.0")), S(0));
        let (mut now, mut rests) = (S(0), Vec::new());
        for _ in 0..9 {
            assert!(is_fetch(bench.desk.step(now, Ok(()))));
            bench.desk.fetched(&Version::new(0, 2, 0), Err("it broke".into()), now);
            let due = bench.desk.deadline().unwrap();
            assert_eq!(bench.desk.step(due - S(1), Ok(())), None);
            rests.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(rests, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(bench.state(), (UpdateState::Fetching, "it broke".to_owned()));
    }

    #[test]
    fn an_offer_that_is_withdrawn_or_replaced_is_left() {
        let mut bench = bench();
        bench.desk.offered(Some(bench.offer("0.2.0")), S(0));
        assert!(is_fetch(bench.desk.step(S(0), Ok(()))));
        bench.desk.offered(None, S(1));
        bench.desk.fetched(&Version::new(0, 2, 0), Ok(()), S(2));
        assert_eq!((bench.state().0, bench.desk.step(S(9), Ok(()))), (UpdateState::Current, None));
        bench.desk.offered(Some(bench.offer("0.2.0")), S(10));
        bench.desk.offered(Some(bench.offer("0.3.0")), S(11));
        let Some(Act::Fetch(wanted)) = bench.desk.step(S(11), Ok(())) else { panic!("it is to be fetched") };
        assert_eq!(wanted.manifest.version, Version::new(0, 3, 0));
    }

    #[test]
    fn what_cannot_be_taken_is_said_and_what_is_allowed_again_is_taken_up() {
        let mut bench = bench();
        let mut book = crate::update::shelf::Book::default();
        book.fail(&Version::new(0, 2, 0), "it did not start");
        bench.shelf.write(&book).unwrap();
        bench.desk.offered(Some(bench.offer("0.2.0")), S(0));
        assert!(bench.state().0 == UpdateState::Failed && bench.state().1.contains("did not work"), "{:?}", bench.state());
        assert_eq!(bench.desk.standing().failed[0].reason, "it did not start");
        assert_eq!(bench.desk.step(S(1), Ok(())), None);
        let forged = UpdateOffer { manifest: manifest("0.9.0", "0.1.0", 7, &"1".repeat(64)), ..bench.offer("0.9.0") };
        bench.desk.offered(Some(forged), S(2));
        assert!(bench.state().1.contains("key") && bench.desk.standing().version.is_none(), "{:?}", bench.desk.standing());
        bench.shelf.write(&crate::update::shelf::Book::default()).unwrap();
        assert!(!bench.desk.asks(S(2)) && bench.desk.asks(ASK));
        bench.desk.offered(Some(bench.offer("0.2.0")), ASK);
        assert!(is_fetch(bench.desk.step(ASK, Ok(()))));
    }

    #[test]
    fn an_agent_that_takes_no_updates_says_why() {
        let bench = bench();
        let mut desk = Desk::new(Some("dpkg does it".to_owned()), bench.shelf.clone(), Version::new(0, 1, 0));
        desk.offered(Some(bench.offer("0.2.0")), S(0));
        assert_eq!((desk.step(S(0), Ok(())), desk.asks_at()), (None, None));
        assert_eq!((desk.standing().state, desk.standing().text.as_str()), (UpdateState::Off, "dpkg does it"));
    }
}
