//! The session in virtual time: what it says, when it says it again, and when it gives a link up.
#![allow(clippy::unwrap_used)]

use super::*;
use ed25519_dalek::{Signature, Verifier};
use taxdisk_protocol::api::DiskHealth;
use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Fence, Widths};

const LEDGER: &str = "lg_test";

struct Bench {
    session: Session,
    now: Duration,
    key: SigningKey,
    others: OtherKeys,
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Bench {
    fn new() -> Bench {
        let key = SigningKey::from_bytes(&[7; 32]);
        let speaker = Speaker {
            agent: "ag_0123456789abcdef".parse().unwrap(),
            key: key.clone(),
            ledger: LEDGER.into(),
            version: "0.1.0".into(),
        };
        Bench { session: Session::new(speaker, 1), now: s(1000), key, others: OtherKeys::default() }
    }

    fn give(&mut self, input: Input) -> Vec<Effect> {
        self.session.handle(input, self.now)
    }

    fn say(&mut self, frame: &BrokerFrame) -> Vec<Effect> {
        self.give(Input::Text(serde_json::to_string(frame).unwrap()))
    }

    /// Lets time pass up to the next deadline.
    fn tick(&mut self) -> Vec<Effect> {
        self.now = self.session.deadline().unwrap().max(self.now);
        self.give(Input::Tick)
    }

    fn open(&mut self) -> Vec<Effect> {
        assert!(self.tick().contains(&Effect::Connect));
        self.give(Input::Opened { join: 9, journal: JournalHead { id: "jn".into(), sequence: 5 }, others: self.others.clone() })
    }

    fn join(&mut self) -> Vec<Effect> {
        self.open();
        self.say(&challenge());
        self.say(&BrokerFrame::Welcome { protocol: PROTOCOL, journal_known: Some(5), updates: false, key: None })
    }

    fn pong(&mut self) -> Vec<Effect> {
        let number = self.session.ping.number;
        self.give(Input::Pong(number))
    }
}

fn challenge() -> BrokerFrame {
    BrokerFrame::Challenge { nonce: "bm9uY2U=".into(), ledger: LEDGER.into(), ancestors: Vec::new() }
}

fn sent(effects: &[Effect]) -> Vec<AgentFrame> {
    let frame = |effect: &Effect| match effect {
        Effect::Send(text) => Some(serde_json::from_str(text).unwrap()),
        _ => None,
    };
    effects.iter().filter_map(frame).collect()
}

fn closed(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Close(_)))
}

fn down(effects: &[Effect]) -> Option<&str> {
    effects.iter().find_map(|effect| match effect {
        Effect::Down(text) => Some(text.as_str()),
        _ => None,
    })
}

fn entry(id: &str) -> Entry {
    let frame = AgentFrame::Unsupported { of: id.into() };
    Entry { id: id.into(), disk: "661545600001".parse().unwrap(), text: serde_json::to_string(&frame).unwrap() }
}

fn sent_ids(effects: &[Effect]) -> Vec<String> {
    let id = |frame| match frame {
        AgentFrame::Unsupported { of } => Some(of),
        _ => None,
    };
    sent(effects).into_iter().filter_map(id).collect()
}

fn grant() -> BrokerFrame {
    BrokerFrame::Grant {
        disk: "661545600001".parse().unwrap(),
        epoch: 3,
        accounted: Vec::new(),
        open: Vec::new(),
        forgotten: Default::default(),
    }
}

fn report(stock_text: &str, ready: bool) -> DiskReport {
    let widths = Widths {
        party_name: 80,
        taxpayer_number: 20,
        address_phone: None,
        bank_account: None,
        item_name: 20,
        specification: None,
        unit: None,
        remark: 100,
        person: 10,
        amount: 14,
        price: 14,
    };
    let capabilities = Capabilities {
        characters: CharacterSet::Gbk,
        widths,
        max_lines: 10,
        discount_lines: false,
        goods_codes: false,
        price_decimals: 2,
        rate_decimals: 2,
        single_person: true,
        remark_readable: true,
        carries_pair: true,
        red: true,
        operations: vec![DiskOperation::Void],
        finds_request: false,
        numbers_readable: true,
    };
    DiskReport {
        disk: "661545600001".into(),
        taxpayer: "91110000000000000X".into(),
        taxpayer_name: stock_text.into(),
        kinds: vec!["025".into()],
        capabilities,
        fence: Fence::Ordered,
        dialect: "zc".into(),
        port: "/dev/ttyUSB0".into(),
        health: DiskHealth { ready, class: None, text: String::new() },
        stock: Vec::new(),
        clock: None,
        offline: None,
        password_tries: None,
        memory_percent: None,
        clock_offset_s: None,
        takes: Vec::new(),
        sequence: 0,
        climbs: Vec::new(),
    }
}

