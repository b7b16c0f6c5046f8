//! What is one tenant's is found under no other one's name, over every store: part of the suite.
//!
//! Both have everything under the same names, so that a statement that forgets the tenant finds the other one's.
#![allow(clippy::unwrap_used)]

use rust_decimal::Decimal;
use taxdisk_protocol::api::{IssuedInvoice, Operation, PairBody};
use taxdisk_protocol::printed::Printed;
use taxdisk_web::signin::session::Session;

use super::tests::request;
use super::{By, Db, Field, Note, Period, Query};
use crate::core::callback::{Callback, News, Standing};
use crate::core::claim::Buyer;
use crate::core::codes::{Code, Receipt};
use crate::core::links::{Kind, Link};
use crate::core::outbox::{self, Channel, Message};
use crate::core::request::{CallbackTarget, NEVER, Phase, Request, Voiding};
use crate::core::reservations::{Reservation, Search, Setup};
use crate::core::task::{Task, TaskKind, TaskState};
use crate::document::Line;
use crate::files;
use crate::files::customers::BuyerType;

const TENANTS: [&str; 2] = ["wall-left", "wall-right"];
const PAIR: (&str, &str) = ("011002000999", "00000999");

fn named(text: &str) -> String {
    text.to_owned()
}

/// An invoice, its void blue one and a red about it, told apart by who asked for them.
fn requests(tenant: &str) -> [Request; 3] {
    let issued = |number: &str| {
        Some(IssuedInvoice {
            code: named(PAIR.0),
            number: named(number),
            issued_at: named("20290101120000"),
            fiscal_code: String::new(),
            signature: String::new(),
            disk: named("661545600001"),
            printed: Printed::default(),
        })
    };
    let made = |serial: &str| Request {
        job_serial: format!("{tenant}-{serial}"),
        appid: named(tenant),
        fingerprint: named("wall"),
        ..request(tenant, serial)
    };
    let line = Line { net: Some(Decimal::ONE), tax: Some(Decimal::ZERO), gross: Decimal::ONE, ..Line::default() };
    let mut blue = Request { phase: Phase::Issued, issued: issued(PAIR.1), ..made("W1") };
    blue.document.lines = vec![line.clone()];
    let mut void = Request { phase: Phase::Issued, issued: issued("00000998"), voiding: Voiding::Void, ..made("W2") };
    void.document.lines = vec![line];
    let original = Some(PairBody { code: named(PAIR.0), number: named(PAIR.1) });
    [blue, void, Request { operation: Operation::Red, original, ..made("W3") }]
}

