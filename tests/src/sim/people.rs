//! Merchants who hand in sales, click twice, ask again, cancel, void and reverse; administrators who decide what nobody else can.
//!
//! Persons tell the truth about what they read, and what they read is the disk. Where they try what the system has to refuse,
//! the refusal is checked.

use taxdisk_agent::core::disk::commands::Command;
use taxdisk_agent::core::operation::{Order, OrderReport, What};
use taxdisk_broker::core::change::NumberKey;
use taxdisk_broker::core::types::{LineDecision, NumberDecision, Refusal, Submitted};
use taxdisk_broker::core::{Input, Prepared, Reply};
use taxdisk_drivers::disk::NumberStatus;
use taxdisk_protocol::api::{
    BuyerBody, CancelRequest, InvoiceBody, JobState, JobSubmission, LineBody, Operation, PairBody, ReissueRequest,
    SettleDecision, SettleReading, SettleRequest, TotalsBody,
};
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::link::{AttemptResult, IndexLine, Owner};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::undo::Undoing;

use super::broker::Waiter;
use super::dice::Dice;
use super::disk::{KIND, SELLER};
use super::knobs::{Fault, Knobs};
use super::trace::Lane;
use super::world::{Event, World};

/// Void and red jobs of one world at most.
const UNDOS: usize = 5;

/// A sale of a merchant.
#[derive(Debug)]
pub(super) struct Sale {
    pub(super) key: JobKey,
    /// What is handed in, each time the same.
    prepared: Prepared,
    /// The broker said so, and it was durable.
    pub(super) accepted: bool,
    /// The broker refused it for good.
    pub(super) refused: bool,
    asked_again: bool,
}

/// Who is outside.
#[derive(Debug)]
pub(super) struct People {
    pub(super) sales: Vec<Sale>,
    dice: Dice,
    undone: Vec<JobKey>,
    orders: u64,
    last_order: Option<(usize, usize, Order)>,
}

/// A sale of one coffee.
pub fn submission(serial: &str, buyer: &str) -> JobSubmission {
    JobSubmission {
        seller: SELLER.to_owned(),
        serial: serial.to_owned(),
        kind: KIND.to_string(),
        invoice: Some(InvoiceBody {
            buyer: BuyerBody { name: buyer.to_owned(), ..BuyerBody::default() },
            lines: vec![LineBody {
                name: "*餐饮*咖啡".to_owned(),
                goods_code: Some("3070401000000000000".to_owned()),
                quantity: Some("1".to_owned()),
                price: Some("200.00".to_owned()),
                net: "200.00".to_owned(),
                rate: "0.13".to_owned(),
                tax: "26.00".to_owned(),
                ..LineBody::default()
            }],
            totals: TotalsBody { net: "200.00".to_owned(), tax: "26.00".to_owned(), gross: "226.00".to_owned() },
            clerk: "王五".to_owned(),
            ..InvoiceBody::default()
        }),
        ..JobSubmission::default()
    }
}

/// Its job.
pub fn key_of(serial: &str) -> JobKey {
    JobKey { seller: SELLER.parse().unwrap(), serial: serial.parse().unwrap() }
}

impl People {
    pub(super) fn new(knobs: &Knobs, dice: Dice) -> People {
        // Half of them are equal but for the serial number: two sold coffees.
        let sale = |index: u16| {
            let serial = format!("S{index}");
            let buyer = if index.is_multiple_of(2) { "个人".to_owned() } else { format!("客户{index}") };
            Sale::new(submission(&serial, &buyer))
        };
        let sales = (0..knobs.jobs).map(sale).collect();
        People { sales, dice, undone: Vec::new(), orders: 0, last_order: None }
    }
}

impl Sale {
    fn new(submission: JobSubmission) -> Sale {
        let key = key_of(&submission.serial);
        Sale { key, prepared: submission.into(), accepted: false, refused: false, asked_again: false }
    }
}

impl World {
    pub(super) fn look_after_sale(&mut self, index: usize) {
        let sale = &self.people.sales[index];
        if sale.refused {
            return;
        }
        if !sale.accepted {
            let (prepared, serial) = (sale.prepared.clone(), sale.key.serial.clone());
            let clicks = 1 + usize::from(self.people.dice.chance(150));
            for _ in 0..clicks {
                self.note(Lane::People, || format!("{serial} is handed in"));
                self.hand_in(Input::Submit(Box::new(prepared.clone())), Waiter::Sale(index, false));
            }
            // Without an answer the same is sent again, under the same serial number.
            let ms = self.people.dice.between(5_000, 15_000);
            return self.after(ms, Event::Sale(index));
        }
        if self.calm || sale.asked_again {
            return;
        }
        self.people.sales[index].asked_again = true;
        if self.people.dice.chance(250) {
            let prepared = self.people.sales[index].prepared.clone();
            self.hand_in(Input::Submit(Box::new(prepared)), Waiter::Sale(index, false));
        }
        let mut submission = self.people.sales[index].prepared.submission.clone();
        let known = self.broker.store.jobs.contains_key(&self.people.sales[index].key);
        if known
            && self.people.dice.chance(150)
            && let Some(invoice) = &mut submission.invoice
        {
            invoice.buyer.name.push('改');
            self.hand_in(Input::Submit(Box::new(submission.into())), Waiter::Sale(index, true));
        }
    }

