//! The suite that every store passes, over SQLite and over PostgreSQL.
#![allow(clippy::unwrap_used)]

use rust_decimal::Decimal;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use taxdisk_protocol::api::{IssuedInvoice, JobSubmission, Operation, PairBody};
use taxdisk_protocol::printed::Printed;
use taxdisk_web::signin::lockout::Failures;
use taxdisk_web::signin::session::Session;

use super::open::list_older;
use super::{Db, Field, Note, Opened, PostgresDb, Query, SqliteDb, UsedToken, open};
use crate::core::callback::{Callback, News, Standing};
use crate::core::claim::Buyer;
use crate::core::codes::{self, Code, Receipt};
use crate::core::links::{self, Kind, Link};
use crate::core::outbox::{self, Channel, Delivered, Message};
use crate::core::request::{CallbackTarget, Delivery, NEVER, Phase, QrCode, Request, Voiding};
use crate::core::reservations::{Reservation, Search, Setup, Used};
use crate::document::Document;
use crate::files;
use crate::ledger::Ledger;

#[path = "../../../tests/src/postgres.rs"]
#[allow(dead_code, missing_docs, unreachable_pub)]
pub(crate) mod postgres;

/// A request as an insert makes it.
pub(crate) fn request(tenant: &str, serial: &str) -> Request {
    Request {
        tenant: tenant.to_owned(),
        serial: serial.to_owned(),
        interface: "insertWithArray".to_owned(),
        appid: "APP".to_owned(),
        seller: "91110000MA0000001L".to_owned(),
        orgcode: "A".to_owned(),
        job_serial: serial.to_owned(),
        operation: Operation::Issue,
        fplx: 1,
        revision: 1,
        canonical: "{}".to_owned(),
        hash: "h".to_owned(),
        fingerprint: "f".to_owned(),
        document: Document::default(),
        job: JobSubmission::default(),
        gross: Decimal::new(10_600, 2),
        parent: None,
        parts: Vec::new(),
        phase: Phase::Forwarding,
        at_broker: false,
        job_revision: 0,
        attempt: 0,
        reissued_at: Vec::new(),
        tries: 0,
        waiting: None,
        held_for: None,
        failure: None,
        issued: None,
        original: None,
        voiding: Voiding::No,
        reversed: Decimal::ZERO,
        delivery: Delivery::default(),
        qr: None,
        delivered: Delivered::default(),
        created_at: 1_000,
        changed_at: 1_000,
        due_at: 1_000,
        asked_at: 0,
        erased_at: 0,
    }
}

fn callback(id: &str, due_at: i64) -> Callback {
    Callback {
        id: id.to_owned(),
        tenant: "one".to_owned(),
        serial: "A1".to_owned(),
        appid: "APP".to_owned(),
        target: CallbackTarget { url: "https://merchant.example/cb".to_owned(), ncc: None },
        news: News::Issued,
        standing: Standing::Waiting,
        tries: 0,
        attempts: Vec::new(),
        created_at: 5,
        due_at,
    }
}

async fn requests_are_found_by_whatever_names_them(db: &mut dyn Db) {
    db.begin().await.unwrap();
    let mut first = request("one", "A1");
    db.put_request(&first).await.unwrap();
    assert_eq!(db.request("one", "A1").await.unwrap().as_ref(), Some(&first), "a transaction sees what it wrote");
    db.commit().await.unwrap();
    assert_eq!(db.request("two", "A1").await.unwrap(), None, "a serial number belongs to its tenant");
    assert_eq!(db.request("one", "a1").await.unwrap(), None, "letter case counts");
    assert_eq!(db.request_by_job(&first.seller, "A1").await.unwrap().as_ref(), Some(&first));
    assert_eq!(db.request_by_number("one", "011002000126", "00000001").await.unwrap(), None);
    first.issued = Some(IssuedInvoice {
        code: "011002000126".to_owned(),
        number: "00000001".to_owned(),
        issued_at: "20260302101530".to_owned(),
        fiscal_code: String::new(),
        signature: String::new(),
        printed: Printed::default(),
        disk: "661234567890".to_owned(),
    });
    first.qr = Some(QrCode { code: "123456789012".to_owned() });
    first.phase = Phase::Issued;
    first.due_at = NEVER;
    db.put_request(&first).await.unwrap();
    assert_eq!(db.request_by_number("one", "011002000126", "00000001").await.unwrap().as_ref(), Some(&first));
    assert_eq!(db.request_by_number("two", "011002000126", "00000001").await.unwrap(), None);
    let original = Some(PairBody { code: "011002000126".to_owned(), number: "00000001".to_owned() });
    let red = Request { operation: Operation::Red, original, gross: -first.gross, ..request("one", "R1") };
    db.put_request(&red).await.unwrap();
    assert_eq!(db.about("one", "011002000126", "00000001").await.unwrap(), [red]);
}

