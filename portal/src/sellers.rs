//! Makes the portal's sellers known to the broker, with the policy that merchants expect: a request that no disk can take fails
//! after half an hour, is called back, and is re-issued under its own serial number when the disk is there again.
//!
//! A seller that the broker knows is left as it is: its policy is the administrator's. Without a key that may write sellers,
//! nothing is written, and the administrator makes them himself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use taxdisk_protocol::api::{DiskTrouble, SellerBody, Thresholds};

use crate::broker::BrokerClient;
use crate::portal::Portal;

/// Looks again and again until the writer ends; costs a call only while a seller is not known to be there.
pub async fn watch(portal: Arc<Portal>, broker: BrokerClient) {
    let every = Duration::from_secs(portal.config.broker.disks_s);
    let mut there = BTreeSet::new();
    loop {
        if let Err(error) = make_known(&portal, &broker, &mut there).await {
            tracing::warn!(%error, "sellers are not known to be at the broker; requests of such a seller wait");
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = portal.ledger.ended() => return,
        }
    }
}

async fn make_known(
    portal: &Portal,
    broker: &BrokerClient,
    there: &mut BTreeSet<String>,
) -> Result<(), crate::broker::BrokerError> {
    let directory = portal.directory();
    let own = directory.tenants().flat_map(|tenant| &tenant.sellers);
    let missing: Vec<_> = own.filter(|seller| !there.contains(&seller.taxpayer_number)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    there.extend(broker.sellers().await?.into_iter().map(|seller| seller.taxpayer_number));
    for seller in missing {
        if there.contains(&seller.taxpayer_number) {
            continue;
        }
        let body = SellerBody {
            name: seller.name.clone(),
            disk_trouble: DiskTrouble::FailAfter(portal.config.broker.fail_after_s),
            mark: true,
            warnings: Thresholds::default(),
        };
        broker.put_seller(&seller.taxpayer_number, &body).await?;
        tracing::info!(seller = seller.taxpayer_number, "the broker knows this seller now");
        there.insert(seller.taxpayer_number.clone());
    }
    Ok(())
}
