//! A buyer's data: all of it is found, what goes on is left alone, and what is not a person's stays. Over SQLite and over
//! PostgreSQL: what is found, and what is removed, is found and removed by statements.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::Value;
use taxdisk_protocol::api::IssuedInvoice;
use taxdisk_protocol::printed::Printed;

use super::buyers::*;
use super::claim::Buyer;
use super::hold::Hold;
use super::outbox::{Channel, Message, Standing};
use super::request::{Delivery, NEVER, Phase, Request, Voiding};
use super::reservations::Reservation;
use super::task::{Task, TaskKind, TaskState};
use crate::files::customers::BuyerType;
use crate::files::{Customer, Kind};
use crate::ledger::{Clock, Ledger};
use crate::store::tests::postgres::Server;
use crate::store::{self, Field, Query, Readers};

const TENANT: &str = "one";
const HISTORY: &str = "*history";
const NAME: &str = "张三";
const MAIL: &str = "zhangsan@buyer.example";
const PHONE: &str = "13800000007";
const DAY_MS: i64 = 24 * 3600 * 1000;

struct Bench {
    ledger: Ledger,
    readers: Readers,
    now: Arc<AtomicI64>,
    _place: Place,
}

/// Where the store is, while somebody uses it.
enum Place {
    Folder { _folder: tempfile::TempDir },
    Server { _server: Arc<Server> },
}

/// Runs a step in the writer.
macro_rules! run {
    ($bench:expr, |$session:ident| $step:expr) => {
        $bench.ledger.run(move |$session| Box::pin(async move { $step.await })).await.unwrap()
    };
}

impl Bench {
    async fn in_sqlite() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("portal.db").display());
        Bench::at(&url, Place::Folder { _folder: folder }).await
    }

    async fn in_postgres() -> Bench {
        let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
        let url = server.database();
        Bench::at(&url, Place::Server { _server: server }).await
    }

    async fn at(url: &str, place: Place) -> Bench {
        let opened = store::open(url).await.unwrap();
        let now = Arc::new(AtomicI64::new(DAY_MS));
        let told = now.clone();
        let clock: Clock = Arc::new(move || told.load(Ordering::SeqCst));
        Bench { ledger: Ledger::start(opened.writer, clock), readers: opened.readers, now, _place: place }
    }

    async fn put(&self, request: Request) {
        run!(self, |session| async {
            session.note(&request.tenant, &request.serial, &request.appid, "accepted", &request.canonical).await?;
            session.db.put_request(&request).await
        });
    }

    async fn request(&self, serial: &str) -> Request {
        self.readers.get().await.unwrap().request(TENANT, serial).await.unwrap().unwrap()
    }

    /// Everything that the store holds about a request, as text.
    async fn all_of(&self, serial: &str) -> String {
        let mut db = self.readers.get().await.unwrap();
        let notes = db.notes(TENANT, serial).await.unwrap();
        let (messages, tasks) = (db.messages_of(TENANT, serial).await.unwrap(), db.tasks_of(TENANT, serial).await.unwrap());
        let request = db.request(TENANT, serial).await.unwrap();
        format!("{request:?} {notes:?} {messages:?} {tasks:?}")
    }

    async fn erase(&self, dry_run: bool) -> Vec<(String, String, String)> {
        let buyer = BuyerQuery { name: NAME.to_owned(), ..BuyerQuery::default() };
        let wanted = BuyerErasure { buyer, reason: "letter 12".to_owned(), dry_run };
        let said = run!(self, |session| erase(session, TENANT, &wanted, 10, HISTORY, "operator"));
        assert_eq!(said["cursor"], Value::Null);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut rows: Vec<_> = said["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (format!("{} {}", text(&row["what"]), text(&row["serial"])), text(&row["erased"]), text(&row["kept"])))
            .collect();
        rows.sort();
        rows
    }

    async fn export(&self, query: BuyerQuery) -> Value {
        run!(self, |session| export(session, TENANT, &query, HISTORY, "operator"))
    }

    async fn found_by(&self, field: Field, word: &str) -> Vec<String> {
        let query = Query {
            tenant: TENANT.to_owned(),
            from: 0,
            before: (NEVER, String::new()),
            phases: Vec::new(),
            orgcode: String::new(),
            fplx: None,
            word: Some((field, word.to_owned())),
            limit: 50,
        };
        let found = self.readers.get().await.unwrap().list_requests(&query).await.unwrap();
        let mut serials: Vec<String> = found.into_iter().map(|request| request.serial).collect();
        serials.sort();
        serials
    }
}

