//! Passwords and contents appear in no trace and no recording, and a recording can still be replayed.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::super::{ZcConfig, ZcDisk, redact_frame, vectors};
use super::script::{config, identity, issue_packets, many, online, order};
use crate::dialects::zc::anonymise::anonymise;
use crate::disk::{IssueAnswer, TaxDisk};
use crate::secret::Secret;
use crate::transport::memory::ScriptedLine;
use crate::transport::record::{Entry, Event as Went, Recorded, replay};
use crate::transport::ring::{from_json_lines, to_json_lines};

/// Writes down every field of every span and event.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Visit for Everything {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lock().unwrap().push_str(&format!("{}={value:?}\n", field.name()));
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn script() -> ScriptedLine {
    let line = ScriptedLine::new(online().into_iter().chain(identity()).chain(online()).chain(issue_packets()));
    line.then(many(&vectors::frames("5 answer")));
    line
}

#[test]
fn traces_tell_commands_sizes_and_classes_and_no_contents() {
    let seen = Everything::default();
    tracing::subscriber::with_default(seen.clone(), || {
        let mut disk = ZcDisk::new(script(), config());
        disk.identity().unwrap();
        assert!(matches!(disk.issue(&order().request()), IssueAnswer::Signed(_)));
    });
    let text = seen.0.lock().unwrap().clone();
    for told in ["command=0A", "sent_bytes=502", "received_bytes=", "ms=", "class=\"ok\""] {
        assert!(text.contains(told), "{told} is missing in\n{text}");
    }
    for secret in ["8888", "12345678", "测试", "打印纸", "226.00", "91310000"] {
        assert!(!text.contains(secret), "{secret} stands in\n{text}");
    }
}

#[test]
fn a_recording_holds_no_password_and_can_be_replayed() {
    let kept: Arc<Mutex<Vec<Entry>>> = Arc::default();
    let sink = Arc::clone(&kept);
    let line = Recorded::new(script(), redact_frame, move |entry| sink.lock().unwrap().push(entry));
    let mut disk = ZcDisk::new(line, config());
    disk.identity().unwrap();
    let first = disk.issue(&order().request());
    let text: Vec<String> = kept.lock().unwrap().iter().map(Entry::to_string).collect();
    let hex = |secret: &str| -> String { secret.bytes().map(|byte| format!("{byte:02X}")).collect() };
    for line in text.iter().filter(|line| line.starts_with('>')) {
        assert!(!line.contains(&hex("88888888")) && !line.contains(&hex("12345678")), "{line}");
    }
    let entries: Vec<Entry> = text.iter().map(|line| line.parse().unwrap()).collect();
    assert_eq!(crate::transport::ring::from_json_lines(&crate::transport::ring::to_json_lines(&entries)).unwrap(), entries);
    let again = ScriptedLine::new(replay(&entries));
    let masked = || Secret::new("********");
    let config = ZcConfig { disk_password: masked(), certificate_password: masked(), ..config() };
    let mut disk = ZcDisk::new(again.clone(), config);
    disk.identity().unwrap();
    assert_eq!(disk.issue(&order().request()), first);
    assert!(matches!(first, IssueAnswer::Signed(_)) && again.is_finished());
}

#[test]
fn an_exported_recording_names_nobody_and_still_replays() {
    let kept: Arc<Mutex<Vec<Entry>>> = Arc::default();
    let sink = Arc::clone(&kept);
    let line = Recorded::new(script(), redact_frame, move |entry| sink.lock().unwrap().push(entry));
    let mut disk = ZcDisk::new(line, config());
    let known = disk.identity().unwrap();
    let exported = to_json_lines(&anonymise(kept.lock().unwrap().clone()));

    let entries = from_json_lines(&exported).unwrap();
    let bytes: Vec<u8> = entries
        .iter()
        .flat_map(|entry| match &entry.event {
            Went::Sent(bytes) | Went::Received(bytes) => bytes.clone(),
            _ => Vec::new(),
        })
        .collect();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let (name, _, _) = encoding_rs::GBK.encode(&known.taxpayer_name);
    assert!(!holds(known.taxpayer.to_string().as_bytes()) && !holds(&name) && !holds(b"88888888"), "{exported}");

    let again = ScriptedLine::new(replay(&entries));
    let config = ZcConfig { disk_password: Secret::new("********"), ..config() };
    let replayed = ZcDisk::new(again.clone(), config).identity().unwrap();
    assert!(again.is_finished(), "every frame of the export was played");
    assert_eq!((replayed.disk, replayed.kinds), (known.disk, known.kinds));
    assert_ne!(replayed.taxpayer, known.taxpayer);
}
