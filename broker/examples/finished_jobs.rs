//! `finished_jobs STORE COUNT [SELLER,SELLER]`: fills the ledger of an embedded store with jobs that have ended, of these sellers
//! in turn, through the store's own commits: chained, guarded and durable as all others. For `cargo xtask bench restart` and
//! `growth`.
#![forbid(unsafe_code)]

use std::sync::Arc;

use taxdisk_broker::core::change::{Change, SellerRow};
use taxdisk_broker::store::Store;
use taxdisk_broker::store::sqlite::SqliteStore;
use taxdisk_protocol::api::{InvoiceBody, Operation, Priority, SellerBody};
use taxdisk_protocol::ids::{JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Event, Job, What};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::time::Timestamp;

/// Jobs of one commit.
const JOBS: u64 = 4000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(store), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("finished_jobs STORE COUNT [SELLER,SELLER]".into());
    };
    let count: u64 = count.parse()?;
    let sellers = arguments.next().unwrap_or_else(|| "91110000MA0000001L".to_owned());
    let sellers = sellers.split(',').map(TaxpayerNumber::from_device).collect::<Result<Vec<_>, _>>()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(fill(&store, count, &sellers))
}

async fn fill(url: &str, count: u64, sellers: &[TaxpayerNumber]) -> Result<(), Box<dyn std::error::Error>> {
    let store = SqliteStore::open(url).await?;
    let body: SellerBody = serde_json::from_str(r#"{"name":"示例商贸有限公司"}"#)?;
    let rows = sellers.iter().map(|seller| Change::Seller(SellerRow { seller: seller.clone(), body: body.clone() }));
    store.commit(&rows.collect::<Vec<_>>()).await?;
    let mut place = store.restore().await?.next_place;
    let end = place + count;
    while place < end {
        let mut changes = Vec::new();
        for place in place..end.min(place + JOBS) {
            let seller = &sellers[usize::try_from(place)? % sellers.len()];
            changes.extend(ended(seller, place)?);
        }
        store.commit(&changes).await?;
        place += JOBS;
    }
    store.close().await?;
    Ok(())
}

/// A job that was accepted and withdrawn: its two events.
fn ended(seller: &TaxpayerNumber, place: u64) -> Result<[Change; 2], Box<dyn std::error::Error>> {
    // Serial numbers in no order, as callers make them.
    let serial = format!("{:016X}", place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let key = JobKey { seller: seller.clone(), serial: serial.parse()? };
    let at = Timestamp(1_760_000_000_000 + i64::try_from(place)?);
    let accepted = Event {
        revision: 0,
        at,
        origin: None,
        what: What::Accepted {
            key,
            operation: Operation::Issue,
            kind: InvoiceKind::ALL[0],
            issue_point: None,
            priority: Priority::Bulk,
            original: None,
            about: None,
            invoice: Some(InvoiceBody::default()),
            hash: format!("{place:064x}"),
            fields: [("/invoice/totals/gross", format!("{place:016x}"))].into_iter().collect(),
            mark: None,
            place,
            trace: None,
        },
    };
    let job = Job::accept(&accepted)?;
    let cancelled =
        Event { revision: 1, at, origin: None, what: What::Cancelled { by: "k_1".to_owned(), reason: String::new() } };
    let ended = job.apply(&cancelled)?;
    Ok([Change::Job { job: Arc::new(job), event: accepted }, Change::Job { job: Arc::new(ended), event: cancelled }])
}
