//! Codes made by hand and reservations: one code and one reservation are one invoice, whoever clicks how often.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rust_decimal::Decimal;
use taxdisk_protocol::api::{Operation, Priority};
use taxdisk_protocol::kind::InvoiceKind;

use super::claim::{self, Buyer, Claimed, Receivers};
use super::codes::{self, Cancelled, Made, Standing};
use super::hold::{HOLD_MS, Hold};
use super::insert::{self, Batch, Content, Incoming, Part, Verdict};
use super::links::{Kind, LinkKey};
use super::request::{Delivery, Phase, QrCode};
use super::reservations::*;
use super::task::{Replaced, Stepped, Task, TaskKind, TaskState, replace, replacement_serial};
use crate::document::submission::{self, Context};
use crate::document::{Document, canonical, derive};
use crate::files::customers::BuyerType;
use crate::files::{Entry as _, Goods};
use crate::ledger::{Clock, Ledger};
use crate::model::Suspected;
use crate::store::{self, Readers};

const SELLER: &str = "91110000MA0000001L";
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Breaks one thing of a form.
type Breaks = fn(&mut Sent);
/// Breaks one thing of what a code on the wall asks.
type Spoils = fn(&mut Setup);

struct Bench {
    ledger: Ledger,
    readers: Readers,
    now: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

/// Runs a step of the core in the writer.
macro_rules! run {
    ($bench:expr, |$session:ident| $step:expr) => {
        $bench.ledger.run(move |$session| Box::pin(async move { $step.await })).await.unwrap()
    };
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let opened = store::open(&format!("sqlite:{}", folder.path().join("portal.db").display())).await.unwrap();
    let now = Arc::new(AtomicI64::new(1_000));
    let told = now.clone();
    let clock: Clock = Arc::new(move || told.load(Ordering::SeqCst));
    Bench { ledger: Ledger::start(opened.writer, clock), readers: opened.readers, now, _folder: folder }
}

fn coffee() -> Goods {
    let cells = ["咖啡", "", "杯", "", "0.06", "1030307010000000000", "0", "", ""];
    Goods::read(&cells.map(str::to_owned)).unwrap()
}

/// One invoice over so much, as the console asks for it.
fn batch(serial: &str, gross: i64, buyer: &str, qr: bool) -> Batch {
    let gross = Decimal::new(gross, 2);
    let mut document =
        Document { serial: serial.to_owned(), kind: 1, gross, lines: vec![coffee().line(None, gross)], ..Document::default() };
    document.head.insert("XSF_NSRSBH".to_owned(), SELLER.to_owned());
    if !buyer.is_empty() {
        document.head.insert("GMF_MC".to_owned(), buyer.to_owned());
    }
    let canonical = canonical::text("blue", &document);
    let document = derive::derive(document).unwrap();
    let context = Context {
        job_serial: serial.to_owned(),
        seller: SELLER.to_owned(),
        issue_point: None,
        persons: ["甲".to_owned(), String::new(), String::new()],
        operation: Operation::Issue,
        original: None,
        priority: Priority::Waiting,
    };
    let job = submission::submission(&document, InvoiceKind::ElectronicOrdinary, &context);
    let part = Part { serial: serial.to_owned(), orgcode: "A".to_owned(), document, job, complete: !buyer.is_empty() };
    let qr = qr.then(|| QrCode { code: "123456789012".to_owned() });
    let incoming = Incoming {
        serial: serial.to_owned(),
        seller: SELLER.to_owned(),
        canonical,
        content: Content::Blue(Ok(vec![part])),
        delivery: Delivery::default(),
        qr,
    };
    Batch {
        tenant: "one".to_owned(),
        appid: "console".to_owned(),
        interface: "console",
        documents: vec![incoming],
        audited: true,
        suspected: Suspected::Off,
        reissue_on_repeat: false,
    }
}

fn guest() -> Buyer {
    Buyer { name: "张三".to_owned(), ..Buyer::default() }
}

fn link_key() -> LinkKey {
    LinkKey::from_text(&"ab".repeat(32)).unwrap()
}

async fn made(bench: &Bench, serial: &str) -> Made {
    let batch = batch(serial, 10_600, "", true);
    run!(bench, |session| codes::make(session, &batch, "ann", &link_key(), 1_000_000))
}

async fn cancelled(bench: &Bench, tenant: &'static str) -> Cancelled {
    run!(bench, |session| codes::cancel(session, tenant, "C1", "ann"))
}

async fn claimed(bench: &Bench) -> Claimed {
    let token = link_key().token(Kind::Code, "one", "C1", 1);
    run!(bench, |session| claim::claim(session, &token, &guest(), &Receivers::default()))
}

#[tokio::test]
async fn one_code_is_one_invoice_and_a_form_sent_again_never_revives_it() {
    let bench = bench().await;
    for _ in 0..3 {
        let Made::Code(request, Some(_)) = made(&bench, "C1").await else { panic!("a code") };
        assert_eq!((request.phase, Standing::of(&request)), (Phase::Buyer, Standing::Unused));
    }
    let mut reader = bench.readers.get().await.unwrap();
    assert_eq!(reader.codes("one", None, (i64::MAX, ""), 10).await.unwrap().len(), 1);
    assert!(reader.codes("two", None, (i64::MAX, ""), 10).await.unwrap().is_empty(), "another tenant's codes");
    assert!(matches!(cancelled(&bench, "two").await, Cancelled::Unknown), "another tenant's code");
    assert!(matches!(cancelled(&bench, "one").await, Cancelled::Done));
    assert!(matches!(cancelled(&bench, "one").await, Cancelled::Done), "twice is once");
    let Made::Code(request, Some(_)) = made(&bench, "C1").await else { panic!("a code") };
    assert_eq!(Standing::of(&request), Standing::Cancelled, "the form sent again does not revive it");
    let Claimed::Done(request) = claimed(&bench).await else { panic!("a code") };
    assert_eq!(request.phase, Phase::Deleted, "nobody fills in a cancelled code");
    assert!(reader.due_requests(i64::MAX - 1, 10).await.unwrap().is_empty(), "nothing goes to a disk");
}

#[tokio::test]
async fn a_buyer_who_cannot_be_printed_claims_nothing() {
    let bench = bench().await;
    made(&bench, "C1").await;
    let token = link_key().token(Kind::Code, "one", "C1", 1);
    let odd = Buyer { taxpayer_number: "no number".to_owned(), ..guest() };
    let tried = run!(bench, |session| claim::claim(session, &token, &odd, &Receivers::default()));
    let Claimed::Wrong(faults) = tried else { panic!("{tried:?}") };
    assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), ["GMF_NSRSBH"]);
    let mut reader = bench.readers.get().await.unwrap();
    let request = reader.request("one", "C1").await.unwrap().unwrap();
    assert_eq!((request.phase, request.document.text("GMF_MC")), (Phase::Buyer, ""), "as if nobody had tried");
    assert!(reader.due_requests(i64::MAX - 1, 10).await.unwrap().is_empty(), "nothing goes to a disk");
    let Claimed::Done(request) = claimed(&bench).await else { panic!("a code") };
    assert_eq!(request.phase, Phase::Forwarding, "the code is as good as before");
}