async fn one_job_has_one_request(db: &mut dyn Db) {
    db.put_request(&request("one", "J1")).await.unwrap();
    let other = Request { job_serial: "J1".to_owned(), ..request("one", "J2") };
    assert!(db.put_request(&other).await.is_err(), "two requests would share one invoice");
}

async fn what_is_due_comes_in_order_and_what_waits_does_not(db: &mut dyn Db) {
    for (serial, due_at, phase) in [("D1", 30, Phase::Queued), ("D2", 10, Phase::Queued), ("D3", NEVER, Phase::Approval)] {
        db.put_request(&Request { due_at, phase, ..request("due", serial) }).await.unwrap();
    }
    let serials = |requests: Vec<Request>| requests.into_iter().map(|request| request.serial).collect::<Vec<_>>();
    let due = |keys: Vec<(String, String)>| keys.into_iter().map(|(_, serial)| serial).collect::<Vec<_>>();
    assert_eq!(due(db.due_requests(9, 10).await.unwrap()), Vec::<String>::new());
    assert_eq!(due(db.due_requests(29, 10).await.unwrap()), ["D2"]);
    assert_eq!(due(db.due_requests(30, 1).await.unwrap()), ["D2"]);
    assert!(!due(db.due_requests(NEVER, 100).await.unwrap()).contains(&"D3".to_owned()), "never is never");
    assert_eq!(serials(db.waiting(10).await.unwrap()), ["D3"]);
}

async fn likeness_is_found_unless_it_was_sent_back(db: &mut dyn Db) {
    let mut one = Request { fingerprint: "like".to_owned(), created_at: 100, ..request("likes", "L1") };
    db.put_request(&one).await.unwrap();
    assert_eq!(db.similar("likes", "like", 100).await.unwrap().unwrap().serial, "L1");
    assert_eq!(db.similar("likes", "like", 101).await.unwrap(), None);
    assert_eq!(db.similar("others", "like", 0).await.unwrap(), None);
    one.phase = Phase::Deleted;
    db.put_request(&one).await.unwrap();
    assert_eq!(db.similar("likes", "like", 0).await.unwrap(), None);
}

async fn callbacks_tokens_settings_and_notes_are_kept(db: &mut dyn Db) {
    for (id, due_at) in [("cb_2", 20), ("cb_1", 10)] {
        db.put_callback(&callback(id, due_at)).await.unwrap();
    }
    let due = db.due_callbacks(20, 10).await.unwrap();
    assert_eq!(due.iter().map(|callback| callback.id.as_str()).collect::<Vec<_>>(), ["cb_1", "cb_2"]);
    let mut first = due[0].clone();
    first.due_at = NEVER;
    db.put_callback(&first).await.unwrap();
    assert_eq!(db.due_callbacks(20, 10).await.unwrap().len(), 1);
    assert_eq!(db.callback("cb_1").await.unwrap(), Some(first));
    assert_eq!(db.callbacks_of("one", "A1").await.unwrap().len(), 2);

    let token = |token: &str, jti: &str| UsedToken {
        appid: "APP".to_owned(),
        token: token.to_owned(),
        jti: jti.to_owned(),
        used_for: "insertWithArray x".to_owned(),
        until_s: 50,
    };
    db.begin().await.unwrap();
    db.put_token(&token("t1", "j1")).await.unwrap();
    assert_eq!(db.used_tokens("APP", "t1", "").await.unwrap(), [token("t1", "j1")], "within its transaction too");
    assert_eq!(db.used_tokens("APP", "t9", "j1").await.unwrap(), [token("t1", "j1")]);
    assert_eq!(db.used_tokens("OTHER", "t1", "j1").await.unwrap(), []);
    db.commit().await.unwrap();
    db.put_token(&token("t2", "")).await.unwrap();
    db.put_token(&token("t3", "")).await.unwrap();
    assert_eq!(db.used_tokens("APP", "t1", "").await.unwrap(), [token("t1", "j1")]);
    assert_eq!(db.used_tokens("OTHER", "t1", "j1").await.unwrap(), []);
    assert_eq!(db.used_tokens("APP", "t9", "j1").await.unwrap(), [token("t1", "j1")]);
    assert_eq!(db.used_tokens("APP", "t9", "").await.unwrap(), [], "no jti is like no other");
    assert_eq!(db.forget_tokens(50).await.unwrap(), 0);
    assert_eq!(db.forget_tokens(51).await.unwrap(), 3);

    db.put_setting("tenant", "b", "2").await.unwrap();
    db.put_setting("tenant", "a", "1").await.unwrap();
    db.put_setting("tenant", "a", "3").await.unwrap();
    let settings = db.settings("tenant").await.unwrap();
    assert_eq!(settings, [("a".to_owned(), "3".to_owned()), ("b".to_owned(), "2".to_owned())]);

    for what in ["accepted", "issued"] {
        let note = Note { at: 7, by: "APP".to_owned(), what: what.to_owned(), body: String::new() };
        db.add_note("one", "A1", &note).await.unwrap();
    }
    db.begin().await.unwrap();
    for (serial, what) in [("A1", "void"), ("A2", "accepted"), ("A1", "mailed"), ("A2", "issued")] {
        let note = Note { at: 8, by: "APP".to_owned(), what: what.to_owned(), body: String::new() };
        db.add_note("one", serial, &note).await.unwrap();
    }
    db.commit().await.unwrap();
    for (serial, whats) in [("A1", &["accepted", "issued", "void", "mailed"][..]), ("A2", &["accepted", "issued"])] {
        let notes = db.notes("one", serial).await.unwrap();
        assert_eq!(notes.iter().map(|note| note.what.as_str()).collect::<Vec<_>>(), whats, "{serial}");
    }
}