/// Of a buyer, in a phase.
fn of(name: &str, serial: &str, phase: Phase) -> Request {
    let mut request = store::tests::request(TENANT, serial);
    for (field, text) in [("GMF_MC", name), ("GMF_NSRSBH", "91110000MA0000099X"), ("GMF_DZDH", PHONE), ("XSF_MC", "商店")] {
        request.document.head.insert(field.to_owned(), text.to_owned());
    }
    request.canonical = format!(r#"{{"head":{{"operation":"blue","GMF_MC":"{name}"}}}}"#);
    request.hash = format!("hash of {serial}");
    request.job.invoice = Some(Default::default());
    request.job.invoice.as_mut().unwrap().buyer.name = name.to_owned();
    request.delivery = Delivery { emails: vec![MAIL.to_owned()], phones: vec![PHONE.to_owned()], ..Delivery::default() };
    request.phase = phase;
    (request.created_at, request.changed_at, request.due_at) = (1_000, DAY_MS, NEVER);
    if phase == Phase::Issued {
        request.issued = Some(IssuedInvoice {
            code: "031001900111".to_owned(),
            number: format!("000000{:02}", serial.len() * 10 + usize::from(serial.as_bytes()[1] - b'0')),
            issued_at: "20261130120000".to_owned(),
            fiscal_code: String::new(),
            signature: String::new(),
            printed: Printed::default(),
            disk: "661000000001".to_owned(),
        });
    }
    request
}

fn message(serial: &str, standing: Standing) -> Message {
    Message {
        id: format!("msg_{serial}"),
        tenant: TENANT.to_owned(),
        serial: serial.to_owned(),
        channel: Channel::Mail,
        address: MAIL.to_owned(),
        cause: "issued".to_owned(),
        standing,
        tries: 0,
        unclear: false,
        attempts: Vec::new(),
        created_at: 1_000,
        due_at: if standing == Standing::Waiting { 1_000 } else { NEVER },
    }
}

fn task(serial: &str, state: TaskState) -> Task {
    Task {
        id: format!("tk_{serial}"),
        tenant: TENANT.to_owned(),
        serial: serial.to_owned(),
        kind: TaskKind::Correction,
        state,
        text: format!("{NAME} asks"),
        contact: PHONE.to_owned(),
        created_at: 1_000,
        answer: String::new(),
        hold: None,
        ended_by: String::new(),
        ended_at: 0,
    }
}

fn reservation(serial: &str, hold: Option<Hold>) -> Reservation {
    Reservation {
        tenant: TENANT.to_owned(),
        serial: serial.to_owned(),
        orgcode: "A".to_owned(),
        setup: "wall".to_owned(),
        form_key: format!("form {serial}"),
        number: i64::from(serial.as_bytes()[1]),
        kind: BuyerType::Person,
        buyer: Buyer { name: NAME.to_owned(), ..Buyer::default() },
        phone: PHONE.to_owned(),
        mail: MAIL.to_owned(),
        lines: Vec::new(),
        remark: String::new(),
        answers: vec![("房间".to_owned(), "808".to_owned())],
        created_at: 1_000,
        hold,
        used: None,
    }
}

/// One of each: issued and quiet, sent back, under way, issued with a mail that waits, issued with an open question, failed; and
/// another buyer's.
async fn shop(bench: Bench) -> Bench {
    for (serial, phase) in [
        ("A1", Phase::Issued),
        ("A2", Phase::Deleted),
        ("A3", Phase::Queued),
        ("A4", Phase::Issued),
        ("A5", Phase::Issued),
        ("A6", Phase::Failed),
    ] {
        bench.put(of(NAME, serial, phase)).await;
    }
    bench.put(Request { voiding: Voiding::Running, ..of(NAME, "A7", Phase::Issued) }).await;
    bench.put(of("李四", "B1", Phase::Issued)).await;
    let customer = Customer { title: NAME.to_owned(), phone: PHONE.to_owned(), ..Customer::default() };
    let customer = serde_json::to_string(&customer).unwrap();
    run!(bench, |session| async {
        for message in [message("A1", Standing::Sent), message("A4", Standing::Waiting), message("B1", Standing::Sent)] {
            session.db.put_message(&message).await?;
        }
        for task in [task("A1", TaskState::Done), task("A5", TaskState::Open)] {
            session.db.put_task(&task).await?;
        }
        for one in [reservation("R1", None), reservation("R2", Some(Hold::of("one/anna", session.now)))] {
            session.db.put_reservation(&one).await?;
        }
        session.db.put_entry(TENANT, Kind::Customers, NAME, &customer).await
    });
    bench
}

fn rows(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    rows.iter().map(|(what, erased, kept)| ((*what).to_owned(), (*erased).to_owned(), (*kept).to_owned())).collect()
}

async fn nothing_of_what_goes_on_is_erased_and_of_invoices_the_addresses_until_the_law_lets_them_go(bench: Bench) {
    let bench = shop(bench).await;
    let before = bench.all_of("A1").await;
    let judged = bench.erase(true).await;
    assert!(judged.iter().all(|(_, erased, _)| erased == "nothing"), "{judged:?}");
    assert_eq!(bench.all_of("A1").await, before, "asking changes nothing");
    let open = ["A3", "A4", "A5", "A6", "A7", "B1"];
    let mut untouched = Vec::new();
    for serial in open {
        untouched.push(bench.all_of(serial).await);
    }
    assert_eq!(
        bench.erase(false).await,
        rows(&[
            ("customer ", "all", ""),
            ("request A1", "contacts", "retention"),
            ("request A2", "all", ""),
            ("request A3", "nothing", "open"),
            ("request A4", "nothing", "open"),
            ("request A5", "nothing", "open"),
            ("request A6", "nothing", "open"),
            ("request A7", "nothing", "open"),
            ("reservation R1", "all", ""),
            ("reservation R2", "nothing", "open"),
        ])
    );
    for (serial, before) in open.into_iter().zip(untouched) {
        assert_eq!(bench.all_of(serial).await, before, "{serial}");
    }
    let issued = bench.all_of("A1").await;
    assert!(issued.contains(NAME), "the invoice must be kept");
    assert!(!issued.contains(MAIL) && !bench.request("A1").await.delivery.phones.contains(&PHONE.to_owned()), "{issued}");
    let returned = bench.all_of("A2").await;
    assert!(![NAME, MAIL, PHONE].iter().any(|word| returned.contains(word)), "{returned}");
    assert!(is_anonymous(&bench.request("A2").await.document));
    assert_eq!(bench.found_by(Field::Mail, MAIL).await, ["A3", "A4", "A5", "A6", "A7", "B1"]);
    assert_eq!(bench.found_by(Field::Buyer, NAME).await, ["A1", "A3", "A4", "A5", "A6", "A7"]);
    let mut db = bench.readers.get().await.unwrap();
    let gone = db.reservation(TENANT, "R1").await.unwrap().unwrap();
    assert!(!format!("{gone:?}").contains(NAME) && gone.form_key == "form R1", "its form is not sent a second time: {gone:?}");
    assert!(db.entries(TENANT, Kind::Customers).await.unwrap().is_empty());
}

async fn of_an_invoice_that_need_not_be_kept_number_amount_and_hash_stay_and_the_history_names_nobody(bench: Bench) {
    let bench = shop(bench).await;
    let before = bench.request("A1").await;
    bench.now.store(DAY_MS * 12, Ordering::SeqCst);
    assert!(bench.erase(false).await.contains(&("request A1".to_owned(), "all".to_owned(), String::new())));
    let after = bench.request("A1").await;
    assert_eq!((&after.issued, after.gross, &after.hash), (&before.issued, before.gross, &before.hash));
    assert_eq!((after.serial, after.job_serial, after.phase), (before.serial, before.job_serial, before.phase));
    assert_eq!((after.canonical.as_str(), after.erased_at), (r#"{"head":{"operation":"blue"}}"#, DAY_MS * 12));
    assert!(is_anonymous(&after.document) && after.document.text("XSF_MC") == "商店");
    let all = bench.all_of("A1").await;
    assert!(![NAME, MAIL, PHONE, "91110000MA0000099X"].iter().any(|word| all.contains(word)), "{all}");
    let mut db = bench.readers.get().await.unwrap();
    let issued = before.issued.unwrap();
    assert!(db.request_by_number(TENANT, &issued.code, &issued.number).await.unwrap().is_some());
    let history = db.notes(TENANT, HISTORY).await.unwrap();
    let (what, body) = (history[0].what.as_str(), history[0].body.as_str());
    assert!(what == "buyer_erased" && body.contains("letter 12") && body.contains("A1") && !body.contains(NAME), "{body}");
    assert!(!body.contains("A3"), "what was not removed is not said to be: {body}");
}

async fn a_copy_holds_everything_by_name_by_number_and_by_a_contact_and_nothing_of_others(bench: Bench) {
    let bench = shop(bench).await;
    let query = |name: &str, taxpayer_number: &str, contact: &str| BuyerQuery {
        name: name.to_owned(),
        taxpayer_number: taxpayer_number.to_owned(),
        contact: contact.to_owned(),
        cursor: String::new(),
    };
    let copy = bench.export(query(NAME, "", "")).await;
    let text = copy.to_string();
    assert_eq!(copy["requests"].as_array().unwrap().len(), 7, "{text}");
    assert_eq!((copy["reservations"].as_array().unwrap().len(), copy["customers"].as_array().unwrap().len()), (2, 1));
    assert!(text.contains(MAIL) && text.contains("808") && !text.contains("李四"), "{text}");
    let both = bench.export(query("", "91110000ma0000099x", "")).await;
    assert_eq!(both["requests"].as_array().unwrap().len(), 8, "a number is compared without case, and is of both");
    let none = bench.export(query(NAME, "911", "")).await;
    assert!(none["requests"].as_array().unwrap().is_empty(), "everything that is given must hold");
    assert!(!bench.export(query("", "", PHONE)).await["requests"].as_array().unwrap().is_empty());
    for nobody in [query("", " ", ""), query("", "", "138")] {
        assert!(nobody.checked().is_err(), "{nobody:?}");
    }
    assert!(BuyerQuery { cursor: "elsewhere".to_owned(), ..query(NAME, "", "") }.checked().is_err());
    let history = bench.readers.get().await.unwrap().notes(TENANT, HISTORY).await.unwrap();
    assert!(history.iter().all(|note| note.what == "buyer_exported" && !note.body.contains(NAME)), "{history:?}");
}

/// Each of them over both.
macro_rules! over_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Bench::in_sqlite().await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Bench::in_postgres().await).await;
            })*
        }
    };
}

over_both! {
    nothing_of_what_goes_on_is_erased_and_of_invoices_the_addresses_until_the_law_lets_them_go,
    of_an_invoice_that_need_not_be_kept_number_amount_and_hash_stay_and_the_history_names_nobody,
    a_copy_holds_everything_by_name_by_number_and_by_a_contact_and_nothing_of_others,
}
