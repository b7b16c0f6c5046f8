//! Figures for Prometheus, rendered at `/metrics`: no listener of their own, no seller, buyer or serial number in any label.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use taxdisk_protocol::api::{OperationState, Severity, Waiting, WarningCode};
use taxdisk_protocol::update::UpdateState;

use crate::ledger::Figures;

/// From a durable write on a good drive to a long poll.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];

const OPERATION_ENDS: [OperationState; 5] =
    [OperationState::Done, OperationState::Refused, OperationState::Failed, OperationState::Unsettled, OperationState::Cancelled];

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
    describe_gauge!("taxdisk_agent_updates", "Agents whose link is up, by how they stand with updates");
    describe_counter!("taxdisk_update_downloads_total", "Programs that agents began to fetch");
    for state in UpdateState::ALL {
        gauge!("taxdisk_agent_updates", "state" => state.as_str()).set(0.0);
    }
    metrics::counter!("taxdisk_update_downloads_total").absolute(0);
    describe_gauge!("taxdisk_disks", "Disks that were ever reported");
    describe_gauge!("taxdisk_disks_online", "Disks that answer now");
    describe_gauge!("taxdisk_disks_contested", "Disks that several agents claim: nobody issues on them");
    describe_gauge!("taxdisk_disks_paused", "Disks that are kept from work by a pause or drain");
    describe_gauge!("taxdisk_disks_troubled", "Disks that are connected and take no job for a reason of their own");
    describe_gauge!("taxdisk_oldest_queued_age_seconds", "How long the oldest queued job has waited");
    describe_gauge!("taxdisk_warnings", "Early warnings that are up, by code and severity");
    describe_gauge!("taxdisk_operations", "Operations on disks that have not ended, by state");
    describe_counter!("taxdisk_operations_ended_total", "Operations on disks that ended, by how");
    describe_counter!("taxdisk_warnings_turned_total", "Early warnings that were raised or cleared, by code");
    describe_counter!("taxdisk_recalls_total", "Attempts that an agent was asked to give back, by the reason");
    describe_counter!("taxdisk_policy_failures_total", "Jobs that failed because their seller's time for disk trouble was over");
    describe_counter!("taxdisk_submissions_total", "Submissions, by the answer");
    describe_counter!("taxdisk_outcomes_total", "Outcomes that agents reported, by the result");
    describe_counter!("taxdisk_job_events_total", "Events of jobs that became durable, by name");
    describe_gauge!("taxdisk_open_jobs", "Jobs that have not ended");
    describe_histogram!("taxdisk_commit_seconds", Unit::Seconds, "One commit of the ledger");
    describe_histogram!("taxdisk_commit_inputs", "Inputs that one commit held");
    describe_histogram!("taxdisk_dispatch_wait_milliseconds", Unit::Milliseconds, "From acceptance to a hand-over");
    // A counter is shown from the beginning, so that an alert on its growth does not miss the first one.
    for why in ["pause", "trouble", "sooner_elsewhere"] {
        metrics::counter!("taxdisk_recalls_total", "why" => why).absolute(0);
    }
    metrics::counter!("taxdisk_policy_failures_total").absolute(0);
    metrics::counter!("taxdisk_failed_authentications_total").absolute(0);
    for code in WarningCode::ALL {
        for to in ["raised", "cleared"] {
            metrics::counter!("taxdisk_warnings_turned_total", "code" => code.as_str(), "to" => to).absolute(0);
        }
    }
    for state in OPERATION_ENDS {
        metrics::counter!("taxdisk_operations_ended_total", "state" => state.as_str()).absolute(0);
    }
    for result in ["issued", "not_issued", "given_back", "unsettled", "late"] {
        metrics::counter!("taxdisk_outcomes_total", "result" => result).absolute(0);
    }
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
    for waiting in Waiting::ALL {
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
    gauge!("taxdisk_disks_paused").set(figures.disks_paused as f64);
    gauge!("taxdisk_disks_troubled").set(figures.disks_troubled as f64);
    for (state, count) in
        [(OperationState::Queued, figures.operations_queued), (OperationState::Running, figures.operations_running)]
    {
        gauge!("taxdisk_operations", "state" => state.as_str()).set(count as f64);
    }
    gauge!("taxdisk_oldest_queued_age_seconds").set(figures.oldest_queued_s as f64);
    for code in WarningCode::ALL {
        for (severity, word) in [(Severity::Warning, "warning"), (Severity::Critical, "critical")] {
            let count = figures.warnings.iter().find(|found| (found.0, found.1) == (code, severity)).map_or(0, |found| found.2);
            gauge!("taxdisk_warnings", "code" => code.as_str(), "severity" => word).set(count as f64);
        }
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Names of metrics in a text.
    fn names(text: &str) -> std::collections::BTreeSet<String> {
        let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.split(|c: char| !part(c)).filter(|word| word.starts_with("taxdisk_")).map(str::to_owned).collect()
    }

    #[test]
    fn every_metric_that_alerts_name_is_shown_from_the_beginning() {
        start();
        let shown = render(Some(&Figures::default()));
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let file = "systemd/alerts/taxdisk.rules.yml";
        let named = names(&std::fs::read_to_string(root.join(file)).unwrap());
        assert!(named.len() >= 10, "{file} names {named:?}");
        for name in named {
            let sample = |line: &str| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with([' ', '{']));
            assert!(shown.lines().any(sample), "{file} names {name}, which is not shown:\n{shown}");
        }
        // Every reason is shown, and one that no job waits for any more is shown as none. In this test, since all tests of a
        // process count in one place.
        let waits = Figures { queued: Waiting::ALL.map(|waiting| (waiting, 3)).to_vec(), ..Figures::default() };
        for (figures, count) in [(waits, 3), (Figures::default(), 0)] {
            let shown = render(Some(&figures));
            let line = |waiting: Waiting| format!("taxdisk_jobs_queued{{waiting=\"{}\"}} {count}\n", name(waiting));
            assert!(Waiting::ALL.iter().all(|waiting| shown.contains(&line(*waiting))), "{shown}");
        }
    }
}
