//! Days of deliveries in virtual time: a receiver that is a function, a store that is two maps, and a hand that stops
//! everything at any point.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const SELLER: &str = "911101080000000007";
const OTHER: &str = "91110000MA0000001L";

fn hook(id: &str) -> WebhookRow {
    WebhookRow {
        id: id.to_owned(),
        url: "https://shop.example/hooks/secret-path".to_owned(),
        description: String::new(),
        events: Vec::new(),
        sellers: Vec::new(),
        signing: Signing::Symmetric,
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        old_secret: None,
        enabled: true,
        disabled: None,
        cursor: 0,
        failing_since: None,
        delivered_at: None,
        created_at: Timestamp(0),
        created_by: "k_1".to_owned(),
    }
}

fn announcement(position: u64, serial: &str, revision: u64) -> AnnouncementRow {
    let announcement = Announcement {
        at: Timestamp(0),
        kind: "job.issued".to_owned(),
        seller: Some(SELLER.parse().unwrap()),
        serial: Some(serial.parse().unwrap()),
        revision,
        body: json!({}),
    };
    AnnouncementRow { position, tag: announcement.tag(), announcement }
}

/// The stream, what is durable, and a machine over it.
struct World {
    now: Timestamp,
    stream: Vec<AnnouncementRow>,
    rows: HashMap<String, WebhookRow>,
    deliveries: BTreeMap<(String, u64), DeliveryRow>,
    machine: Machine,
    settings: Settings,
    /// (endpoint, position, milliseconds) of every attempt.
    log: Vec<(String, u64, i64)>,
    told: Vec<Announcement>,
}

type Receiver<'a> = &'a mut dyn FnMut(&WebhookRow, &DeliveryRow, Timestamp) -> Outcome;

impl World {
    fn new(hooks: &[WebhookRow]) -> World {
        let settings = Settings::default();
        let mut world = World {
            now: Timestamp(1),
            stream: Vec::new(),
            rows: HashMap::new(),
            deliveries: BTreeMap::new(),
            machine: Machine::new(settings.clone(), Vec::new(), Vec::new()),
            settings,
            log: Vec::new(),
            told: Vec::new(),
        };
        for row in hooks {
            let changes = world.machine.put(row.clone(), "webhook_created", "k_1", world.now);
            world.keep(changes);
        }
        world
    }

    fn tell(&mut self, serial: &str, revision: u64) {
        self.stream.push(announcement(self.stream.len() as u64 + 1, serial, revision));
    }