    pub(super) fn sale_answered(&mut self, index: usize, other_content: bool, reply: Result<Reply, Refusal>) {
        let key = self.people.sales[index].key.clone();
        match reply {
            // What set the seller up was in a commit that got lost, and nobody was told that it was done.
            Err(refusal) if refusal.code == "seller_unknown" => self.set_up_seller(),
            Err(refusal) if other_content && refusal.code == "conflict" => self.trace.state("conflict"),
            reply if other_content => self.violate("I6", Some(key), format!("other content was answered {reply:?}")),
            Ok(Reply::Submitted(submitted)) => {
                if let Submitted::Repeated(_) = submitted {
                    self.trace.state("repeated");
                }
                if !std::mem::replace(&mut self.people.sales[index].accepted, true) && !self.calm {
                    let ms = self.people.dice.between(1_000, 120_000);
                    self.after(ms, Event::Sale(index));
                }
            }
            Err(refusal) if self.people.sales[index].prepared.submission.operation != Operation::Issue => {
                self.trace.state("undo_refused");
                self.note(Lane::People, || format!("{}: refused, {refusal}", key.serial));
                self.people.sales[index].refused = true;
            }
            reply => self.violate("I6", Some(key), format!("the same content was answered {reply:?}")),
        }
    }

    /// The ledger went back: merchants send again what they have, whatever was answered before.
    pub(super) fn forget_acceptances(&mut self) {
        for index in 0..self.people.sales.len() {
            let sale = &mut self.people.sales[index];
            if sale.accepted || sale.refused {
                (sale.accepted, sale.refused) = (false, false);
                let ms = self.people.dice.between(30_000, 90_000);
                self.after(ms, Event::Sale(index));
            }
        }
    }

    pub(super) fn people_look(&mut self) {
        let ms = self.people.dice.between(20_000, 40_000);
        self.after(ms, Event::Person);
        if !self.broker.is_up() {
            return;
        }
        for device in 0..self.devices.len() {
            if self.devices[device].current().is_none() && (self.calm || self.people.dice.chance(400)) {
                self.note(Lane::People, || format!("a new roll for disk {device}"));
                self.devices[device].add_roll();
            }
            if self.devices[device].locked && self.people.dice.chance(300) {
                self.devices[device].locked = false;
            }
        }
        if self.calm || self.people.dice.chance(400) {
            self.reconcile();
        }
        if self.calm {
            self.settle_all();
            self.flush_acks();
            if self.unrest().is_none() {
                self.done = true;
            }
            return;
        }
        if self.knobs.on(Fault::Settle) {
            self.settle_one();
        }
        if self.knobs.on(Fault::Cancel) {
            self.cancel_one();
        }
        self.reissue_one();
        if self.knobs.on(Fault::Undo) && self.people.undone.len() < UNDOS {
            self.undo_one();
        }
        if self.knobs.on(Fault::BlankVoid) {
            self.void_blank();
        }
    }

    fn keys_in(&self, states: &[JobState]) -> Vec<JobKey> {
        let jobs = self.broker.store.jobs.values().filter(|job| states.contains(&job.state));
        jobs.map(|job| job.key.clone()).collect()
    }

    fn settle_all(&mut self) {
        for key in self.keys_in(&[JobState::Unsettled]) {
            let Some(job) = self.broker.store.jobs.get(&key) else { continue };
            // What the system finds out by itself is left to it.
            if self.broker_time().since_ms(job.changed_at) > 120_000 || self.people.dice.chance(100) {
                self.settle(&key);
            }
        }
    }

    fn settle_one(&mut self) {
        let unsettled = self.keys_in(&[JobState::Unsettled]);
        let Some(key) = self.people.dice.pick(&unsettled).cloned() else { return };
        if self.people.dice.chance(500) {
            self.settle_wrongly(&key);
        } else {
            self.settle(&key);
        }
    }