#[tokio::test]
async fn a_sale_that_is_no_code_of_the_console_is_not_cancelled_there() {
    let bench = bench().await;
    let of_a_till = batch("T1", 10_600, "", true);
    let taken = run!(bench, |session| insert::insert(session, &of_a_till));
    assert!(matches!(taken.as_slice(), [Verdict::Taken(_)]), "{taken:?}");
    let cancelled = run!(bench, |session| codes::cancel(session, "one", "T1", "ann"));
    assert!(matches!(cancelled, Cancelled::Unknown), "{cancelled:?}");
    let request = bench.readers.get().await.unwrap().request("one", "T1").await.unwrap().unwrap();
    assert_eq!(request.phase, Phase::Buyer, "its buyer may still fill it in");
}

#[tokio::test]
async fn two_tenants_with_one_seller_have_one_job_of_a_serial_number() {
    let bench = bench().await;
    let first = batch("J1", 10_600, "张三", false);
    let taken = run!(bench, |session| insert::insert(session, &first));
    assert!(matches!(taken.as_slice(), [Verdict::Taken(_)]), "{taken:?}");
    let other = Batch { tenant: "two".to_owned(), ..batch("J1", 10_600, "张三", false) };
    let refused = run!(bench, |session| insert::insert(session, &other));
    assert!(matches!(refused.as_slice(), [Verdict::Refused(refusal)] if refusal.subcode == "SERIAL_COLLISION"), "{refused:?}");
    assert_eq!(bench.readers.get().await.unwrap().due_requests(i64::MAX - 1, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_comes_first_of_consumer_and_merchant_wins() {
    for round in 0..20 {
        let bench = bench().await;
        made(&bench, "C1").await;
        let (done, other) = if round % 2 == 0 {
            tokio::join!(cancelled(&bench, "one"), claimed(&bench))
        } else {
            let (other, done) = tokio::join!(claimed(&bench), cancelled(&bench, "one"));
            (done, other)
        };
        let Claimed::Done(seen) = other else { panic!("a code") };
        let request = bench.readers.get().await.unwrap().request("one", "C1").await.unwrap().unwrap();
        match done {
            Cancelled::Done => assert_eq!((request.phase, seen.phase), (Phase::Deleted, Phase::Deleted)),
            Cancelled::TooLate(_) => assert_eq!((request.phase, seen.phase), (Phase::Forwarding, Phase::Forwarding)),
            Cancelled::Unknown => panic!("a code"),
        }
    }
    let bench = bench().await;
    made(&bench, "C1").await;
    claimed(&bench).await;
    assert!(matches!(cancelled(&bench, "one").await, Cancelled::TooLate(_)), "filled in before");
}

fn setup() -> Setup {
    Setup {
        token: "wall".to_owned(),
        tenant: "one".to_owned(),
        orgcode: "A".to_owned(),
        name: "前台".to_owned(),
        items: vec![Item { goods: coffee(), pricing: Pricing::Amount }, Item { goods: coffee(), pricing: Pricing::Quantity }],
        limit: Decimal::new(100_000, 2),
        remark: "谢谢".to_owned(),
        numbered: true,
        fields: vec![Field { label: "房号".to_owned(), required: true }],
        created_at: 1,
        disabled_at: None,
    }
}

fn sent(form_key: &str, amount: i64) -> Sent {
    Sent {
        form_key: form_key.to_owned(),
        kind: BuyerType::Person,
        buyer: guest(),
        phone: "13800000000".to_owned(),
        mail: "Guest_1@b.example".to_owned(),
        amounts: vec![(None, Some(Decimal::new(amount, 2))), (Some(Decimal::from(3)), Some(Decimal::new(990, 2)))],
        answers: vec!["808".to_owned()],
    }
}

async fn reserve_as(bench: &Bench, sent: Sent) -> Reserved {
    run!(bench, |session| reserve(session, "wall", &sent))
}

async fn reserved(bench: &Bench) -> Reservation {
    let setup = setup();
    run!(bench, |session| configure(session, &setup)).unwrap();
    let Reserved::Done(reservation) = reserve_as(bench, sent(KEY, 10_000)).await else { panic!("reserved") };
    *reservation
}

#[tokio::test]
async fn a_form_sent_a_hundred_times_is_one_reservation() {
    let bench = bench().await;
    let first = reserved(&bench).await;
    assert_eq!((first.number, first.lines[1].gross), (1, Some(Decimal::new(2970, 2))));
    let mut waits = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let ledger = bench.ledger.clone();
        waits.spawn(async move {
            let sent = sent("BBBBBBBBBBBBBBBBBBBBBB", 10_000);
            ledger.run(move |session| Box::pin(async move { reserve(session, "wall", &sent).await })).await.unwrap()
        });
    }
    while let Some(done) = waits.join_next().await {
        let Reserved::Done(reservation) = done.unwrap() else { panic!("reserved") };
        assert_eq!(reservation.number, 2);
    }
    let search = |word: &str, tenant: &str| Search {
        tenant: tenant.to_owned(),
        orgcode: "A".to_owned(),
        word: word.to_owned(),
        used: Some(false),
        before: i64::MAX,
        limit: 10,
    };
    let mut reader = bench.readers.get().await.unwrap();
    for (word, found) in [("", 2), ("张", 2), ("0000000", 2), ("guest_1@", 2), ("guestx1", 0), ("2", 1), ("%", 0)] {
        assert_eq!(reader.reservations(&search(word, "one")).await.unwrap().len(), found, "{word:?}");
    }
    assert!(reader.reservations(&search("", "two")).await.unwrap().is_empty(), "another tenant's guests");
    assert!(reader.due_requests(i64::MAX - 1, 10).await.unwrap().is_empty(), "nothing is issued without a clerk");
}

#[tokio::test]
async fn an_organisation_has_so_many_codes_on_its_walls_and_so_many_guests_waiting() {
    let bench = bench().await;
    reserved(&bench).await;
    for number in 1..MAX_SETUPS {
        let setup = Setup { token: format!("wall-{number}"), ..setup() };
        run!(bench, |session| configure(session, &setup)).unwrap();
    }
    let more = Setup { token: "one too many".to_owned(), ..setup() };
    let refused = run!(bench, |session| configure(session, &more)).unwrap_err();
    assert_eq!(refused[0].rule, "too_many");
    let elsewhere = Setup { token: "of another organisation".to_owned(), orgcode: "B".to_owned(), ..setup() };
    run!(bench, |session| configure(session, &elsewhere)).unwrap();
    let known = Setup { name: "后门".to_owned(), ..setup() };
    run!(bench, |session| configure(session, &known)).unwrap();
    // What waits is counted in the store; the list is filled there, because forms would take a while.
    let first = bench.readers.get().await.unwrap().reservations(&all_of("A")).await.unwrap().remove(0);
    let filler = first.clone();
    run!(bench, |session| fill(session, &filler));
    let other = "CCCCCCCCCCCCCCCCCCCCCC";
    assert!(matches!(reserve_as(&bench, sent(other, 10_000)).await, Reserved::Full));
    assert!(matches!(reserve_as(&bench, sent(KEY, 10_000)).await, Reserved::Done(_)), "a form that is known is answered");
    let used = Reservation { used: Some(Used { person: "ann".to_owned(), at: 1, serial: String::new() }), ..first };
    run!(bench, |session| session.db.put_reservation(&used));
    let Reserved::Done(last) = reserve_as(&bench, sent(other, 10_000)).await else { panic!("there is room again") };
    assert_eq!(last.number, MAX_UNUSED + 1);
}

/// Reservations until no more may wait.
async fn fill(session: &mut crate::ledger::Session, like: &Reservation) -> Result<(), store::StoreError> {
    for number in 2..=MAX_UNUSED {
        let serial = format!("F{number}");
        let one = Reservation { form_key: serial.clone(), serial, number, ..like.clone() };
        session.db.put_reservation(&one).await?;
    }
    Ok(())
}

fn all_of(orgcode: &str) -> Search {
    Search { tenant: "one".to_owned(), orgcode: orgcode.to_owned(), word: String::new(), used: None, before: i64::MAX, limit: 10 }
}

#[tokio::test]
async fn a_form_is_judged_and_a_code_taken_down_takes_nothing_new() {
    let bench = bench().await;
    reserved(&bench).await;
    let other = "CCCCCCCCCCCCCCCCCCCCCC";
    let limit = 100_000 - 2_970;
    let Reserved::Wrong(faults) = reserve_as(&bench, sent(other, limit + 1)).await else { panic!("above the limit") };
    assert_eq!(faults[0].rule, "amount_limit");
    let wrongs: [(Breaks, &str); 6] = [
        (|sent| sent.amounts[0].1 = Some(Decimal::new(1, 3)), "items[0]"),
        (|sent| sent.amounts[1].0 = Some(Decimal::from(-3)), "items[1]"),
        (|sent| sent.answers.clear(), "answers[0]"),
        (|sent| sent.kind = BuyerType::Enterprise, "GMF_NSRSBH"),
        (|sent| (sent.phone, sent.mail) = (String::new(), String::new()), "PHONE"),
        (|sent| sent.form_key = "short".to_owned(), "form_key"),
    ];
    for (spoil, field) in wrongs {
        let mut sent = sent(other, limit);
        spoil(&mut sent);
        let Reserved::Wrong(faults) = reserve_as(&bench, sent).await else { panic!("{field}") };
        assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), [field]);
    }
    for elsewhere in [Setup { tenant: "two".to_owned(), ..setup() }, Setup { orgcode: "B".to_owned(), ..setup() }] {
        let refused = run!(bench, |session| configure(session, &elsewhere)).unwrap_err();
        assert_eq!(refused[0].rule, "unknown", "a code on the wall stays whose it is");
    }
    let second = Setup { token: "second".to_owned(), ..setup() };
    run!(bench, |session| configure(session, &second)).unwrap();
    let known = sent(KEY, 10_000);
    let asked = run!(bench, |session| reserve(session, "second", &known));
    assert!(matches!(asked, Reserved::Unknown), "a form's key shows nothing at another code");
    assert!(!run!(bench, |session| disable(session, "two", "wall")), "another tenant's code");
    assert!(run!(bench, |session| disable(session, "one", "wall")));
    assert!(matches!(reserve_as(&bench, sent(other, limit)).await, Reserved::Disabled));
    let stale = setup();
    assert_eq!(run!(bench, |session| configure(session, &stale)).unwrap_err()[0].rule, "disabled", "a form opened before");
    assert!(matches!(reserve_as(&bench, sent(other, limit)).await, Reserved::Disabled), "for ever");
    assert!(matches!(reserve_as(&bench, sent(KEY, limit)).await, Reserved::Done(_)), "what was reserved stays");
}

