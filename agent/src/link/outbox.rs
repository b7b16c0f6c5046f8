//! The part of the durable outbox that the link has in hand: what was written to the journal and not yet acknowledged, in the
//! order of writing. The journal is the outbox; this is its window onto the link.
//!
//! An entry is sent once a session, and again after every later welcome until its `ack` came. An entry waits a moment for its
//! disk's `grant`: the broker takes an outcome at its word only from the disk's present owner, and one that comes before the
//! grant would be kept as late evidence and read again from the disk for nothing.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use taxdisk_protocol::ids::DiskNumber;

/// How long an entry waits after a welcome for the answer about its disk. Then it is sent anyway: the disk may be gone for
/// ever, and the broker keeps a late outcome as evidence.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The most entries that are sent and not acknowledged. A disk has two open attempts at most, so this is reached only after a
/// long
/// outage; the rest follows as acks come in.
pub const WINDOW: usize = 64;

/// One entry of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Id that the `ack` will name.
    pub id: String,
    /// Disk that it is about.
    pub disk: DiskNumber,
    /// The frame as JSON text.
    pub text: String,
}

/// Entries in hand.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: VecDeque<(Entry, bool)>,
    answered: BTreeSet<DiskNumber>,
    joined_at: Option<Duration>,
}

impl Outbox {
    /// Takes an entry that the journal has made durable. One that is in hand already is not taken twice.
    pub fn push(&mut self, entry: Entry) {
        if !self.entries.iter().any(|(known, _)| known.id == entry.id) {
            self.entries.push_back((entry, false));
        }
    }

    /// Forgets what the broker has made durable.
    pub fn acknowledge(&mut self, ids: &[String]) {
        self.entries.retain(|(entry, _)| !ids.contains(&entry.id));
    }

    /// Entries that are not acknowledged.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Everything is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A link joined: everything is to be sent again.
    pub fn join(&mut self, now: Duration) {
        self.joined_at = Some(now);
        self.answered.clear();
        self.entries.iter_mut().for_each(|(_, sent)| *sent = false);
        if crate::fault::planted("outbox_lost") {
            self.entries.clear();
        }
    }

    /// The link is gone: nothing is sent.
    pub fn leave(&mut self) {
        self.joined_at = None;
    }

    /// The broker said whose this disk is.
    pub fn answer(&mut self, disk: &DiskNumber) {
        self.answered.insert(disk.clone());
    }

    /// What to send now, in order. Within a disk no entry overtakes an older one.
    pub fn due(&mut self, now: Duration) -> Vec<String> {
        let Some(joined_at) = self.joined_at else { return Vec::new() };
        let patient = now < joined_at + PATIENCE;
        let mut room = WINDOW.saturating_sub(self.entries.iter().filter(|(_, sent)| *sent).count());
        let mut due = Vec::new();
        for (entry, sent) in &mut self.entries {
            if room == 0 {
                break;
            }
            let may_go = !patient || self.answered.contains(&entry.disk);
            if !*sent && may_go {
                *sent = true;
                room -= 1;
                due.push(entry.text.clone());
            }
        }
        due
    }

    /// When something becomes due by time alone.
    pub fn deadline(&self) -> Option<Duration> {
        let joined_at = self.joined_at?;
        let waits = self.entries.iter().any(|(entry, sent)| !sent && !self.answered.contains(&entry.disk));
        let full = self.entries.iter().filter(|(_, sent)| *sent).count() >= WINDOW;
        (waits && !full).then_some(joined_at + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn entry(id: &str, disk: &str) -> Entry {
        Entry { id: id.into(), disk: disk.parse().unwrap(), text: format!("text {id}") }
    }

    #[test]
    fn entries_wait_for_their_disk_then_go_in_order_and_again_until_acknowledged() {
        let mut outbox = Outbox::default();
        outbox.push(entry("1", "A"));
        outbox.push(entry("2", "B"));
        outbox.push(entry("3", "A"));
        outbox.push(entry("1", "A"));
        assert_eq!(outbox.len(), 3, "an id is taken once");
        assert!(outbox.due(S(1)).is_empty(), "no link");
        outbox.join(S(1));
        assert!(outbox.due(S(2)).is_empty(), "no grant yet");
        assert_eq!(outbox.deadline(), Some(S(1) + PATIENCE));
        outbox.answer(&"A".parse().unwrap());
        assert_eq!(outbox.due(S(2)), ["text 1", "text 3"]);
        assert!(outbox.due(S(2)).is_empty(), "once a session");
        assert_eq!(outbox.due(S(1) + PATIENCE), ["text 2"], "patience ends");
        assert_eq!(outbox.deadline(), None);
        outbox.acknowledge(&["1".into(), "2".into(), "unknown".into()]);
        outbox.leave();
        assert!(outbox.due(S(90)).is_empty());
        outbox.join(S(100));
        outbox.answer(&"A".parse().unwrap());
        assert_eq!(outbox.due(S(100)), ["text 3"], "again after every welcome");
        outbox.acknowledge(&["3".into()]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn no_more_than_the_window_is_under_way() {
        let mut outbox = Outbox::default();
        (0..WINDOW + 5).for_each(|index| outbox.push(entry(&index.to_string(), "A")));
        outbox.join(S(0));
        outbox.answer(&"A".parse().unwrap());
        assert_eq!(outbox.due(S(0)).len(), WINDOW);
        assert!(outbox.due(S(0)).is_empty());
        outbox.acknowledge(&["0".into(), "1".into()]);
        assert_eq!(outbox.due(S(0)), [format!("text {WINDOW}"), format!("text {}", WINDOW + 1)]);
    }
}