    /// What a person reads as the next blank number.
    fn read_current(&mut self, device: usize) -> PairBody {
        let current = self.devices[device].current();
        let after_last = || self.devices[device].ledger.keys().next_back().and_then(|last| last.successor());
        PairBody::from(current.or_else(after_last).unwrap_or_else(|| "0110020001 00000000".parse().unwrap()))
    }

    /// Reads the disk as a person does: it is switched off and on, so that nothing old can run, and then looked at.
    fn settle(&mut self, key: &JobKey) {
        let Some(job) = self.broker.store.jobs.get(key).cloned() else { return };
        let Some(open) = job.open_attempt() else { return };
        let Some(device) = self.device_of(open.disk.as_str()) else { return };
        self.devices[device].power_cycle(self.now);
        self.look_at_disk(device);
        let current = self.read_current(device);
        let (here, elsewhere): (Vec<_>, Vec<_>) = self.invoices_of(key).into_iter().partition(|(at, _)| *at == device);
        let ours = here.first().map(|(_, pair)| *pair);
        // The key of a remembered attempt begins with its job.
        let first = ("line", format!("{key}/"));
        let remembers = |(row, _): (&(&str, String), &String)| row.0 == "line" && row.1.starts_with(&first.1);
        let is_remembered = self.broker.store.reconcile.range(first.clone()..).next().is_some_and(remembers);
        // A number of unknown origin is given to the job once no attempt of it is open: until then it holds the job.
        let mut unknown = self.broker.store.reconcile.iter().filter(|((what, _), _)| *what == "number");
        let waits = unknown.any(|(_, body)| elsewhere.iter().any(|(_, pair)| body.contains(&pair.number.to_string())));
        if !elsewhere.is_empty() && (self.is_recounting() || !(is_remembered || waits)) {
            // The ledger forgot an attempt at another disk, and that one comes first.
            return;
        }
        let status = |pair: &NumberPair| self.devices[device].ledger.get(pair).map(|entry| entry.status);
        let (decision, pair, expected) = match (job.operation, ours) {
            (Operation::Void, _) => {
                let original = job.original.as_ref().and_then(|original| original.pair());
                match original.as_ref().and_then(status) {
                    Some(NumberStatus::PositiveVoid | NumberStatus::NegativeVoid) => {
                        (SettleDecision::Issued, None, SettleReading::Void)
                    }
                    _ => (SettleDecision::NotIssued, None, SettleReading::Valid),
                }
            }
            (_, Some(pair)) => (SettleDecision::Issued, Some(PairBody::from(pair)), SettleReading::PresentOurs),
            (_, None) if open.expected.as_ref().and_then(status).is_some() => {
                (SettleDecision::NotIssued, None, SettleReading::PresentForeign)
            }
            (_, None) => (SettleDecision::NotIssued, None, SettleReading::Absent),
        };
        self.note(Lane::People, || format!("a person settles {}: {decision:?} {pair:?}, {expected:?}", key.serial));
        let reason = "looked at the disk".to_owned();
        let request = SettleRequest { decision, pair, current, expected, tax_office: None, reason, revision: job.revision };
        self.hand_in(Input::Settle(key.clone(), request, "admin".to_owned()), Waiter::Person("settle"));
    }

    /// What has to be refused, whatever the disk holds.
    fn settle_wrongly(&mut self, key: &JobKey) {
        let Some(job) = self.broker.store.jobs.get(key).cloned() else { return };
        let Some(open) = job.open_attempt().filter(|_| job.operation == Operation::Issue) else { return };
        let Some(device) = self.device_of(open.disk.as_str()) else { return };
        let current = self.read_current(device);
        let reason = "guessed".to_owned();
        let right = SettleRequest {
            decision: SettleDecision::Issued,
            pair: None,
            current: current.clone(),
            expected: SettleReading::PresentOurs,
            tax_office: None,
            reason,
            revision: job.revision,
        };
        let other = self
            .broker
            .store
            .numbers
            .iter()
            .find(|((disk, ..), owner)| disk == &open.disk && !matches!(owner, Owner::Ours(attempt) if attempt.key == *key));
        let other = other.map(|((_, _, pair), _)| PairBody::from(*pair));
        let (what, request) = match (self.people.dice.below(4), other) {
            (0, _) => {
                let (decision, expected) = (SettleDecision::NotIssued, SettleReading::Absent);
                ("an old revision", SettleRequest { decision, expected, revision: job.revision - 1, ..right })
            }
            (1, _) => ("the next blank as issued", SettleRequest { pair: Some(current), ..right }),
            (2, Some(pair)) => ("somebody else's number", SettleRequest { pair: Some(pair), ..right }),
            _ => ("ours and not issued", SettleRequest { decision: SettleDecision::NotIssued, ..right }),
        };
        self.note(Lane::People, || format!("a person settles {} wrongly: {what}", key.serial));
        self.hand_in(Input::Settle(key.clone(), request, "admin".to_owned()), Waiter::MustBeRefused(format!("{what}, {key}")));
    }