async fn messages_and_links_are_kept(db: &mut dyn Db) {
    let message = |id: &str, address: &str, created_at: i64, due_at: i64| Message {
        id: id.to_owned(),
        tenant: "one".to_owned(),
        serial: "A1".to_owned(),
        channel: Channel::Mail,
        address: address.to_owned(),
        cause: "issued".to_owned(),
        standing: outbox::Standing::Waiting,
        tries: 0,
        unclear: false,
        attempts: Vec::new(),
        created_at,
        due_at,
    };
    let late = message("msg_1", "a@buyer.example", 5, 20);
    for one in [&late, &message("msg_2", "b@buyer.example", 6, 10), &message("msg_3", "a@buyer.example", 7, NEVER)] {
        db.put_message(one).await.unwrap();
    }
    let sms =
        Message { id: "msg_4".to_owned(), channel: Channel::Sms, serial: "A2".to_owned(), ..message("", "13800000000", 8, 20) };
    db.put_message(&sms).await.unwrap();
    let ids = |messages: Vec<Message>| messages.into_iter().map(|message| message.id).collect::<Vec<_>>();
    assert_eq!(ids(db.due_messages(Channel::Mail, 20, 10).await.unwrap()), ["msg_2", "msg_1"]);
    assert_eq!(ids(db.due_messages(Channel::Mail, 20, 1).await.unwrap()), ["msg_2"]);
    assert_eq!(ids(db.due_messages(Channel::Mail, NEVER, 10).await.unwrap()), ["msg_2", "msg_1"], "never is never");
    assert_eq!(ids(db.due_messages(Channel::Sms, 20, 1).await.unwrap()), ["msg_4"], "no mail stands before it");
    assert_eq!(ids(db.messages_of("one", "A1").await.unwrap()), ["msg_1", "msg_2", "msg_3"]);
    assert_eq!(ids(db.messages_of("two", "A1").await.unwrap()), Vec::<String>::new());
    let sent = Message { standing: outbox::Standing::Sent, due_at: NEVER, tries: 2, ..late };
    db.put_message(&sent).await.unwrap();
    assert_eq!(db.message("msg_1").await.unwrap(), Some(sent));
    assert_eq!(db.message("msg_9").await.unwrap(), None);
    assert_eq!(db.messages_to(Channel::Mail, "a@buyer.example", 0).await.unwrap(), 2);
    assert_eq!(db.messages_to(Channel::Mail, "a@buyer.example", 5).await.unwrap(), 1);
    assert_eq!(db.messages_to(Channel::Sms, "a@buyer.example", 0).await.unwrap(), 0);

    let link = |hash: &str, generation: u32| Link {
        hash: hash.to_owned(),
        kind: Kind::Invoice,
        tenant: "one".to_owned(),
        serial: "A1".to_owned(),
        generation,
        created_at: 1,
        expires_at: 2,
        revoked_at: None,
    };
    db.put_link(&link("h2", 2)).await.unwrap();
    db.put_link(&link("h1", 1)).await.unwrap();
    let revoked = Link { revoked_at: Some(9), ..link("h1", 1) };
    db.put_link(&revoked).await.unwrap();
    assert_eq!(db.link("h1").await.unwrap().as_ref(), Some(&revoked));
    assert_eq!(db.link("h3").await.unwrap(), None);
    assert_eq!(db.links_of(Kind::Invoice, "one", "A1").await.unwrap(), [revoked, link("h2", 2)]);
    assert!(db.put_link(&link("h3", 2)).await.is_err(), "a generation has one link");
    let code = Link { kind: Kind::Code, ..link("h4", 2) };
    db.put_link(&code).await.unwrap();
    assert_eq!(db.links_of(Kind::Code, "one", "A1").await.unwrap(), [code], "each kind counts its own");
}