async fn held(bench: &Bench, serial: &str, person: &'static str) -> Taken {
    let serial = serial.to_owned();
    run!(bench, |session| hold(session, "one", &serial, person))
}

async fn issued(bench: &Bench, serial: &str, gross: i64, person: &'static str) -> Issued {
    let batch = batch(serial, gross, "张三", false);
    run!(bench, |session| issue(session, &batch, person, None))
}

#[tokio::test]
async fn the_second_clerk_sees_who_has_a_reservation_until_it_ends() {
    let bench = bench().await;
    let serial = reserved(&bench).await.serial;
    assert!(matches!(issued(&bench, &serial, 10_600, "ann").await, Issued::NotHeld), "nobody looked at it");
    assert!(matches!(held(&bench, &serial, "ann").await, Taken::Held(_)));
    let Taken::Other(hold) = held(&bench, &serial, "bob").await else { panic!("ann has it") };
    assert_eq!((hold.person.as_str(), hold.until), ("ann", 1_000 + HOLD_MS));
    assert!(matches!(issued(&bench, &serial, 10_600, "bob").await, Issued::Other(_)));
    let other = serial.clone();
    assert!(!run!(bench, |session| release(session, "one", &other, "bob")), "bob does not have it");
    let other = serial.clone();
    assert!(run!(bench, |session| release(session, "one", &other, "ann")));
    assert!(matches!(held(&bench, &serial, "bob").await, Taken::Held(_)));
    bench.now.fetch_add(HOLD_MS, Ordering::SeqCst);
    assert!(matches!(issued(&bench, &serial, 10_600, "bob").await, Issued::NotHeld), "his hold has ended");
    assert!(matches!(held(&bench, &serial, "ann").await, Taken::Held(_)), "it ended by itself");
    let other = serial.clone();
    assert!(matches!(run!(bench, |session| hold_of_two(session, &other)), Taken::Unknown), "another tenant's guests");
}

