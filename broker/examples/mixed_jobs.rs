//! `mixed_jobs STORE COUNT`: fills the ledger of an embedded store with what half a year of forty sellers leaves: most jobs
//! issued, some failed at a disk or withdrawn, a few that wait or that nobody can tell of; agents, disks and their numbers;
//! through the store's own commits, chained, guarded and durable as all others. For `cargo xtask bench console`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use taxdisk_broker::core::change::{AgentRow, Change, DiskFenceRow, DiskReportRow, NumberKey, NumberRow, SellerRow};
use taxdisk_broker::store::Store;
use taxdisk_broker::store::sqlite::SqliteStore;
use taxdisk_protocol::api::{InvoiceBody, IssuedInvoice, Operation, Priority};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::{AgentId, DiskNumber, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Event, Job, Next, What};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AttemptRef, Owner};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::time::Timestamp;

type Failure = Box<dyn std::error::Error>;

/// Jobs of one commit.
const JOBS: u64 = 2000;
const SELLERS: u64 = 40;
/// Disks of each seller.
const DISKS: u64 = 2;
/// The last of all jobs wait.
const WAITING: u64 = 2000;
/// The time that the jobs cover, milliseconds.
const SPAN_MS: u64 = 180 * 24 * 3_600_000;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(store), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("mixed_jobs STORE COUNT".into());
    };
    let count: u64 = count.parse()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(fill(&store, count))
}

/// A seller whose number has a right check character (GB 32100).
fn seller(index: u64) -> Result<TaxpayerNumber, Failure> {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let body = format!("91110000MA{index:07}");
    let (mut sum, mut weight) = (0, 1);
    for byte in body.bytes() {
        sum += weight * ALPHABET.iter().position(|known| *known == byte).ok_or("a character of the alphabet")?;
        weight = weight * 3 % 31;
    }
    let check = char::from(*ALPHABET.get((31 - sum % 31) % 31).ok_or("a place of the alphabet")?);
    Ok(format!("{body}{check}").parse()?)
}

fn disk(index: u64) -> Result<DiskNumber, Failure> {
    Ok(format!("66{index:010}").parse()?)
}

fn agent(seller: u64) -> Result<AgentId, Failure> {
    Ok(format!("ag_{seller:016x}").parse()?)
}

async fn fill(url: &str, count: u64) -> Result<(), Failure> {
    let store = SqliteStore::open(url).await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let now = Timestamp(i64::try_from(now)?);
    store.commit(&machines(now)?).await?;
    let first = store.restore().await?.next_place;
    let mut sequences = BTreeMap::new();
    let mut done = 0;
    while done < count {
        let mut changes = Vec::new();
        for number in done..count.min(done + JOBS) {
            let back = i64::try_from((count - number).saturating_mul(SPAN_MS) / count)?;
            changes.extend(job(number, count, first + number, now.plus_ms(-back), &mut sequences)?);
        }
        store.commit(&changes).await?;
        done += JOBS;
    }
    store.close().await?;
    Ok(())
}

/// Sellers, agents and disks with their reports.
fn machines(now: Timestamp) -> Result<Vec<Change>, Failure> {
    let mut all = Vec::new();
    for index in 0..SELLERS {
        let seller = seller(index)?;
        let body = serde_json::from_value(json!({ "name": format!("示例商贸{index}号有限公司") }))?;
        all.push(Change::Seller(SellerRow { seller: seller.clone(), body }));
        all.push(Change::Agent(AgentRow {
            agent: agent(index)?,
            name: format!("收银台{index}"),
            public_key: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
            version: "0.1.0".to_owned(),
            enrolled_at: now,
            seen_at: Some(now),
            revoked: false,
            journal: None,
            journal_sequence: 0,
            join: 1,
            alarms: Vec::new(),
            bounds: Default::default(),
            waiting: false,
            code: None,
        }));
        for which in 0..DISKS {
            let disk = disk(index * DISKS + which)?;
            let report = serde_json::from_value(json!({
                "disk": disk, "taxpayer": seller, "taxpayer_name": format!("示例商贸{index}号有限公司"), "kinds": ["025", "026"],
                "capabilities": {
                    "characters": "gbk",
                    "widths": { "party_name": 100, "taxpayer_number": 20, "address_phone": 100, "bank_account": 100,
                        "item_name": 92, "specification": 40, "unit": 22, "remark": 230, "person": 20, "amount": 18, "price": 21 },
                    "max_lines": 10, "discount_lines": true, "goods_codes": true, "price_decimals": 8, "rate_decimals": 4,
                    "single_person": false, "remark_readable": true, "carries_pair": true, "red": true, "operations": [],
                },
                "fence": "none", "dialect": "nisec", "port": "http://127.0.0.1:1", "health": { "ready": true },
                "stock": [{ "kind": "025", "remaining": 1000, "invoice_limit": "1000.00" }, { "kind": "026", "remaining": 1000 }],
            }))?;
            all.push(Change::DiskFence(DiskFenceRow { disk: disk.clone(), epoch: 1, sequence: 0, owner: Some(agent(index)?) }));
            all.push(Change::DiskReport(DiskReportRow { disk, report, seen_at: now }));
        }
    }
    Ok(all)
}