/// Everything of tenant `one`.
fn all() -> Query {
    let (tenant, before) = ("one".to_owned(), (i64::MAX, String::new()));
    Query { tenant, from: 0, before, phases: Vec::new(), orgcode: String::new(), fplx: None, word: None, limit: 100 }
}

/// Serial numbers, in the order of the list.
async fn listed(db: &mut dyn Db, query: &Query) -> Vec<String> {
    db.list_requests(query).await.unwrap().into_iter().map(|request| request.serial).collect()
}

async fn lists_are_ordered_and_filtered(db: &mut dyn Db) {
    let of = |serial: &str, created_at: i64, phase: Phase, orgcode: &str, fplx: u8| {
        let (orgcode, job_serial) = (orgcode.to_owned(), format!("lists-{serial}"));
        let mut request = Request { created_at, phase, orgcode, fplx, job_serial, ..request("lists", serial) };
        request.delivery.phones = vec!["13800000000".to_owned()];
        request
    };
    for request in [
        of("L1", 10, Phase::Issued, "A", 1),
        of("L2", 20, Phase::Failed, "A", 3),
        of("L3", 20, Phase::Issued, "B", 1),
        of("L4", 30, Phase::Approval, "A", 1),
    ] {
        db.put_request(&request).await.unwrap();
        db.put_request(&request).await.unwrap();
    }
    let all = || Query { tenant: "lists".to_owned(), ..all() };
    assert_eq!(listed(db, &all()).await, ["L4", "L3", "L2", "L1"], "the latest first");
    assert_eq!(listed(db, &Query { limit: 2, ..all() }).await, ["L4", "L3"]);
    assert_eq!(listed(db, &Query { before: (20, "L3".to_owned()), ..all() }).await, ["L2", "L1"], "on from there");
    assert_eq!(listed(db, &Query { from: 20, before: (30, String::new()), ..all() }).await, ["L3", "L2"]);
    assert_eq!(listed(db, &Query { phases: vec!["issued", "failed"], orgcode: "A".to_owned(), ..all() }).await, ["L2", "L1"]);
    assert_eq!(listed(db, &Query { fplx: Some(3), ..all() }).await, ["L2"]);
    let word = |word: &str| Some((Field::Telephone, word.to_owned()));
    let phone = Query { word: word("13800000000"), before: (20, "L3".to_owned()), ..all() };
    assert_eq!(listed(db, &phone).await, ["L2", "L1"]);
    assert!(listed(db, &Query { word: word("1380000000"), ..all() }).await.is_empty());
    assert!(listed(db, &Query { tenant: "else".to_owned(), ..phone }).await.is_empty(), "another tenant sees none");
    // A till's order number, of which the document knows nothing. Another receipt's comes later than the request.
    for number in ["POS-1", "POS-1-copy"] {
        db.put_order("LISTS", number, "lists", "L3", 99).await.unwrap();
        let order = Query { word: Some((Field::Order, number.to_owned())), before: (20, "L4".to_owned()), ..all() };
        assert_eq!(listed(db, &order).await, ["L3"], "in its place in the list");
        assert!(listed(db, &Query { tenant: "else".to_owned(), ..order }).await.is_empty());
    }
    assert!(listed(db, &Query { word: Some((Field::Order, "POS".to_owned())), ..all() }).await.is_empty());
}

/// What had ended without arriving before it was listed is listed after the next start; what waits is, once it was tried.
#[tokio::test]
async fn what_did_not_arrive_before_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("portal.db").display());
    let mut opened = open(&url).await.unwrap();
    let parked = Callback { standing: Standing::Parked, tries: 9, ..callback("c1", NEVER) };
    for one in [&parked, &Callback { id: "c2".to_owned(), standing: Standing::Delivered, ..parked.clone() }, &callback("c3", 1)] {
        opened.writer.put_callback(one).await.unwrap();
    }
    drop(opened);
    let options: SqliteConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql("UPDATE callbacks SET troubled = 0").execute(&mut connection).await.unwrap();
    let migration = include_str!("migrations/0012_troubled.sql");
    for update in migration.lines().filter(|line| line.starts_with("UPDATE")) {
        sqlx::raw_sql(update).execute(&mut connection).await.unwrap();
    }
    drop(connection);
    let mut again = open(&url).await.unwrap();
    let listed = again.writer.troubled_callbacks(&parked.tenant, 10).await.unwrap();
    assert_eq!(listed, [parked]);
}