async fn fill(db: &mut dyn Db, tenant: &str, at: i64) {
    for request in requests(tenant) {
        db.put_request(&request).await.unwrap();
        db.put_words(&request).await.unwrap();
        db.put_sums(&request).await.unwrap();
    }
    let serial = || named("W1");
    db.put_callback(&Callback {
        id: format!("cb-{tenant}"),
        tenant: named(tenant),
        serial: serial(),
        appid: named(tenant),
        target: CallbackTarget { url: named("https://merchant.example/cb"), ncc: None },
        news: News::Issued,
        standing: Standing::Waiting,
        tries: 0,
        attempts: Vec::new(),
        created_at: at,
        due_at: NEVER,
    })
    .await
    .unwrap();
    db.put_message(&Message {
        id: format!("msg-{tenant}"),
        tenant: named(tenant),
        serial: serial(),
        channel: Channel::Mail,
        address: named("wall@buyer.example"),
        cause: named("issued"),
        standing: outbox::Standing::Waiting,
        tries: 0,
        unclear: false,
        attempts: Vec::new(),
        created_at: at,
        due_at: NEVER,
    })
    .await
    .unwrap();
    for (id, state) in [("open", TaskState::Open), ("done", TaskState::Done)] {
        db.put_task(&Task {
            id: format!("{id}-{tenant}"),
            tenant: named(tenant),
            serial: serial(),
            kind: TaskKind::Correction,
            state,
            text: named("抬头"),
            contact: String::new(),
            created_at: at,
            answer: String::new(),
            hold: None,
            ended_by: String::new(),
            ended_at: 0,
        })
        .await
        .unwrap();
    }
    db.put_link(&Link {
        hash: format!("hash-{tenant}"),
        kind: Kind::Code,
        tenant: named(tenant),
        serial: serial(),
        generation: 1,
        created_at: at,
        expires_at: NEVER,
        revoked_at: None,
    })
    .await
    .unwrap();
    db.add_note(tenant, "W1", &Note { at, by: named(tenant), what: named("accepted"), body: String::new() }).await.unwrap();
    db.put_entry(tenant, files::Kind::Goods, "wall", tenant).await.unwrap();
    let code = Code { tenant: named(tenant), serial: serial(), orgcode: named("A"), made_by: named(tenant), created_at: at };
    db.add_code(&code).await.unwrap();
    db.put_receipt(tenant, "A", &Receipt { heading: named(tenant), ..Receipt::default() }).await.unwrap();
    db.put_setup(&Setup {
        token: format!("token-{tenant}"),
        tenant: named(tenant),
        orgcode: named("A"),
        name: named("前台"),
        items: Vec::new(),
        limit: Decimal::ONE_HUNDRED,
        remark: String::new(),
        numbered: true,
        fields: Vec::new(),
        created_at: at,
        disabled_at: None,
    })
    .await
    .unwrap();
    db.put_reservation(&Reservation {
        tenant: named(tenant),
        serial: serial(),
        orgcode: named("A"),
        setup: format!("token-{tenant}"),
        form_key: format!("form-{tenant}"),
        number: at,
        kind: BuyerType::Person,
        buyer: Buyer { name: named("张三"), ..Buyer::default() },
        phone: named("13800000000"),
        mail: String::new(),
        lines: Vec::new(),
        remark: String::new(),
        answers: Vec::new(),
        created_at: at,
        hold: None,
        used: None,
    })
    .await
    .unwrap();
    let account = format!("{tenant}/anna");
    db.put_password(&account, tenant, at).await.unwrap();
    db.add_session(&Session { hash: format!("session-{tenant}"), account: account.clone(), created_at: at, seen_at: at })
        .await
        .unwrap();
    db.put_password_link(&format!("link-{tenant}"), &account, NEVER).await.unwrap();
}