    fn cancel_one(&mut self) {
        let keys = self.keys_in(&[JobState::Queued, JobState::Assigned, JobState::Unsettled]);
        let Some(key) = self.people.dice.pick(&keys).cloned() else { return };
        if self.people.dice.chance(500) {
            self.note(Lane::People, || format!("{} is to be cancelled", key.serial));
            let request = CancelRequest { reason: "a mistake".to_owned() };
            self.hand_in(Input::Cancel(key, request, "merchant".to_owned()), Waiter::Person("cancel"));
        }
    }

    fn reissue_one(&mut self) {
        let keys = self.keys_in(&[JobState::Failed, JobState::Cancelled, JobState::Unsettled]);
        let Some(key) = self.people.dice.pick(&keys).cloned() else { return };
        if self.people.dice.chance(300) {
            self.note(Lane::People, || format!("{} is to be issued again", key.serial));
            let request = ReissueRequest { reason: "once more".to_owned(), invoice: None };
            self.hand_in(Input::Reissue(key, request, "merchant".to_owned()), Waiter::Person("re-issue"));
        }
    }

    fn undo_one(&mut self) {
        let jobs = self.broker.store.jobs.values().filter(|job| job.operation == Operation::Issue);
        let issued: Vec<(JobKey, PairBody)> = jobs
            .filter_map(|job| {
                let issued = job.issued.as_ref()?;
                Some((job.key.clone(), PairBody { code: issued.code.clone(), number: issued.number.clone() }))
            })
            .collect();
        let Some((key, original)) = self.people.dice.pick(&issued).cloned() else { return };
        // A second one of the same original now and then: it must be refused, or fail.
        for _ in 0..1 + usize::from(self.people.dice.chance(300)) {
            let serial = format!("U{}", self.people.undone.len());
            let void = self.people.dice.chance(500);
            let mut job = submission(&serial, "个人");
            job.original = Some(original.clone());
            if void {
                (job.operation, job.invoice) = (Operation::Void, None);
            } else if let Some(invoice) = &mut job.invoice {
                job.operation = Operation::Red;
                let line = &mut invoice.lines[0];
                (line.quantity, line.price) = (None, None);
                (line.net, line.tax) = ("-200.00".to_owned(), "-26.00".to_owned());
                let (net, tax, gross) = ("-200.00".to_owned(), "-26.00".to_owned(), "-226.00".to_owned());
                invoice.totals = TotalsBody { net, tax, gross };
            }
            self.people.sales.push(Sale::new(job));
            self.people.undone.push(key.clone());
            let sale = self.people.sales.len() - 1;
            let ms = self.people.dice.below(3_000);
            self.after(ms, Event::Sale(sale));
        }
    }

    fn void_blank(&mut self) {
        if let Some((pc, port, order)) = self.people.last_order.take().filter(|_| self.people.dice.chance(500)) {
            // The same click again.
            return self.order(pc, port, order);
        }
        let pcs: Vec<usize> = (0..self.pcs.len()).filter(|pc| self.pcs[*pc].is_awake()).collect();
        let Some(pc) = self.people.dice.pick(&pcs).copied() else { return };
        let port = self.people.dice.below(self.devices.len() as u64) as usize;
        let id = format!("order {}", self.people.orders);
        self.people.orders += 1;
        let what = What::BlankVoid { kind: KIND, operator: "王五".to_owned() };
        let order = Order { id, what, dry_run: false, anyway: false, remote: None };
        self.order(pc, port, order.clone());
        if self.people.dice.chance(300) {
            self.order(pc, port, order.clone());
        }
        self.people.last_order = Some((pc, port, order));
    }

    fn order(&mut self, pc: usize, port: usize, order: Order) {
        if self.pcs[pc].is_awake() {
            self.note(Lane::People, || format!("PC {pc}, port {port}: {} ({:?})", order.id, order.what));
            self.command(pc, port, Command::Order(order));
        }
    }

    pub(super) fn order_told(&mut self, report: OrderReport) {
        self.note(Lane::People, || format!("{}: {:?}", report.id, report.verdict));
    }