/// What an older version wrote of a till's order is found after the next start, however often it starts.
#[tokio::test]
async fn orders_of_before_are_found_by_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("portal.db").display());
    let mut opened = open(&url).await.unwrap();
    opened.writer.put_request(&request("one", "A1")).await.unwrap();
    opened.writer.put_order("TOLL", "POS-7", "one", "A1", 9).await.unwrap();
    drop(opened);
    let options: SqliteConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql("DELETE FROM request_words WHERE word = 'POS-7'").execute(&mut connection).await.unwrap();
    for _ in 0..2 {
        sqlx::raw_sql(include_str!("migrations/0011_order_words.sql")).execute(&mut connection).await.unwrap();
    }
    drop(connection);
    let mut again = open(&url).await.unwrap();
    let by_number = Query { word: Some((Field::Order, "POS-7".to_owned())), ..all() };
    assert_eq!(listed(&mut *again.writer, &by_number).await, ["A1"]);
}

async fn sign_ins_are_kept(db: &mut dyn Db) {
    assert_eq!(db.password("one/anna").await.unwrap(), None);
    db.put_password("one/anna", "h1", 1).await.unwrap();
    db.put_password("one/anna", "h2", 2).await.unwrap();
    assert_eq!(db.password("one/anna").await.unwrap().as_deref(), Some("h2"));
    let session = Session { hash: "s1".to_owned(), account: "one/anna".to_owned(), created_at: 5, seen_at: 5 };
    db.touch_session(&session).await.unwrap();
    assert_eq!(db.session("s1").await.unwrap(), None, "seeing a session that was ended brings it not back");
    db.add_session(&session).await.unwrap();
    db.touch_session(&Session { seen_at: 9, ..session.clone() }).await.unwrap();
    assert_eq!(db.session("s1").await.unwrap(), Some(Session { seen_at: 9, ..session.clone() }));
    db.add_session(&Session { hash: "s2".to_owned(), ..session.clone() }).await.unwrap();
    db.end_session("s2").await.unwrap();
    assert_eq!(db.session("s2").await.unwrap(), None);
    db.end_sessions_of("one/anna").await.unwrap();
    assert_eq!(db.session("s1").await.unwrap(), None);
    let failures = Failures { count: 3, last_at: 7 };
    db.put_failures("account one/anna", failures).await.unwrap();
    assert_eq!(db.failures("account one/anna").await.unwrap(), failures);
    db.put_failures("account one/anna", Failures::default()).await.unwrap();
    assert_eq!(db.failures("account one/anna").await.unwrap(), Failures::default());
    db.put_password_link("l1", "one/anna", 50).await.unwrap();
    db.put_password_link("l2", "one/anna", 60).await.unwrap();
    assert_eq!(db.password_link("l1").await.unwrap(), None, "a new link ends the one before");
    assert_eq!(db.password_link("l2").await.unwrap(), Some(("one/anna".to_owned(), 60)));
    assert!(db.take_password_link("l2").await.unwrap());
    assert!(!db.take_password_link("l2").await.unwrap());
    db.add_session(&session).await.unwrap();
    db.put_failures("address x", failures).await.unwrap();
    db.forget_sign_ins(6, 0, 8).await.unwrap();
    assert_eq!(db.session("s1").await.unwrap(), None);
    assert_eq!(db.failures("address x").await.unwrap(), Failures::default());
}