pub(super) async fn what_is_one_tenants_is_no_other_ones(db: &mut dyn Db) {
    for (at, tenant) in (1..).zip(TENANTS) {
        fill(db, tenant, at).await;
    }
    for (at, tenant) in (1..).zip(TENANTS) {
        let own = |request: &Request| request.tenant == tenant;
        assert!(own(&db.request(tenant, "W1").await.unwrap().unwrap()), "{tenant}");
        let named_ones = db.requests_named((tenant, "W1"), ("nobody", "nothing")).await.unwrap();
        assert!(named_ones.len() == 1 && named_ones.iter().all(own), "{named_ones:?}");
        assert!(own(&db.request_by_number(tenant, PAIR.0, PAIR.1).await.unwrap().unwrap()));
        let about = db.about(tenant, PAIR.0, PAIR.1).await.unwrap();
        assert!(about.len() == 1 && about.iter().all(own), "{about:?}");
        assert!(own(&db.similar(tenant, "wall", 0).await.unwrap().unwrap()));
        let callbacks = db.callbacks_of(tenant, "W1").await.unwrap();
        assert_eq!(callbacks.iter().map(|one| one.tenant.as_str()).collect::<Vec<_>>(), [tenant]);
        let messages = db.messages_of(tenant, "W1").await.unwrap();
        assert_eq!(messages.iter().map(|one| one.tenant.as_str()).collect::<Vec<_>>(), [tenant]);
        let links = db.links_of(Kind::Code, tenant, "W1").await.unwrap();
        assert_eq!(links.iter().map(|one| one.tenant.as_str()).collect::<Vec<_>>(), [tenant]);
        for state in [TaskState::Open, TaskState::Done] {
            let tasks = db.tasks(tenant, state, 10).await.unwrap();
            assert_eq!(tasks.iter().map(|one| one.tenant.as_str()).collect::<Vec<_>>(), [tenant], "{state:?}");
        }
        assert!(db.tasks_of(tenant, "W1").await.unwrap().iter().all(|one| one.tenant == tenant));
        for notes in [db.notes(tenant, "W1").await.unwrap(), db.latest_notes(tenant, "W1", 10).await.unwrap()] {
            assert_eq!(notes.iter().map(|one| one.by.as_str()).collect::<Vec<_>>(), [tenant]);
        }
        assert_eq!(db.entries(tenant, files::Kind::Goods).await.unwrap(), [(named("wall"), named(tenant))]);
        assert_eq!(db.code(tenant, "W1").await.unwrap().unwrap().made_by, tenant);
        let codes = db.codes(tenant, None, (i64::MAX, ""), 10).await.unwrap();
        assert!(codes.len() == 1 && own(&codes[0].1) && codes[0].0.made_by == tenant, "{codes:?}");
        assert_eq!(db.receipt(tenant, "A").await.unwrap().unwrap().heading, tenant);
        let setups = db.setups(tenant, "A").await.unwrap();
        assert_eq!(setups.iter().map(|one| one.tenant.as_str()).collect::<Vec<_>>(), [tenant]);
        assert_eq!(db.reservation(tenant, "W1").await.unwrap().unwrap().tenant, tenant);
        let (tenant_of, word) = (named(tenant), String::new());
        let search = Search { tenant: tenant_of, orgcode: named("A"), word, used: None, before: i64::MAX, limit: 10 };
        let found = db.reservations(&search).await.unwrap();
        assert_eq!(found.iter().map(|one| one.tenant.as_str()).collect::<Vec<_>>(), [tenant]);
        assert_eq!(db.reservation_counts(tenant, "A").await.unwrap(), (at, 1));
        for word in [None, Some((Field::Number, named(PAIR.1)))] {
            let query = Query {
                tenant: named(tenant),
                from: 0,
                before: (i64::MAX, String::new()),
                phases: Vec::new(),
                orgcode: String::new(),
                fplx: None,
                word,
                limit: 100,
            };
            let listed = db.list_requests(&query).await.unwrap();
            assert!(!listed.is_empty() && listed.iter().all(own), "{listed:?}");
        }
        let period = Period { tenant: named(tenant), from: 20_290_101, to: 20_290_101, orgcode: String::new() };
        assert_eq!(db.sums(&period, By::Day).await.unwrap()[0].blues, 1);
        assert_eq!(db.voids(&period).await.unwrap(), 1);
        assert_eq!(db.password(&format!("{tenant}/anna")).await.unwrap().as_deref(), Some(tenant));
    }
    let [left, right] = TENANTS;
    for id in ["open-wall-left", "done-wall-left"] {
        assert_eq!((db.task(right, id).await.unwrap(), db.task(left, id).await.unwrap().is_some()), (None, true));
    }
    // What ends of one stays of the other.
    db.end_sessions_of("wall-left/anna").await.unwrap();
    assert!(
        db.session("session-wall-left").await.unwrap().is_none() && db.session("session-wall-right").await.unwrap().is_some()
    );
    db.put_password_link("link-again", "wall-left/anna", NEVER).await.unwrap();
    assert!(db.password_link("link-wall-left").await.unwrap().is_none());
    assert!(db.password_link("link-wall-right").await.unwrap().is_some());
    assert!(db.remove_entry(left, files::Kind::Goods, "wall").await.unwrap());
    assert_eq!(db.entries(right, files::Kind::Goods).await.unwrap().len(), 1);
}