    /// What a ledger that went back asks people.
    fn reconcile(&mut self) {
        let rows: Vec<((&'static str, String), String)> =
            self.broker.store.reconcile.iter().map(|(key, body)| (key.clone(), body.clone())).collect();
        for ((what, _), body) in rows {
            let Ok(body) = serde_json::from_str::<serde_json::Value>(&body) else { continue };
            match what {
                "number" => self.decide_number(&body),
                "line" => self.decide_line(&body),
                _ => {}
            }
        }
    }

    fn decide_number(&mut self, body: &serde_json::Value) {
        let (Some(disk), Ok(pair)) = (
            body["disk"].as_str().and_then(|disk| disk.parse::<DiskNumber>().ok()),
            serde_json::from_value::<NumberPair>(body["seen"]["pair"].clone()),
        ) else {
            return;
        };
        let Some(device) = self.device_of(disk.as_str()) else { return };
        let by = self.devices[device].ledger.get(&pair).and_then(|entry| entry.by.clone());
        let job = match by {
            None => None,
            Some(by) => match self.broker.store.jobs.get(&by.key).map(|job| job.state) {
                Some(JobState::Queued | JobState::Failed | JobState::Cancelled) | None => Some(by.key),
                // It is asked again when the job is there, or has ended.
                _ => return,
            },
        };
        self.note(Lane::People, || format!("a person says that {pair} is that of {job:?}"));
        let number = NumberKey { disk, kind: KIND, pair };
        let decision = NumberDecision { number, job, forgotten: true, reason: "looked at the paper".to_owned() };
        self.hand_in(Input::DecideNumber(Box::new(decision)), Waiter::Person("number"));
    }

    fn decide_line(&mut self, body: &serde_json::Value) {
        let Ok(line) = serde_json::from_value::<IndexLine>(body["line"].clone()) else { return };
        if !matches!(line.result, AttemptResult::Unsettled { .. }) {
            return;
        }
        let Some(device) = body["disk"].as_str().and_then(|disk| self.device_of(disk)) else { return };
        self.devices[device].power_cycle(self.now);
        self.look_at_disk(device);
        let key = line.attempt.key.clone();
        let invoices = self.invoices_of(&key);
        // The broker shows whose a number is: that of another attempt is not this one's.
        let number = &self.devices[device].number;
        let is_free = |pair: NumberPair| match self.broker.store.numbers.get(&(number.clone(), KIND, pair)) {
            Some(Owner::Ours(owner)) => *owner == line.attempt,
            _ => true,
        };
        // What a void was to undo is void, or it is not.
        let status = |pair: &NumberPair| self.devices[device].ledger.get(pair).map(|entry| entry.status);
        let is_void = |pair: &NumberPair| status(pair) == Some(NumberStatus::PositiveVoid);
        let original = line.undoing.and_then(Undoing::original);
        // A red expects a number of its own.
        let original = original.filter(|pair| line.expected.is_none_or(|expected| expected == *pair));
        let issued = invoices.iter().find(|(at, pair)| *at == device && is_free(*pair)).map(|(_, pair)| *pair);
        let issued = issued.or(original.filter(is_void));
        if issued.is_none() && !invoices.is_empty() && self.is_recounting() {
            return;
        }
        self.note(Lane::People, || format!("a person says that the forgotten attempt of {} issued {issued:?}", key.serial));
        let attempt = Some(line.attempt.attempt);
        let disk = body["disk"].as_str().and_then(|disk| disk.parse().ok());
        let decision = LineDecision { attempt, disk, issued, reason: "looked at the disk".to_owned() };
        self.hand_in(Input::DecideLine(key, decision), Waiter::Person("line"));
    }

    pub(super) fn is_recounting(&self) -> bool {
        self.broker.store.reconcile.keys().any(|(what, _)| *what == "disk")
    }

    /// What is left that could still change by itself; `None`: nothing.
    pub(super) fn unrest(&self) -> Option<String> {
        if let Some(sale) = self.people.sales.iter().find(|sale| !sale.accepted && !sale.refused) {
            return Some(format!("{} was neither accepted nor refused", sale.key.serial));
        }
        if let Some(job) = self.broker.store.jobs.values().find(|job| job.is_live()) {
            return Some(format!("{} is {:?}", job.key.serial, job.state));
        }
        let reconcile = self.broker.store.reconcile.iter();
        if let Some(((what, which), line)) = reconcile.clone().find(|((what, _), _)| matches!(*what, "disk" | "number")) {
            return Some(format!("{what} {which} is to be reconciled: {line:?}"));
        }
        let mut pcs = self.pcs.iter().enumerate().filter(|(_, pc)| pc.is_up());
        pcs.find(|(_, pc)| !pc.is_quiet()).map(|(at, _)| format!("PC {at} has frames that were not acknowledged"))
    }
}
