//! What the demonstration asks of the broker's public API.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use taxdisk_protocol::api::{JobPage, JobView};

use super::SELLER;
use super::site::Site;

/// The agent reads the disk at its start; with a real converter this takes seconds.
const DISK_LIMIT: Duration = Duration::from_secs(60);
/// One for roll invoices, one for electronic ones.
const DISKS: usize = 2;
/// How often it is asked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// One answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Waits until the broker knows both disks, and both can issue.
pub(super) fn wait_for_disks(site: &Site, stop: &AtomicBool) -> Result<(), String> {
    let limit = Instant::now() + DISK_LIMIT;
    loop {
        let disks: Value = get(site, "/v1/disks")?;
        let ready = |disk: &&Value| disk["online"] == true && disk["report"]["health"]["ready"] == true;
        let found: Vec<&Value> = disks.as_array().into_iter().flatten().filter(ready).collect();
        if found.len() == DISKS {
            for report in found.into_iter().map(|disk| &disk["report"]) {
                let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
                println!("  disk {} of {} {}", text(&report["disk"]), text(&report["taxpayer"]), text(&report["taxpayer_name"]));
            }
            return Ok(());
        }
        if stop.load(Ordering::SeqCst) {
            return Err("Interrupted.".to_owned());
        }
        if Instant::now() > limit {
            return Err(format!("The disks are not ready after {} s. The broker knows: {disks}", DISK_LIMIT.as_secs()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Every job of the seller, whole, in the order of the serial numbers.
pub(super) fn jobs(site: &Site) -> Result<Vec<JobView>, String> {
    let mut serials = Vec::new();
    let mut cursor = None;
    loop {
        let more = cursor.map_or(String::new(), |cursor: String| format!("&cursor={cursor}"));
        let page: JobPage = get(site, &format!("/v1/jobs?seller={SELLER}&limit=200{more}"))?;
        serials.extend(page.jobs.into_iter().map(|job| job.serial));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    serials.sort();
    serials.iter().map(|serial| get(site, &format!("/v1/jobs/{SELLER}/{serial}"))).collect()
}

fn get<T: serde::de::DeserializeOwned>(site: &Site, path: &str) -> Result<T, String> {
    let url = format!("{}{path}", site.url());
    let failed = |error: &dyn std::fmt::Display| format!("{url}: {error}");
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER_LIMIT)).proxy(None).build().into();
    let request = agent.get(&url).header("authorization", format!("Bearer {}", site.key()?));
    let mut response = request.call().map_err(|error| failed(&error))?;
    let text = response.body_mut().read_to_string().map_err(|error| failed(&error))?;
    serde_json::from_str(&text).map_err(|error| failed(&error))
}