async fn files_codes_and_reservations_are_kept(db: &mut dyn Db) {
    for (tenant, key, body) in [("one", "b", "1"), ("one", "a", "2"), ("one", "a", "3"), ("two", "a", "4")] {
        db.put_entry(tenant, files::Kind::Goods, key, body).await.unwrap();
    }
    let goods = db.entries("one", files::Kind::Goods).await.unwrap();
    assert_eq!(goods, [("a".to_owned(), "3".to_owned()), ("b".to_owned(), "1".to_owned())]);
    assert!(db.entries("one", files::Kind::Customers).await.unwrap().is_empty());
    assert!(!db.remove_entry("two", files::Kind::Goods, "b").await.unwrap(), "another tenant's entry");
    assert!(db.remove_entry("one", files::Kind::Goods, "b").await.unwrap());

    for (serial, created_at) in [("K1", 1), ("K2", 1), ("K3", 2)] {
        db.put_request(&request("one", serial)).await.unwrap();
        let (tenant, orgcode, made_by) = ("one".to_owned(), "A".to_owned(), "ann".to_owned());
        db.add_code(&Code { tenant, serial: serial.to_owned(), orgcode, made_by, created_at }).await.unwrap();
    }
    let serials = |codes: Vec<(Code, Request)>| codes.into_iter().map(|(code, _)| code.serial).collect::<Vec<_>>();
    assert_eq!(serials(db.codes("one", None, (i64::MAX, ""), 2).await.unwrap()), ["K3", "K2"]);
    assert_eq!(serials(db.codes("one", None, (1, "K2"), 2).await.unwrap()), ["K1"]);
    for (standing, phase) in [
        (codes::Standing::Filled, Phase::Settling),
        (codes::Standing::Issued, Phase::Issued),
        (codes::Standing::Cancelled, Phase::Deleted),
    ] {
        db.put_request(&Request { phase, ..request("one", "K2") }).await.unwrap();
        let mut count = 0;
        for wanted in codes::Standing::ALL {
            let found = db.codes("one", Some(wanted), (i64::MAX, ""), 9).await.unwrap();
            assert!(found.iter().all(|(_, request)| codes::Standing::of(request) == wanted), "the query and the core agree");
            count += found.len();
            assert_eq!(serials(found).iter().any(|serial| serial == "K2"), wanted == standing);
        }
        assert_eq!(count, 3, "every code has one standing");
    }
    assert_eq!(db.code("two", "K1").await.unwrap(), None);
    assert_eq!(db.code("one", "K1").await.unwrap().unwrap().made_by, "ann");

    let receipt = Receipt { heading: "你好".to_owned(), ..Receipt::default() };
    db.put_receipt("one", "A", &Receipt::default()).await.unwrap();
    db.put_receipt("one", "A", &receipt).await.unwrap();
    assert_eq!(db.receipt("one", "A").await.unwrap(), Some(receipt));
    assert_eq!(db.receipt("two", "A").await.unwrap(), None);

    let mut setup = Setup {
        token: "wall".to_owned(),
        tenant: "one".to_owned(),
        orgcode: "A".to_owned(),
        name: "前台".to_owned(),
        items: Vec::new(),
        limit: Decimal::new(100_050, 2),
        remark: String::new(),
        numbered: true,
        fields: Vec::new(),
        created_at: 1,
        disabled_at: None,
    };
    db.put_setup(&setup).await.unwrap();
    setup.disabled_at = Some(9);
    db.put_setup(&setup).await.unwrap();
    assert_eq!(db.setup("wall").await.unwrap().as_ref(), Some(&setup));
    assert_eq!(db.setups("one", "A").await.unwrap(), [setup]);
    assert!(db.setups("two", "A").await.unwrap().is_empty());

    let mut first = Reservation {
        tenant: "one".to_owned(),
        serial: "R1".to_owned(),
        orgcode: "A".to_owned(),
        setup: "wall".to_owned(),
        form_key: "form-1".to_owned(),
        number: 1,
        kind: files::customers::BuyerType::Person,
        buyer: Buyer { name: "张三 Zhang_1".to_owned(), ..Buyer::default() },
        phone: "13800000000".to_owned(),
        mail: "Guest@b.example".to_owned(),
        lines: Vec::new(),
        remark: String::new(),
        answers: Vec::new(),
        created_at: 1,
        hold: None,
        used: None,
    };
    let second = Reservation { serial: "R2".to_owned(), form_key: "form-2".to_owned(), number: 2, ..first.clone() };
    db.put_reservation(&first).await.unwrap();
    db.put_reservation(&second).await.unwrap();
    assert_eq!(db.reservation_counts("one", "A").await.unwrap(), (2, 2));
    assert_eq!(db.reservation_counts("one", "B").await.unwrap(), (0, 0));
    first.used = Some(Used { person: "ann".to_owned(), at: 3, serial: String::new() });
    db.put_reservation(&first).await.unwrap();
    assert_eq!(db.reservation_counts("one", "A").await.unwrap(), (2, 1));
    assert_eq!(db.reservation("one", "R1").await.unwrap().as_ref(), Some(&first));
    assert_eq!(db.reservation("two", "R1").await.unwrap(), None);
    assert_eq!(db.reservation_by_form("form-2").await.unwrap().as_ref(), Some(&second));
    let searched = |word: &str, used, before, limit| Search {
        tenant: "one".to_owned(),
        orgcode: "A".to_owned(),
        word: word.to_owned(),
        used,
        before,
        limit,
    };
    for (search, found) in [
        (searched("", None, i64::MAX, 10), vec![2, 1]),
        (searched("", None, 2, 10), vec![1]),
        (searched("", None, i64::MAX, 1), vec![2]),
        (searched("", Some(true), i64::MAX, 10), vec![1]),
        (searched(" zhang_", Some(false), i64::MAX, 10), vec![2]),
        (searched("zhangx", None, i64::MAX, 10), vec![]),
        (searched("guest@", None, i64::MAX, 10), vec![2, 1]),
        (searched("1380", None, i64::MAX, 10), vec![2, 1]),
        (searched("2", None, i64::MAX, 10), vec![2]),
        (searched("%", None, i64::MAX, 10), vec![]),
        (searched("\\", None, i64::MAX, 10), vec![]),
    ] {
        let numbers: Vec<i64> = db.reservations(&search).await.unwrap().into_iter().map(|one| one.number).collect();
        assert_eq!(numbers, found, "{search:?}");
    }
}