async fn hold_of_two(session: &mut crate::ledger::Session, serial: &str) -> Result<Taken, store::StoreError> {
    hold(session, "two", serial, "eve").await
}

#[tokio::test]
async fn one_reservation_is_one_invoice_and_used_with_it() {
    let bench = bench().await;
    let serial = reserved(&bench).await.serial;
    held(&bench, &serial, "ann").await;
    let mut waits = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (ledger, batch) = (bench.ledger.clone(), batch(&serial, 10_600, "张三", false));
        waits.spawn(async move {
            ledger.run(move |session| Box::pin(async move { issue(session, &batch, "ann", None).await })).await.unwrap()
        });
    }
    let (mut taken, mut repeats) = (0, 0);
    while let Some(done) = waits.join_next().await {
        let Issued::Verdict(verdict) = done.unwrap() else { panic!("ann has it") };
        match *verdict {
            Verdict::Taken(_) => taken += 1,
            Verdict::Repeat(_) => repeats += 1,
            Verdict::Refused(refusal) => panic!("{refusal:?}"),
        }
    }
    assert_eq!((taken, repeats), (1, 99));
    let mut reader = bench.readers.get().await.unwrap();
    let reservation = reader.reservation("one", &serial).await.unwrap().unwrap();
    assert_eq!(
        reservation.used,
        Some(Used { person: "ann".to_owned(), at: 1_000, serial: String::new() }),
        "in the same transaction"
    );
    assert_eq!(reservation.hold, None);
    assert!(matches!(held(&bench, &serial, "bob").await, Taken::Used(_)));
    let Issued::Verdict(verdict) = issued(&bench, &serial, 21_200, "bob").await else { panic!("known") };
    assert!(matches!(*verdict, Verdict::Refused(ref refusal) if refusal.subcode == "SERIAL_CONFLICT"), "{verdict:?}");
    assert_eq!(reader.due_requests(i64::MAX - 1, 10).await.unwrap().len(), 1);
}