    fn keep(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Webhook(row) => {
                    self.rows.insert(row.id.clone(), row);
                }
                Change::WebhookGone(id) => {
                    self.rows.remove(&id);
                    self.deliveries.retain(|(webhook, _), _| *webhook != id);
                }
                Change::Delivery(row) => {
                    self.deliveries.insert((row.webhook.clone(), row.position), row);
                }
                Change::Announcement(announcement) => self.told.push(announcement),
                Change::Audit(audit) => assert!(!audit.body.to_string().contains("secret"), "{}", audit.body),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The process dies and starts again over what is durable.
    fn restart(&mut self) {
        let waiting = self.deliveries.values().filter(|row| row.state == DeliveryState::Waiting).cloned().collect();
        self.machine = Machine::new(self.settings.clone(), self.rows.values().cloned().collect(), waiting);
    }

    /// Takes in, sends and hears answers until only time can bring more. Every answer takes no time.
    fn settle(&mut self, receiver: Receiver<'_>) {
        loop {
            let tip = self.stream.len() as u64;
            for (id, cursor, room) in self.machine.hungry(tip) {
                let page: Vec<AnnouncementRow> = self.stream.iter().skip(cursor as usize).take(room.min(7)).cloned().collect();
                let changes = self.machine.take_in(&id, &page, self.now);
                self.keep(changes);
            }
            let due = self.machine.due(self.now);
            if due.is_empty() && self.machine.hungry(tip).is_empty() {
                return;
            }
            for (row, delivery) in due {
                let outcome = receiver(&row, &delivery, self.now);
                self.log.push((row.id.clone(), delivery.position, self.now.0));
                let sent = Sent { outcome, status: None, ms: 1, text: "word".to_owned() };
                // The middle of the jitter.
                let changes = self.machine.finished(&row.id, delivery.position, &sent, self.now, self.now, 200);
                self.keep(changes);
            }
        }
    }

    /// Lets time run.
    fn run_until(&mut self, end: i64, receiver: Receiver<'_>) {
        loop {
            self.settle(receiver);
            match self.machine.next_at(self.now) {
                Some(next) if next.0 <= end => self.now = next,
                _ => break,
            }
        }
        self.now = Timestamp(end);
    }

    fn state(&self, id: &str, position: u64) -> Option<DeliveryState> {
        self.deliveries.get(&(id.to_owned(), position)).map(|row| row.state)
    }

    fn times(&self, id: &str, position: u64) -> Vec<i64> {
        self.log.iter().filter(|(hook, at, _)| hook == id && *at == position).map(|(.., ms)| *ms).collect()
    }
}

fn failed() -> Outcome {
    Outcome::Failed { after_ms: None }
}

#[test]
fn a_message_is_tried_over_days_at_the_times_of_the_schedule() {
    let mut world = World::new(&[hook("a"), hook("b")]);
    world.tell("A1", 3);
    // Another endpoint that always takes changes nothing.
    world.run_until(4 * DAY, &mut |row, _, _| if row.id == "a" { failed() } else { Outcome::Delivered });
    let mut at = 1;
    let mut expected = vec![at];
    for delay in schedule::DELAYS_MS {
        at += delay;
        expected.push(at);
    }
    assert_eq!(world.times("a", 1), expected);
    assert_eq!(world.times("b", 1), [1]);
    // The endpoint took nothing at all: the message is kept, and tried on at the last pace.
    assert_eq!(world.state("a", 1), Some(DeliveryState::Waiting));
    let tries = world.deliveries[&("a".to_owned(), 1)].tries;
    assert_eq!(tries, 10);
}

#[test]
fn a_message_that_is_not_wanted_is_given_up_and_can_be_replayed() {
    let mut world = World::new(&[hook("a")]);
    world.tell("BAD", 3);
    let mut poison = |_: &WebhookRow, delivery: &DeliveryRow, _| {
        if delivery.serial.as_ref().unwrap().as_str() == "BAD" { failed() } else { Outcome::Delivered }
    };
    for day in 0..5 {
        for n in 0..24 {
            world.tell(&format!("D{day}N{n}"), 3);
            world.run_until(day * DAY + n * HOUR + 2, &mut poison);
        }
    }
    assert_eq!(world.state("a", 1), Some(DeliveryState::Failed));
    assert_eq!(world.rows["a"].disabled, None, "others were taken all the time");
    assert_eq!(world.times("a", 1).len(), 10, "all of the schedule, and nothing beside it");
    assert!(world.deliveries.values().filter(|row| row.position > 1).all(|row| row.state == DeliveryState::Delivered));
    let row = world.deliveries[&("a".to_owned(), 1)].clone();
    let changes = world.machine.replay("a", vec![row.clone()], "k_1", world.now).unwrap();
    world.keep(changes);
    world.settle(&mut |_, delivery, _| {
        assert_eq!(delivery.event, row.event, "the id stays the same");
        Outcome::Delivered
    });
    assert_eq!(world.state("a", 1), Some(DeliveryState::Delivered));
}

#[test]
fn an_endpoint_that_takes_nothing_for_days_is_switched_off_and_keeps_everything() {
    let mut world = World::new(&[hook("a")]);
    for n in 0..20 {
        world.tell(&format!("A{n}"), 3);
    }
    world.run_until(6 * DAY, &mut |_, _, _| failed());
    let disabled = world.rows["a"].disabled.clone().unwrap();
    assert_eq!(disabled.reason, "failing");
    assert!(disabled.at.0 >= 5 * DAY && disabled.at.0 < 6 * DAY, "{disabled:?}");
    assert_eq!(world.told.iter().map(|announcement| announcement.kind.as_str()).collect::<Vec<_>>(), ["webhook.disabled"]);
    let before = world.log.len();
    world.tell("LATE", 3);
    world.run_until(30 * DAY, &mut |_, _, _| panic!("nothing is sent to an endpoint that is switched off"));
    assert_eq!(world.log.len(), before);
    assert_eq!(world.machine.needed_after(21), 0, "nothing of it may be forgotten");
    world.restart();
    let row = WebhookRow { disabled: None, failing_since: None, ..world.rows["a"].clone() };
    let changes = world.machine.put(row, "webhook_put", "k_1", world.now);
    world.keep(changes);
    let mut order = Vec::new();
    world.settle(&mut |_, delivery, _| {
        order.push(delivery.position);
        Outcome::Delivered
    });
    assert_eq!(order, (1..=21).collect::<Vec<u64>>());
    assert_eq!(world.machine.needed_after(21), 21);
}

#[test]
fn a_410_switches_off_at_once_and_keeps_the_event() {
    let mut world = World::new(&[hook("a")]);
    world.tell("A1", 3);
    world.tell("A2", 3);
    world.settle(&mut |_, _, _| Outcome::Gone);
    assert_eq!(world.rows["a"].disabled.as_ref().unwrap().reason, "gone");
    assert_eq!(world.told.len(), 1);
    world.run_until(DAY, &mut |_, _, _| panic!("it wants nothing"));
    assert_eq!(world.state("a", 1), Some(DeliveryState::Waiting));
}

#[test]
fn a_receiver_that_asks_for_time_gets_it_for_all_its_messages() {
    let mut world = World::new(&[hook("a"), hook("b")]);
    for n in 0..10 {
        world.tell(&format!("A{n}"), 3);
    }
    let mut receiver = |row: &WebhookRow, _: &DeliveryRow, now: Timestamp| {
        if row.id == "a" && now.0 < 2 * HOUR { Outcome::Failed { after_ms: Some(3 * HOUR) } } else { Outcome::Delivered }
    };
    world.run_until(HOUR, &mut receiver);
    let asked = world.log.iter().filter(|(hook, ..)| hook == "a").count();
    assert!(asked <= world.settings.concurrency, "{asked}: after the first word nothing more is sent");
    assert_eq!(world.log.iter().filter(|(hook, ..)| hook == "b").count(), 10, "nobody else waits");
    world.run_until(3 * HOUR, &mut receiver);
    assert_eq!(world.log.iter().filter(|(hook, ..)| hook == "a").count(), asked);
    world.run_until(4 * HOUR, &mut receiver);
    assert!((1..=10).all(|position| world.state("a", position) == Some(DeliveryState::Delivered)));
}

#[test]
fn messages_of_one_job_never_overtake_each_other_in_the_first_minutes() {
    let mut world = World::new(&[hook("a")]);
    world.tell("A1", 3);
    world.tell("A1", 5);
    world.tell("A2", 3);
    // The first two attempts on the older one fail; the newer one waits, another job does not.
    let mut order = Vec::new();
    let mut failures = 2;
    world.run_until(HOUR, &mut |_, delivery, _| {
        order.push(delivery.position);
        if delivery.position == 1 && failures > 0 {
            failures -= 1;
            return failed();
        }
        Outcome::Delivered
    });
    assert_eq!(order.iter().filter(|position| **position != 3).copied().collect::<Vec<_>>(), [1, 1, 1, 2]);
    assert_eq!(order.iter().position(|position| *position == 3), Some(1));
    // But an older one that is never taken holds the newer one for some minutes only.
    let mut world = World::new(&[hook("a")]);
    world.tell("A1", 3);
    world.tell("A1", 5);
    world.run_until(DAY, &mut |_, delivery, _| if delivery.position == 1 { failed() } else { Outcome::Delivered });
    assert_eq!(world.state("a", 2), Some(DeliveryState::Delivered));
    let after = world.times("a", 2)[0];
    assert!((5 * MINUTE..6 * MINUTE).contains(&after), "{after}");
}

#[test]
fn two_messages_of_one_job_are_never_under_way_together_and_the_bound_holds() {
    let mut world = World::new(&[hook("a"), hook("b")]);
    for n in 0..6 {
        world.tell("A1", 3 + n);
        world.tell(&format!("B{n}"), 3);
    }
    for id in ["a", "b"] {
        let changes = world.machine.take_in(id, &world.stream, world.now);
        world.keep(changes);
    }
    let due = world.machine.due(world.now);
    for id in ["a", "b"] {
        let mine: Vec<_> = due.iter().filter(|(row, _)| row.id == id).map(|(_, delivery)| delivery).collect();
        assert_eq!(mine.len(), world.settings.concurrency);
        assert_eq!(mine.iter().filter(|row| row.serial.as_ref().unwrap().as_str() == "A1").count(), 1);
    }
    assert!(world.machine.due(world.now).is_empty(), "none of them answers, so nothing more is sent");
    // While an endpoint fails it is asked one thing at a time.
    let first: Vec<_> = due.iter().filter(|(row, _)| row.id == "a").collect();
    let sent = Sent { outcome: failed(), status: Some(500), ms: 1, text: String::new() };
    for (row, delivery) in first {
        world.machine.finished(&row.id, delivery.position, &sent, world.now, world.now, 200);
    }
    assert_eq!(world.machine.due(world.now).iter().filter(|(row, _)| row.id == "a").count(), 1);
}

#[test]
fn what_waits_in_memory_is_bounded_and_the_rest_stays_in_the_stream() {
    let mut world = World::new(&[hook("a")]);
    world.settings.max_waiting = 5;
    world.restart();
    for n in 0..20 {
        world.tell(&format!("A{n}"), 3);
    }
    world.settle(&mut |_, _, _| failed());
    assert_eq!(world.machine.row("a").unwrap().1, 5);
    assert_eq!((world.rows["a"].cursor, world.machine.needed_after(20)), (5, 0));
    world.run_until(DAY, &mut |_, _, _| Outcome::Delivered);
    assert!((1..=20).all(|position| world.state("a", position) == Some(DeliveryState::Delivered)));
}

#[test]
fn an_endpoint_is_told_what_it_asked_for_and_what_its_sellers_may_know() {
    let of = |kind: &str, seller: Option<&str>| {
        Announcement::of(Timestamp(0), kind, seller.map(|seller| seller.parse().unwrap()), json!({}))
    };
    let row = |events: &[&str], sellers: &[&str]| WebhookRow {
        events: events.iter().map(ToString::to_string).collect(),
        sellers: sellers.iter().map(|seller| seller.parse().unwrap()).collect(),
        ..hook("a")
    };
    assert!(row(&[], &[]).wants(&of("agent.down", None)));
    assert!(row(&[], &[SELLER]).wants(&of("disk.down", Some(SELLER))));
    assert!(!row(&[], &[SELLER]).wants(&of("disk.down", Some(OTHER))));
    assert!(!row(&[], &[SELLER]).wants(&of("agent.down", None)), "what concerns all is not for one");
    assert!(row(&["job.*"], &[]).wants(&of("job.failed", Some(OTHER))));
    assert!(!row(&["job.issued"], &[]).wants(&of("job.failed", Some(OTHER))));
}

#[test]
fn ids_are_read_back_and_nothing_else_is() {
    let row = announcement(17, "A1", 3);
    let id = row.id();
    assert_eq!(parse_id(&id), Some((17, row.tag.as_str())));
    assert!(!id.contains('.'));
    for bad in ["", "evt_", "evt_17", "evt_17_xyz", "evt_-1_0123456789ab", "evt_99999999999999999999_0123456789ab", "17"] {
        assert_eq!(parse_id(bad), None, "{bad}");
    }
    assert_ne!(row.tag, announcement(17, "A1", 4).tag);
}

#[test]
fn an_address_is_shown_without_its_path() {
    assert_eq!(host("https://shop.example:8443/hooks/secret?x=1"), "https://shop.example:8443");
    assert_eq!(host("https://shop.example?x"), "https://shop.example");
    assert_eq!(host("https://shop.example"), "https://shop.example");
}

#[test]
fn the_end_of_an_outage_brings_everything_forward_in_order() {
    let mut world = World::new(&[hook("a")]);
    for n in 0..3 {
        world.tell(&format!("A{n}"), 3);
    }
    world.run_until(6 * HOUR, &mut |_, _, _| failed());
    world.tell("NEW", 3);
    let mut order = Vec::new();
    world.run_until(6 * HOUR + 1, &mut |_, delivery, _| {
        order.push(delivery.position);
        Outcome::Delivered
    });
    assert_eq!(order, [4, 1, 2, 3], "without it they would wait for hours more");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever a receiver answers and whenever we die: every event arrives at least once, under one id, as soon as it takes
    /// everything.
    #[test]
    fn nothing_is_lost_whenever_we_die(seed: u64, events in 1_usize..40, jobs in 1_u32..6) {
        let mut state = seed | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut world = World::new(&[hook("a"), hook("b")]);
        let mut revisions = HashMap::new();
        let mut taken: HashMap<(String, u64), String> = HashMap::new();
        let mut answers: Vec<u64> = Vec::new();
        for _ in 0..4000 {
            answers.push(random(10));
        }
        let mut answer = answers.into_iter().cycle();
        for n in 0..events {
            let job = random(u64::from(jobs));
            let revision = revisions.entry(job).or_insert(1_u64);
            *revision += 1 + random(3);
            world.tell(&format!("J{job}"), *revision);
            let end = world.now.0 + random(HOUR as u64) as i64;
            let dies = random(3) == 0;
            world.run_until(end, &mut |row, delivery, _| {
                let outcome = match answer.next().unwrap() {
                    0..=3 => failed(),
                    4 => Outcome::Failed { after_ms: Some(90_000) },
                    _ => Outcome::Delivered,
                };
                if outcome == Outcome::Delivered {
                    let id = taken.entry((row.id.clone(), delivery.position)).or_insert_with(|| delivery.event.clone());
                    assert_eq!(*id, delivery.event);
                }
                outcome
            });
            if dies {
                // What is under way is taken by the receiver, and we die before we keep it.
                for (row, delivery) in world.machine.due(world.now) {
                    taken.entry((row.id.clone(), delivery.position)).or_insert_with(|| delivery.event.clone());
                }
                world.restart();
            }
            prop_assert!(world.rows["a"].cursor <= n as u64 + 1);
        }
        let end = world.now.0 + 4 * DAY;
        world.run_until(end, &mut |row, delivery, _| {
            taken.entry((row.id.clone(), delivery.position)).or_insert_with(|| delivery.event.clone());
            Outcome::Delivered
        });
        for id in ["a", "b"] {
            for position in 1..=events as u64 {
                let key = (id.to_owned(), position);
                let gave_up = world.state(id, position) == Some(DeliveryState::Failed);
                prop_assert!(taken.contains_key(&key) || gave_up, "{id} never got {position}");
                prop_assert!(!gave_up || world.deliveries[&key].round > 9, "given up before the schedule's end");
            }
        }
        prop_assert!(!world.told.iter().any(|announcement| announcement.kind == "webhook.disabled"));
    }
}