async fn a_form_and_a_number_name_one_reservation(db: &mut dyn Db) {
    let known = db.reservation("one", "R1").await.unwrap().unwrap();
    let same_form = Reservation { serial: "R3".to_owned(), number: 3, ..known.clone() };
    assert!(db.put_reservation(&same_form).await.is_err(), "a form that is sent twice is one reservation");
    let same_number = Reservation { serial: "R4".to_owned(), form_key: "form-4".to_owned(), ..known };
    assert!(db.put_reservation(&same_number).await.is_err(), "a number names one reservation");
}

async fn suite(url: &str) {
    let mut opened = open(url).await.unwrap();
    let db = opened.writer.as_mut();
    requests_are_found_by_whatever_names_them(db).await;
    what_is_due_comes_in_order_and_what_waits_does_not(db).await;
    likeness_is_found_unless_it_was_sent_back(db).await;
    callbacks_tokens_settings_and_notes_are_kept(db).await;
    messages_and_links_are_kept(db).await;
    files_codes_and_reservations_are_kept(db).await;
    a_form_and_a_number_name_one_reservation(db).await;
    one_job_has_one_request(db).await;
    lists_are_ordered_and_filtered(db).await;
    sign_ins_are_kept(db).await;
    super::tests_reports::sums_are_exact_and_reds_take_away(db).await;
    super::tests_reports::tasks_settings_and_histories_are_kept(db).await;
    super::tests_walls::what_is_one_tenants_is_no_other_ones(db).await;
    what_waits_for_the_end_of_a_transaction_is_durable_with_it(&mut opened).await;
    let mut reader = opened.readers.get().await.unwrap();
    assert!(reader.request("one", "A1").await.unwrap().is_some(), "readers see what is durable");
}

/// The tables as they were while a code's token stood in them, with one such code.
macro_rules! of_before_codes_were_links {
    ($connection:expr) => {{
        let connection = $connection;
        for text in [include_str!("migrations/0001_portal.sql"), include_str!("migrations/0003_deliveries.sql")] {
            sqlx::raw_sql(text).execute(&mut *connection).await.unwrap();
        }
        let mut body = serde_json::to_value(request("one", "OLD")).unwrap();
        body["qr"] = serde_json::json!({ "token": PLAIN, "code": "123456789012" });
        sqlx::query(
            "INSERT INTO requests (tenant, serial, seller, job_serial, code, number, about_code, about_number, fingerprint, \
             qr_token, phase, created_at, due_at, body) VALUES ('one', 'OLD', 's', 'OLD', '', '', '', '', '', $1, 'buyer', 1, 1, $2)",
        )
        .bind(PLAIN)
        .bind(body.to_string())
        .execute(&mut *connection)
        .await
        .unwrap();
        sqlx::raw_sql(include_str!("migrations/0004_consumers.sql")).execute(&mut *connection).await.unwrap();
        sqlx::raw_sql(include_str!("migrations/0005_console.sql")).execute(&mut *connection).await.unwrap();
        sqlx::raw_sql(include_str!("migrations/0007_codes.sql")).execute(&mut *connection).await.unwrap();
    }};
}

/// A token as version 0.1 made it.
const PLAIN: &str = "PLAIN-OLD-TOKEN-IN-CLEAR";

/// `listed_first`: what brings old rows into the lists writes them anew too, and must not be what a token's end depends on.
async fn what_was_printed_opens_and_is_no_longer_stored(db: &mut dyn Db, listed_first: bool) {
    let by_code = Query { word: Some((Field::Extraction, "123456789012".to_owned())), ..all() };
    assert!(listed(db, &by_code).await.is_empty());
    if listed_first {
        list_older(db).await.unwrap();
        assert!(db.unlisted(10).await.unwrap().is_empty());
        assert_eq!(listed(db, &by_code).await, ["OLD"]);
    }
    assert_eq!(links::adopt_plain_codes(db, 1_000, 500).await.unwrap(), 1);
    assert_eq!(links::adopt_plain_codes(db, 9_000, 500).await.unwrap(), 0, "once");
    let found = links::find(db, Kind::Code, PLAIN, 1_499).await.unwrap();
    assert!(matches!(&found, links::Found::Open(link) if link.serial == "OLD" && link.generation == 1), "{found:?}");
    assert_eq!(links::find(db, Kind::Code, PLAIN, 1_500).await.unwrap(), links::Found::Ended);
    let request = db.request("one", "OLD").await.unwrap().unwrap();
    assert_eq!(request.qr, Some(QrCode { code: "123456789012".to_owned() }));
}