fn content(place: u64) -> Result<InvoiceBody, Failure> {
    let cents = place % 90_000 + 1000;
    let (net, tax) = (cents * 100, cents * 13);
    let amount = |fen: u64| format!("{}.{:02}", fen / 100, fen % 100);
    Ok(serde_json::from_value(json!({
        "buyer": { "name": format!("客户{place}有限公司"), "taxpayer_number": "91110000MA0000001L" },
        "lines": [{ "name": "*纸制品*打印纸", "goods_code": "1060105", "unit": "包", "quantity": "1", "price": amount(net),
            "net": amount(net), "rate": "0.13", "tax": amount(tax) }],
        "totals": { "net": amount(net), "tax": amount(tax), "gross": amount(net + tax) },
        "remark": format!("单号{place}"), "clerk": "张三", "payee": "李四", "reviewer": "王五",
    }))?)
}

/// A job with its events, and the number that it used.
fn job(number: u64, count: u64, place: u64, at: Timestamp, sequences: &mut BTreeMap<u64, u64>) -> Result<Vec<Change>, Failure> {
    let of = number % SELLERS;
    let which = of * DISKS + number / SELLERS % DISKS;
    let (disk, agent) = (disk(which)?, agent(of)?);
    // Serial numbers in no order, as callers make them.
    let serial = format!("{:016X}", place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let key = JobKey { seller: seller(of)?, serial: serial.parse()? };
    let kind = if number.is_multiple_of(3) { InvoiceKind::ElectronicOrdinary } else { InvoiceKind::Roll };
    let fields = ["gross", "net", "tax"].map(|name| (format!("/invoice/totals/{name}"), format!("{place:016x}")));
    let accepted = Event {
        revision: 0,
        at,
        origin: None,
        what: What::Accepted {
            key: key.clone(),
            operation: Operation::Issue,
            kind,
            issue_point: None,
            priority: Priority::Bulk,
            original: None,
            about: None,
            invoice: Some(content(place)?),
            hash: format!("{place:064x}"),
            fields: fields.into_iter().collect(),
            mark: None,
            place,
            trace: None,
        },
    };
    let mut now = Job::accept(&accepted)?;
    let mut changes = vec![Change::Job { job: Arc::new(now.clone()), event: accepted }];
    let mut step = |what: What| -> Result<(), Failure> {
        let event = Event { revision: now.revision, at: at.plus_ms(i64::try_from(now.revision)? * 300), origin: None, what };
        now = now.apply(&event)?;
        changes.push(Change::Job { job: Arc::new(now.clone()), event });
        Ok(())
    };
    // In no order: failures are on every disk and in every hour.
    let dice = (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 10_000;
    if number + WAITING >= count {
        return Ok(changes);
    }
    if dice < 100 {
        step(What::Cancelled { by: "k_1".to_owned(), reason: "sold twice".to_owned() })?;
        return Ok(changes);
    }
    let sequence = sequences.entry(which).or_default();
    *sequence += 1;
    let pair: NumberPair = format!("0110020{:05} {:08}", which, *sequence % 100_000_000).parse()?;
    let (attempt, epoch) = (1, 1);
    step(What::Assigned { attempt, disk: disk.clone(), agent, epoch, sequence: *sequence })?;
    step(What::Started { attempt, epoch, expected: pair })?;
    if dice < 300 {
        let problem = serde_json::from_value(json!({ "fault": "request", "code": "disk_refused", "text": "商品编码不存在",
            "class": DeviceClass::InvalidRequest }))?;
        let (class, text) = (DeviceClass::InvalidRequest, "商品编码不存在".to_owned());
        step(What::NotIssued { attempt, epoch, class, text, expected: Some(pair), disk_ms: 120, next: Next::Fail { problem } })?;
    } else if dice == 300 {
        step(What::Unsettled {
            attempt,
            epoch,
            class: Some(DeviceClass::Link),
            text: "silence".to_owned(),
            expected: Some(pair),
        })?;
    } else {
        let invoice = IssuedInvoice {
            code: pair.code.to_string(),
            number: pair.number.to_string(),
            issued_at: "20270115160000".to_owned(),
            fiscal_code: "0123456789*+-/<>".repeat(6),
            disk: disk.to_string(),
            ..serde_json::from_value(json!({ "code": "", "number": "", "issued_at": "", "disk": "" }))?
        };
        step(What::Issued { attempt, epoch, invoice, expected: Some(pair), settled: false, disk_ms: 300 })?;
        let owner = Owner::Ours(AttemptRef { key: key.clone(), attempt });
        let row = NumberRow { key: NumberKey { disk, kind, pair }, owner, status: "issued".to_owned(), digest: String::new() };
        changes.push(Change::Number(row));
    }
    Ok(changes)
}