async fn attached(bench: &Bench, draft: &str, reservation: &str, person: &'static str) -> Issued {
    let (batch, reservation) = (batch(draft, 10_600, "张三", false), reservation.to_owned());
    run!(bench, |session| issue(session, &batch, person, Some(&reservation)))
}

#[tokio::test]
async fn a_reservation_attached_to_a_draft_is_one_invoice_by_whichever_way() {
    let bench = bench().await;
    let serial = reserved(&bench).await.serial;
    assert!(matches!(attached(&bench, "DRAFT1", &serial, "ann").await, Issued::NotHeld), "nobody looked at it");
    held(&bench, &serial, "ann").await;
    assert!(matches!(attached(&bench, "DRAFT1", &serial, "bob").await, Issued::Other(_)));
    let refused = |issued: Issued| match issued {
        Issued::Verdict(verdict) => match *verdict {
            Verdict::Refused(refusal) => refusal.subcode,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(attached(&bench, "DRAFT1", "NOBODYS", "ann").await), "RESERVATION");
    let taken = |issued: &Issued| matches!(issued, Issued::Verdict(verdict) if matches!(**verdict, Verdict::Taken(_)));
    let repeated = |issued: &Issued| matches!(issued, Issued::Verdict(verdict) if matches!(**verdict, Verdict::Repeat(_)));
    assert!(taken(&attached(&bench, "DRAFT1", &serial, "ann").await));
    assert!(repeated(&attached(&bench, "DRAFT1", &serial, "ann").await), "a double click");
    let mut reader = bench.readers.get().await.unwrap();
    let reservation = reader.reservation("one", &serial).await.unwrap().unwrap();
    assert_eq!((reservation.invoice_serial(), &reservation.hold), ("DRAFT1", &None));
    // Another draft, and the reservation's own screen, which a second clerk has open: no second invoice.
    for person in ["ann", "bob"] {
        assert_eq!(refused(attached(&bench, "DRAFT2", &serial, person).await), "RESERVATION");
        assert_eq!(refused(issued(&bench, &serial, 10_600, person).await), "RESERVATION");
    }
    assert!(matches!(held(&bench, &serial, "bob").await, Taken::Used(_)));
    // What is sent back is corrected under the draft's serial number, and nowhere else.
    run!(bench, |session| send_back(session, "DRAFT1"));
    assert_eq!(refused(issued(&bench, &serial, 10_600, "ann").await), "RESERVATION");
    assert_eq!(refused(attached(&bench, "DRAFT2", &serial, "ann").await), "RESERVATION");
    assert!(taken(&attached(&bench, "DRAFT1", &serial, "ann").await));
    assert_eq!(reader.due_requests(i64::MAX - 1, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_refused_form_leaves_the_reservation_unused() {
    let bench = bench().await;
    let serial = reserved(&bench).await.serial;
    held(&bench, &serial, "ann").await;
    let mut other = batch(&serial, 10_600, "张三", false);
    if let Content::Blue(Ok(parts)) = &mut other.documents[0].content {
        "B".clone_into(&mut parts[0].orgcode);
    }
    let Issued::Verdict(verdict) = run!(bench, |session| issue(session, &other, "ann", None)) else { panic!("ann has it") };
    assert!(matches!(*verdict, Verdict::Refused(ref refusal) if refusal.subcode == "ORGANISATION"));
    let mut wrong = batch(&serial, 10_600, "张三", false);
    wrong.documents[0].content = Content::Blue(Err(vec![crate::document::Fault::new("GMF_MC", "missing", "不能为空")]));
    let Issued::Verdict(verdict) = run!(bench, |session| issue(session, &wrong, "ann", None)) else { panic!("ann has it") };
    assert!(matches!(*verdict, Verdict::Refused(_)));
    let reservation = bench.readers.get().await.unwrap().reservation("one", &serial).await.unwrap().unwrap();
    assert_eq!(reservation.used, None);
    assert!(reservation.hold.is_some(), "the clerk corrects it");
}

/// The request was sent back: its serial number waits for another content.
async fn send_back(session: &mut crate::ledger::Session, serial: &str) -> Result<(), store::StoreError> {
    let mut request = session.db.request("one", serial).await?.expect("it is known");
    request.phase = Phase::Deleted;
    session.db.put_request(&request).await
}

#[tokio::test]
async fn what_was_returned_of_a_reservation_is_corrected_in_its_organisation() {
    let bench = bench().await;
    let serial = reserved(&bench).await.serial;
    held(&bench, &serial, "ann").await;
    let Issued::Verdict(verdict) = issued(&bench, &serial, 10_600, "ann").await else { panic!("ann has it") };
    assert!(matches!(*verdict, Verdict::Taken(_)), "{verdict:?}");
    let back = serial.clone();
    run!(bench, |session| send_back(session, &back));
    let mut elsewhere = batch(&serial, 10_600, "李四", false);
    if let Content::Blue(Ok(parts)) = &mut elsewhere.documents[0].content {
        "B".clone_into(&mut parts[0].orgcode);
    }
    let Issued::Verdict(verdict) = run!(bench, |session| issue(session, &elsewhere, "ann", None)) else { panic!("it is used") };
    assert!(matches!(*verdict, Verdict::Refused(ref refusal) if refusal.subcode == "ORGANISATION"), "{verdict:?}");
    let Issued::Verdict(verdict) = issued(&bench, &serial, 21_200, "ann").await else { panic!("it is used") };
    let Verdict::Taken(seen) = *verdict else { panic!("{verdict:?}") };
    assert_eq!((seen.request.orgcode.as_str(), seen.request.revision), ("A", 2));
}

#[test]
fn a_logo_is_a_small_png() {
    let png = |width: u32, height: u32| {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes
    };
    assert_eq!(codes::check_logo(&png(384, 100)), Ok(()));
    assert!(codes::check_logo(&png(100_000, 1)).is_err());
    assert!(codes::check_logo(&png(1, 100_000)).is_err());
    assert!(codes::check_logo(&png(0, 1)).is_err());
    assert!(codes::check_logo(&png(1, 0)).is_err());
    assert!(codes::check_logo(b"<svg onload=alert(1)>").is_err());
    let mut long = png(1, 1);
    long.resize(codes::MAX_LOGO_BYTES + 1, 0);
    assert!(codes::check_logo(&long).is_err());
}

#[tokio::test]
async fn what_a_guest_writes_is_printable_and_no_amount_of_nothing() {
    let bench = bench().await;
    run!(bench, |session| configure(session, &setup())).unwrap();
    let wrongs: [(Breaks, &str); 5] = [
        (|sent| sent.answers = vec!["8\u{7}08".to_owned()], "answers[0]"),
        (|sent| sent.answers = vec!["8".repeat(101)], "answers[0]"),
        (|sent| sent.form_key = "AAAAAAAAAAAAAAAAAAAAA/".to_owned(), "form_key"),
        (|sent| sent.amounts[1] = (Some(Decimal::new(1, 6)), Some(Decimal::new(1, 2))), "items[1]"),
        (|sent| sent.amounts[1] = (Some(Decimal::MAX.trunc()), Some(Decimal::TEN)), "items[1]"),
    ];
    for (spoil, field) in wrongs {
        let mut sent = sent(KEY, 10_000);
        spoil(&mut sent);
        let Reserved::Wrong(faults) = reserve_as(&bench, sent).await else { panic!("{field}") };
        assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), [field]);
    }
    // What the merchant has fixed is not what a guest entered.
    let fixed = Item { goods: coffee(), pricing: Pricing::Fixed { gross: Decimal::new(900_000, 2) } };
    let dear = Setup { token: "dear".to_owned(), items: vec![fixed], ..setup() };
    run!(bench, |session| configure(session, &dear)).unwrap();
    let mut sent = sent(KEY, 0);
    sent.amounts = vec![(None, None)];
    let Reserved::Done(reservation) = run!(bench, |session| reserve(session, "dear", &sent)) else { panic!("no limit of his") };
    assert_eq!(reservation.lines[0].gross, Some(Decimal::new(900_000, 2)));
}

#[test]
fn a_wall_code_keeps_every_rule_of_its_own() {
    assert!(setup().faults().is_empty());
    let wrongs: [(Spoils, &str); 13] = [
        (|setup| setup.name = " ".to_owned(), "name"),
        (|setup| setup.name = "长".repeat(101), "name"),
        (|setup| setup.items = vec![setup.items[0].clone(); MAX_ITEMS + 1], "items"),
        (|setup| setup.fields = (0..=MAX_FIELDS).map(|at| Field { label: format!("{at}"), required: false }).collect(), "fields"),
        (|setup| setup.fields[0].label = " ".to_owned(), "fields"),
        (|setup| setup.fields[0].label = "长".repeat(101), "fields"),
        (|setup| setup.fields.push(setup.fields[0].clone()), "fields"),
        (|setup| setup.remark = "长".repeat(201), "BZ"),
        (|setup| setup.remark = "\u{1f600}".to_owned(), "BZ"),
        (|setup| setup.limit = Decimal::ZERO, "limit"),
        (|setup| setup.limit = Decimal::new(1, 3), "limit"),
        (|setup| setup.items[0].pricing = Pricing::Fixed { gross: -Decimal::ONE }, "items[0].XMJSHJ"),
        (|setup| setup.items[0].pricing = Pricing::Fixed { gross: Decimal::new(1, 3) }, "items[0].XMJSHJ"),
    ];
    for (spoil, field) in wrongs {
        let mut wrong = setup();
        spoil(&mut wrong);
        let faults = wrong.faults();
        assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), [field]);
    }
}