#[tokio::test]
async fn plain_codes_of_before_become_links_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portal.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let mut connection = options.connect().await.unwrap();
    of_before_codes_were_links!(&mut connection);
    let mut db = SqliteDb::new(connection);
    what_was_printed_opens_and_is_no_longer_stored(&mut db, false).await;
    db.close().await.unwrap();
    let held = std::fs::read(&file).unwrap();
    assert!(!held.windows(PLAIN.len()).any(|window| window == PLAIN.as_bytes()), "not even in a page that was freed");
}

#[tokio::test]
async fn plain_codes_of_before_become_links_in_postgres() {
    let server = tokio::task::spawn_blocking(postgres::Server::shared).await.unwrap();
    let mut connection = PgConnection::connect(&server.database()).await.unwrap();
    of_before_codes_were_links!(&mut connection);
    let mut db = PostgresDb::new(connection);
    what_was_printed_opens_and_is_no_longer_stored(&mut db, true).await;
    db.close().await.unwrap();
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}

/// Asked over another connection: this one would write what still waits before it answers.
async fn what_waits_for_the_end_of_a_transaction_is_durable_with_it(opened: &mut Opened) {
    let mut known = Request { job_serial: "late-W1".to_owned(), ..request("late", "W1") };
    known.delivery.phones = vec!["13800138000".to_owned()];
    let note = Note { at: 9, by: "APP".to_owned(), what: "accepted".to_owned(), body: String::new() };
    let token = UsedToken {
        appid: "LATE".to_owned(),
        token: "t1".to_owned(),
        jti: "j1".to_owned(),
        used_for: "insertWithArray x".to_owned(),
        until_s: 50,
    };
    let db = opened.writer.as_mut();
    db.begin().await.unwrap();
    db.put_request(&known).await.unwrap();
    db.add_note("late", "W1", &note).await.unwrap();
    db.put_token(&token).await.unwrap();
    // More than one statement takes.
    for at in 0..1_001 {
        db.add_note("late", "W2", &Note { at, ..note.clone() }).await.unwrap();
    }
    db.commit().await.unwrap();
    let mut other = opened.readers.get().await.unwrap();
    assert_eq!(other.notes("late", "W1").await.unwrap(), [note]);
    assert!(other.notes("late", "W2").await.unwrap().iter().map(|note| note.at).eq(0..1_001), "in their order");
    assert_eq!(other.used_tokens("LATE", "t1", "").await.unwrap(), [token]);
    let word = Some((Field::Telephone, "13800138000".to_owned()));
    assert_eq!(listed(&mut *other, &Query { tenant: "late".to_owned(), word, ..all() }).await, ["W1"]);
}

#[tokio::test]
async fn sqlite_passes_the_suite_and_keeps_it_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("portal.db").display());
    suite(&url).await;
    let mut again = open(&url).await.unwrap();
    assert!(again.writer.request("one", "A1").await.unwrap().is_some());
}

#[tokio::test]
async fn postgres_passes_the_suite_and_has_one_writer() {
    let server = tokio::task::spawn_blocking(postgres::Server::shared).await.unwrap();
    let url = server.database();
    suite(&url).await;
    let first = open(&url).await.unwrap();
    let mut spare = Box::pin(open(&url));
    let waited = tokio::time::timeout(std::time::Duration::from_millis(500), &mut spare).await;
    assert!(waited.is_err(), "a second portal waits for the writer's place");
    drop(first);
    let mut spare = spare.await.unwrap();
    assert!(spare.writer.request("one", "A1").await.unwrap().is_some());
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}

#[tokio::test]
async fn the_writer_on_its_own_thread_reaches_a_server_too() {
    let server = tokio::task::spawn_blocking(postgres::Server::shared).await.unwrap();
    let opened = open(&server.database()).await.unwrap();
    let ledger = Ledger::start(opened.writer, std::sync::Arc::new(|| 1_000));
    let wanted = request("one", "T1");
    for _ in 0..2 {
        let request = wanted.clone();
        ledger.run(move |session| Box::pin(async move { session.db.put_request(&request).await })).await.unwrap();
    }
    let mut reader = opened.readers.get().await.unwrap();
    assert_eq!(reader.request("one", "T1").await.unwrap(), Some(wanted), "over another connection");
    drop((reader, ledger));
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}