#[test]
fn a_join_proves_the_key_and_begins_with_the_disks() {
    let mut bench = Bench::new();
    let hello = sent(&bench.open());
    assert!(
        matches!(&hello[..], [AgentFrame::Hello { join: 9, journal, protocol, .. }] if journal.sequence == 5 && *protocol == [1])
    );
    let proof = sent(&bench.say(&challenge()));
    let [AgentFrame::Proof { signature, .. }] = &proof[..] else { panic!("{proof:?}") };
    let signature = Signature::from_slice(&BASE64.decode(signature).unwrap()).unwrap();
    let agent = "ag_0123456789abcdef".parse().unwrap();
    bench.key.verifying_key().verify(&proof_message(LEDGER, &agent, 9, "bm9uY2U="), &signature).unwrap();
    let other = proof_message(LEDGER, &agent, 10, "bm9uY2U=");
    assert!(bench.key.verifying_key().verify(&other, &signature).is_err(), "bound to the join");
    let proof_at = bench.now;
    bench.now += s(2);
    let effects = bench.say(&BrokerFrame::Welcome { protocol: 1, journal_known: Some(5), updates: false, key: None });
    assert_eq!(effects[0], Effect::Up { journal_known: Some(5) });
    assert_eq!(effects[1], Effect::Heard(proof_at), "the broker knew of us when we sent the proof, not when its answer came");
    assert!(matches!(sent(&effects)[..], [AgentFrame::Disks { .. }]), "also an empty report is told");
    assert_eq!(bench.session.standing().up_since, Some(bench.now));
}

#[test]
fn a_stranger_is_not_spoken_to() {
    let mut bench = Bench::new();
    bench.open();
    let effects = bench.say(&BrokerFrame::Challenge { nonce: "x".into(), ledger: "lg_other".into(), ancestors: Vec::new() });
    assert!(closed(&effects) && sent(&effects).is_empty(), "no proof for another ledger: {effects:?}");
    assert!(down(&effects).unwrap().contains("another ledger") || down(&effects).unwrap().contains("lg_other"));
    assert!(bench.session.deadline().unwrap() >= bench.now + s(30), "a person must act: no hurry");

    let mut bench = Bench::new();
    bench.open();
    let effects = bench.say(&BrokerFrame::Welcome { protocol: 1, journal_known: None, updates: false, key: None });
    assert!(closed(&effects), "a welcome without a challenge");

    let mut bench = Bench::new();
    bench.open();
    assert!(closed(&bench.say(&grant())), "work before the welcome");

    let mut bench = Bench::new();
    bench.open();
    bench.say(&challenge());
    assert!(closed(&bench.say(&challenge())), "a second nonce is not signed");
}

#[test]
fn a_refusal_is_shown_and_tried_again_slowly() {
    let mut bench = Bench::new();
    bench.open();
    let effects = bench.say(&BrokerFrame::Refused { code: "agent_revoked".into(), reason: "The key was revoked.".into() });
    assert!(closed(&effects));
    assert_eq!(down(&effects), Some("The broker refused this agent: The key was revoked (agent_revoked)."));
    let wait = bench.session.deadline().unwrap() - bench.now;
    assert!((s(30)..=s(60)).contains(&wait), "{wait:?}");
}

#[test]
fn a_broker_that_stops_is_tried_again_soon() {
    let refused = BrokerFrame::Refused { code: "not_ready".into(), reason: "the broker stops".into() };
    let mut bench = Bench::new();
    bench.join();
    let effects = bench.say(&refused);
    assert!(closed(&effects));
    assert_eq!(down(&effects), Some("The broker is not ready: the broker stops (not_ready)."));
    let wait = bench.session.deadline().unwrap() - bench.now;
    assert!(wait <= s(2), "{wait:?}");
    // Also before the welcome.
    let mut bench = Bench::new();
    bench.open();
    assert!(closed(&bench.say(&refused)));
    let wait = bench.session.deadline().unwrap() - bench.now;
    assert!(wait <= s(1), "{wait:?}");
}