#[tokio::test]
async fn a_code_is_taken_down_once() {
    let bench = bench().await;
    run!(bench, |session| configure(session, &setup())).unwrap();
    assert!(run!(bench, |session| disable(session, "one", "wall")));
    bench.now.fetch_add(5_000, Ordering::SeqCst);
    assert!(run!(bench, |session| disable(session, "one", "wall")), "twice is once");
    let kept = bench.readers.get().await.unwrap().setup("wall").await.unwrap().unwrap();
    assert_eq!(kept.disabled_at, Some(1_000), "since it was");
}

fn correction() -> Task {
    Task {
        id: "t1".to_owned(),
        tenant: "one".to_owned(),
        serial: "WRONG1".to_owned(),
        kind: TaskKind::Correction,
        state: TaskState::Open,
        text: "购方写错".to_owned(),
        contact: String::new(),
        created_at: 1_000,
        answer: String::new(),
        hold: Some(Hold::of("ann", 1_000)),
        ended_by: String::new(),
        ended_at: 0,
    }
}

#[tokio::test]
async fn the_invoice_in_the_place_of_a_wrong_one_has_its_own_serial_number_and_tenant() {
    let bench = bench().await;
    let wrong = correction();
    run!(bench, |session| keep(session, &wrong));
    let serial = replacement_serial("one", "WRONG1");
    let of_other = Batch { tenant: "two".to_owned(), ..batch(&serial, 10_600, "张三", false) };
    let mut two = batch(&serial, 10_600, "张三", false);
    two.documents.extend(batch("OTHER", 10_600, "张三", false).documents);
    for batch in [batch("ANOTHER", 10_600, "张三", false), of_other, two] {
        let replaced = run!(bench, |session| replace(session, "one", "t1", "ann", &batch));
        let Replaced::Verdict(verdict) = replaced else { panic!("{replaced:?}") };
        assert!(matches!(*verdict, Verdict::Refused(ref refusal) if refusal.subcode == "INVALID_DATA"), "{verdict:?}");
    }
    let mut reader = bench.readers.get().await.unwrap();
    assert!(reader.due_requests(i64::MAX - 1, 10).await.unwrap().is_empty(), "nothing was issued");
}

