//! What the broker's disks can hold and express, asked for at an interval and kept: splitting needs it, and early refusals.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::BrokerClient;
use crate::portal::Portal;

/// Asks again and again until the writer ends.
pub async fn watch(portal: Arc<Portal>, broker: BrokerClient) {
    let every = Duration::from_secs(portal.config.broker.disks_s);
    let mut kept = String::new();
    let mut trouble: Option<String> = None;
    loop {
        match broker.disks().await {
            Ok(disks) => {
                if trouble.take().is_some() {
                    tracing::info!("the broker answers; what waited goes on");
                }
                // Stock and clock change all the time; only what outlives a restart is worth a commit.
                let lasting: Vec<_> = disks.iter().map(|disk| (&disk.report.disk, &disk.report.kinds, limits(disk))).collect();
                let lasting = serde_json::to_string(&lasting).unwrap_or_default();
                if lasting != kept {
                    let body = serde_json::to_string(&disks).unwrap_or_default();
                    let ledger = portal.ledger.behind();
                    let written =
                        ledger.run(move |session| Box::pin(async move { session.db.put_setting("disks", "all", &body).await }));
                    if written.await.is_ok() {
                        kept = lasting;
                    }
                }
                portal.set_disks(disks);
            }
            Err(error) => {
                // Once for each trouble, not once for each question.
                let why = error.to_string();
                if trouble.as_ref() != Some(&why) {
                    tracing::warn!(why, "the broker does not answer; requests are taken and kept, and handed in once it does");
                }
                trouble = Some(why);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = portal.ledger.ended() => return,
        }
    }
}

fn limits(disk: &taxdisk_protocol::api::DiskView) -> Vec<(&String, &Option<String>)> {
    disk.report.stock.iter().map(|stock| (&stock.kind, &stock.invoice_limit)).collect()
}