#[test]
fn tries_come_ever_later_and_a_good_link_starts_the_schedule_anew() {
    let mut bench = Bench::new();
    let mut waits = Vec::new();
    for _ in 0..12 {
        assert_eq!(bench.tick(), [Effect::Connect]);
        bench.give(Input::ConnectFailed("refused".into()));
        waits.push(bench.session.deadline().unwrap() - bench.now);
    }
    assert!(waits[0] <= Duration::from_millis(500), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= s(60)) && waits[11] >= s(30), "{waits:?}");
    bench.join();
    bench.now += s(30);
    bench.pong();
    bench.give(Input::Lost("cut".into()));
    assert!(bench.session.deadline().unwrap() - bench.now <= Duration::from_millis(500));
}

#[test]
fn a_try_and_a_greeting_are_bounded() {
    let mut bench = Bench::new();
    assert_eq!(bench.tick(), [Effect::Connect]);
    let began = bench.now;
    let effects = bench.tick();
    assert_eq!(bench.now - began, CONNECT_LIMIT);
    assert!(closed(&effects) && down(&effects).is_some());
    let late = bench.give(Input::Opened {
        join: 1,
        journal: JournalHead { id: String::new(), sequence: 0 },
        others: OtherKeys::default(),
    });
    assert!(closed(&late) && sent(&late).is_empty(), "a socket that opens after its time is dropped");

    bench.open();
    let began = bench.now;
    assert!(closed(&bench.tick()));
    assert_eq!(bench.now - began, GREETING_LIMIT);
}

#[test]
fn silence_is_death_and_pings_are_the_only_wake_ups() {
    let mut bench = Bench::new();
    bench.join();
    let joined = bench.now;
    bench.pong();
    for round in 1..=5 {
        let effects = bench.tick();
        assert_eq!(effects, [Effect::Ping(round + 1)], "nothing else happens on an idle link");
        assert_eq!(bench.now, joined + s(PING_S * round));
        let asked = bench.now;
        bench.now += Duration::from_millis(40);
        assert_eq!(bench.pong(), [Effect::Heard(asked)], "the lease counts from the ping, not from the pong");
        assert_eq!(bench.session.standing().round_trip, Some(Duration::from_millis(40)));
        bench.now = asked;
    }
    let asked = {
        bench.tick();
        bench.now
    };
    // The broker's own pings come in, but ours is never answered: what comes in may be old.
    for _ in 0..3 {
        bench.now += s(19);
        assert!(bench.give(Input::Heard).is_empty());
    }
    let effects = bench.tick();
    assert_eq!(bench.now, asked + s(SILENCE_S));
    assert!(closed(&effects) && down(&effects).unwrap().contains("silent"), "{effects:?}");
}

#[test]
fn a_pc_that_slept_gives_the_link_up_at_its_first_tick() {
    let mut bench = Bench::new();
    bench.join();
    bench.pong();
    bench.now += s(3600);
    assert!(closed(&bench.give(Input::Tick)));
}

#[test]
fn an_old_pong_proves_nothing() {
    let mut bench = Bench::new();
    bench.join();
    bench.pong();
    bench.tick();
    assert!(bench.give(Input::Pong(1)).is_empty(), "the answer to an earlier ping");
    assert!(!bench.session.ping.answered);
}

#[test]
fn durable_entries_are_sent_after_every_welcome_until_acknowledged() {
    let mut bench = Bench::new();
    bench.give(Input::Outbox(entry("a")));
    bench.give(Input::Outbox(entry("b")));
    assert_eq!(sent_ids(&bench.join()), [] as [String; 0], "the disk's grant comes first");
    assert_eq!(sent_ids(&bench.say(&grant())), ["a", "b"]);
    assert_eq!(sent_ids(&bench.give(Input::Outbox(entry("c")))), ["c"], "a new one goes out at once");
    let effects = bench.say(&BrokerFrame::Ack { ids: vec!["a".into(), "c".into()] });
    assert_eq!(effects, [Effect::Confirm(vec!["a".into(), "c".into()])]);
    bench.give(Input::Lost("cut".into()));
    assert_eq!(sent_ids(&bench.give(Input::Outbox(entry("d")))), [] as [String; 0], "no link, nothing is sent");
    bench.join();
    assert_eq!(sent_ids(&bench.say(&grant())), ["b", "d"]);
    assert_eq!(bench.session.standing().outbox, 2);
    bench.say(&BrokerFrame::Ack { ids: vec!["b".into(), "d".into()] });
    bench.give(Input::Lost("cut".into()));
    bench.join();
    assert_eq!(sent_ids(&bench.say(&grant())), [] as [String; 0]);
}