async fn keep(session: &mut crate::ledger::Session, task: &Task) -> Result<(), store::StoreError> {
    session.db.put_task(task).await
}

#[tokio::test]
async fn a_replacement_that_was_returned_is_corrected_by_who_has_the_task() {
    let bench = bench().await;
    let task = correction();
    run!(bench, |session| keep(session, &task));
    let serial = replacement_serial("one", "WRONG1");
    let first = batch(&serial, 10_600, "张三", false);
    let taken = run!(bench, |session| insert::insert(session, &first));
    assert!(matches!(taken.as_slice(), [Verdict::Taken(_)]), "{taken:?}");
    // While it stands, whoever clicks is told of it.
    let same = batch(&serial, 10_600, "张三", false);
    let replaced = run!(bench, |session| replace(session, "one", "t1", "bob", &same));
    let Replaced::Verdict(verdict) = replaced else { panic!("{replaced:?}") };
    assert!(matches!(*verdict, Verdict::Repeat(_)), "{verdict:?}");
    let back = serial.clone();
    run!(bench, |session| send_back(session, &back));
    let other = batch(&serial, 21_200, "李四", false);
    let replaced = run!(bench, |session| replace(session, "one", "t1", "bob", &other));
    assert!(matches!(replaced, Replaced::Stepped(Stepped::Other(ref hold)) if hold.person == "ann"), "{replaced:?}");
    let request = bench.readers.get().await.unwrap().request("one", &serial).await.unwrap().unwrap();
    assert_eq!((request.phase, request.revision), (Phase::Deleted, 1), "nothing was asked for");
}
