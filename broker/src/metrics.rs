//! Figures for Prometheus, rendered at `/metrics`: no listener of their own, no seller, buyer or serial number in any label.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use taxdisk_protocol::api::Waiting;

use crate::ledger::Figures;

/// From a durable write on a good drive to a long poll.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];

const REASONS: [Waiting; 10] = [
    Waiting::NoDisk,
    Waiting::DiskOffline,
    Waiting::NoStock,
    Waiting::Locked,
    Waiting::OverLimit,
    Waiting::Password,
    Waiting::DiskFault,
    Waiting::Contested,
    Waiting::Settling,
    Waiting::Backlog,
];

/// The recorder of this process; made at the first call.
fn handle() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let suffix = Matcher::Suffix("_seconds".to_owned());
            let handle = PrometheusBuilder::new().set_buckets_for_metric(suffix, &SECONDS).ok()?.install_recorder().ok()?;
            describe();
            Some(handle)
        })
        .as_ref()
}

/// Starts counting. Before this, nothing is counted; a second call changes nothing.
pub fn start() {
    if handle().is_none() {
        tracing::warn!("another recorder of metrics is installed: /metrics stays empty");
    }
    gauge!("taxdisk_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

fn describe() {
    describe_gauge!("taxdisk_build_info", "1, labelled with the version that runs");
    describe_gauge!("taxdisk_jobs_queued", "Jobs that wait, by the reason");
    describe_gauge!("taxdisk_jobs_assigned", "Jobs at a disk");
    describe_gauge!("taxdisk_jobs_unsettled", "Jobs of which it is not known whether they were issued");
    describe_gauge!("taxdisk_links", "Agents whose link is up");
    describe_gauge!("taxdisk_disks", "Disks that were ever reported");
    describe_gauge!("taxdisk_disks_online", "Disks that answer now");
    describe_gauge!("taxdisk_disks_contested", "Disks that several agents claim: nobody issues on them");
    describe_counter!("taxdisk_http_requests_total", "Requests that were answered");
    describe_counter!("taxdisk_failed_authentications_total", "Calls without a good key");
    describe_counter!("taxdisk_links_refused_total", "Links that did not come to be, by the reason");
    describe_counter!("taxdisk_link_frames_total", "Frames on agent links, by direction");
    describe_histogram!("taxdisk_http_request_seconds", Unit::Seconds, "From the head of a request to the head of its answer");
}

/// All figures as text, those of the ledger as of now, if it answers.
pub fn render(figures: Option<&Figures>) -> String {
    let Some(handle) = handle() else { return String::new() };
    let Some(figures) = figures else { return handle.render() };
    // A reason that no job waits for any more must not keep its old figure.
    for waiting in REASONS {
        gauge!("taxdisk_jobs_queued", "waiting" => name(waiting)).set(0.0);
    }
    for (waiting, count) in &figures.queued {
        gauge!("taxdisk_jobs_queued", "waiting" => name(*waiting)).set(*count as f64);
    }
    gauge!("taxdisk_jobs_assigned").set(figures.assigned as f64);
    gauge!("taxdisk_jobs_unsettled").set(figures.unsettled as f64);
    gauge!("taxdisk_links").set(figures.sessions as f64);
    gauge!("taxdisk_disks").set(figures.disks_known as f64);
    gauge!("taxdisk_disks_online").set(figures.disks_online as f64);
    gauge!("taxdisk_disks_contested").set(figures.disks_contested as f64);
    handle.render()
}

fn name(waiting: Waiting) -> String {
    serde_json::to_value(waiting).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Keeps the histograms' memory small; runs until it is dropped.
pub async fn keep_up() {
    let mut ticks = tokio::time::interval(Duration::from_secs(60));
    loop {
        ticks.tick().await;
        if let Some(handle) = handle() {
            handle.run_upkeep();
        }
    }
}