#[test]
fn an_entry_of_a_disk_that_is_gone_is_sent_all_the_same() {
    let mut bench = Bench::new();
    bench.give(Input::Outbox(entry("a")));
    bench.join();
    bench.pong();
    let joined = bench.now;
    let effects = bench.tick();
    assert_eq!((sent_ids(&effects), bench.now), (vec!["a".to_owned()], joined + super::super::outbox::PATIENCE));
}

/// Found by the simulation: a driver hung, the broker's ledger went back meanwhile, and the report of before the assignment hid
/// that from it. What was assigned before could have been assigned to another disk.
#[test]
fn i1_a_report_of_before_an_assignment_does_not_hide_its_sequence() {
    let mut bench = Bench::new();
    let assign: BrokerFrame = serde_json::from_str(include_str!("../../../protocol/tests/golden/broker_assign.json")).unwrap();
    let BrokerFrame::Assign { disk, assignment, .. } = &assign else { panic!("{assign:?}") };
    let before = DiskReport { disk: disk.to_string(), sequence: assignment.sequence - 1, ..report("1", true) };
    let sequences = |effects: &[Effect]| match &sent(effects)[..] {
        [AgentFrame::Disks { disks }] => disks.iter().map(|disk| disk.sequence).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    bench.give(Input::Disks(vec![before, report("2", true)]));
    assert_eq!(sequences(&bench.join()), [assignment.sequence - 1, 0]);
    bench.say(&assign);
    bench.give(Input::Lost("gone".to_owned()));
    assert_eq!(sequences(&bench.join()), [assignment.sequence, 0], "of that disk");
}

#[test]
fn reports_are_brought_together_and_a_change_of_health_is_told_at_once() {
    let mut bench = Bench::new();
    bench.give(Input::Disks(vec![report("1", true)]));
    assert_eq!(sent(&bench.join()).len(), 1);
    bench.pong();
    let told = bench.now;
    for stock in ["2", "3", "4"] {
        assert!(bench.give(Input::Disks(vec![report(stock, true)])).is_empty());
    }
    let effects = bench.tick();
    assert_eq!(bench.now, told + REPORT_GAP);
    assert!(matches!(&sent(&effects)[..], [AgentFrame::Disks { disks }] if disks[0].taxpayer_name == "4"));
    let clock = DiskReport { clock: Some("20260101000000".into()), ..report("4", true) };
    bench.now += s(5);
    assert!(bench.give(Input::Disks(vec![clock])).is_empty(), "the disk's clock alone is no news");
    assert_eq!(sent(&bench.give(Input::Disks(vec![report("5", true)]))).len(), 1, "the last report is long ago");
    assert_eq!(sent(&bench.give(Input::Disks(vec![report("5", false)]))).len(), 1, "health does not wait");
    assert_eq!(sent(&bench.give(Input::Disks(Vec::new()))).len(), 1, "nor does a disk that went");
}

#[test]
fn unknown_frames_are_answered_and_known_ones_delivered() {
    let mut bench = Bench::new();
    bench.join();
    let answer = |bench: &mut Bench, text: &str| sent(&bench.give(Input::Text(text.into())));
    let unsupported = |of: &str| vec![AgentFrame::Unsupported { of: of.into() }];
    assert_eq!(answer(&mut bench, r#"{"type":"dance","steps":3}"#), unsupported("dance"));
    assert_eq!(answer(&mut bench, r#"{"type":"grant","disk":7}"#), unsupported("grant"), "a broken one is told too");
    assert_eq!(answer(&mut bench, "not json"), unsupported("no type"));
    assert_eq!(answer(&mut bench, r#"{"type":"unsupported","of":"x"}"#), [], "no answer to an answer");
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(5000));
    assert_eq!(answer(&mut bench, &long), unsupported(&"x".repeat(FOREIGN_TEXT_MAX)));
    let mut value = serde_json::to_value(grant()).unwrap();
    value["from_the_future"] = serde_json::json!({ "a": 1 });
    let effects = bench.give(Input::Text(value.to_string()));
    assert_eq!(effects, [Effect::Deliver(Box::new(grant()))], "unknown fields are left out");
}

#[test]
fn volatile_frames_go_only_over_a_joined_link_and_goodbye_is_the_last() {
    let mut bench = Bench::new();
    assert!(bench.give(Input::Send(AgentFrame::Unsupported { of: "x".into() })).is_empty());
    bench.join();
    assert_eq!(bench.give(Input::Send(AgentFrame::Unsupported { of: "x".into() })).len(), 1);
    assert_eq!(sent(&bench.give(Input::Leave)), [AgentFrame::Goodbye]);
    assert_eq!(bench.session.deadline(), None);
    assert!(bench.give(Input::Outbox(entry("a"))).is_empty());
    assert!(bench.give(Input::Tick).is_empty());
}

#[test]
fn a_broker_that_does_not_know_of_updates_hears_nothing_of_them() {
    use taxdisk_protocol::update::{AgentUpdate, UpdateState};
    let update =
        AgentUpdate { target: "x".into(), state: UpdateState::Current, version: None, text: String::new(), failed: Vec::new() };
    for known in [false, true] {
        let mut bench = Bench::new();
        bench.open();
        bench.say(&challenge());
        bench.say(&BrokerFrame::Welcome { protocol: PROTOCOL, journal_known: None, updates: known, key: None });
        let frame = AgentFrame::Updating { update: update.clone() };
        assert_eq!(bench.give(Input::Send(frame)).len(), usize::from(known));
    }
}

#[test]
fn a_link_that_is_given_up_begins_anew() {
    let mut bench = Bench::new();
    assert!(bench.give(Input::GiveUp("x".into())).is_empty(), "there is none");
    bench.join();
    assert!(closed(&bench.give(Input::GiveUp("a disk hangs".into()))));
    assert!(bench.give(Input::Lost("the socket that was dropped".into())).is_empty(), "told once");
    assert_eq!(bench.tick(), [Effect::Connect]);
}

/// The agent's part of an exchange of its key; the broker's is in its own tests. At each of the steps the link may end.
#[test]
fn a_new_key_is_proven_beside_the_present_one_until_the_broker_names_it() {
    let mut bench = Bench::new();
    let next = SigningKey::from_bytes(&[8; 32]);
    bench.others.next = Some(next.clone());
    let agent: AgentId = "ag_0123456789abcdef".parse().unwrap();
    let proven = |bench: &mut Bench| {
        bench.open();
        let proof = sent(&bench.say(&challenge()));
        let [AgentFrame::Proof { keys, .. }] = &proof[..] else { panic!("{proof:?}") };
        keys.clone()
    };
    let names = |keys: &[KeyProof]| keys.iter().map(|key| key.public_key.clone()).collect::<Vec<_>>();
    let welcome = |key: Option<String>| BrokerFrame::Welcome { protocol: 1, journal_known: None, updates: false, key };
    let (old_name, new_name) = (public(&bench.key), public(&next));

    // A broker that does not know of this: nothing changes, also not at the next join.
    let keys = proven(&mut bench);
    assert_eq!(names(&keys), [new_name.clone(), old_name.clone()]);
    for (proof, key) in keys.iter().zip([&next, &bench.key]) {
        let message = key_message(LEDGER, &agent, 9, "bm9uY2U=", &new_name);
        let signature = Signature::from_slice(&BASE64.decode(&proof.signature).unwrap()).unwrap();
        key.verifying_key().verify(&message, &signature).unwrap();
    }
    for said in [None, Some(old_name.clone())] {
        let effects = bench.say(&welcome(said));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::KeyTaken(_))), "{effects:?}");
        bench.give(Input::Lost("cut".into()));
        assert_eq!(names(&proven(&mut bench)), [new_name.clone(), old_name.clone()]);
    }
    // The broker names it: it is told before the link is up, and is the present one from then on.
    let effects = bench.say(&welcome(Some(new_name.clone())));
    assert_eq!(effects[0], Effect::KeyTaken(new_name.clone()));
    bench.give(Input::Lost("cut".into()));
    // The files could not be moved: the same again comes through.
    assert_eq!(names(&proven(&mut bench)), [new_name.clone(), new_name.clone()]);
    bench.give(Input::Lost("cut".into()));
    bench.others = OtherKeys { next: None, before: Some(bench.key.clone()) };
    assert_eq!(names(&proven(&mut bench)), [new_name, old_name]);
}
