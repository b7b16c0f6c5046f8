//! Updates of agents: which programs this broker has, which of them the policy offers to whom, and what agents say of it.
//!
//! The broker is a shelf and a way, and no authority: it holds no signing key and cannot make a program that an agent takes. It
//! reads manifests as far as it must to choose one; whether it is genuine is for each agent to say.
//!
//! The policy is state of the ledger. What agents say lives in memory: each says it again when it joins.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use semver::Version;
use taxdisk_protocol::api::AgentView;
use taxdisk_protocol::ids::AgentId;
use taxdisk_protocol::update::{
    AgentUpdate, MANIFEST_MAX_BYTES, Manifest, ReleaseView, SIGNATURE_MAX_BYTES, UPDATES_PATH, UpdateOffer, UpdatePolicy,
    UpdateState, UpdatesView,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::config;
use crate::ledger::{Ledger, Refusal};

/// The folder is read again after this time.
const STOCK_FRESH: Duration = Duration::from_secs(5);
/// Entries of the folder that are looked at; more is another folder.
const ENTRIES_MAX: usize = 1000;
/// Versions that failed and texts of an agent are cut to what a page can show.
const FAILED_MAX: usize = 20;
/// The longest text of an agent that is kept, characters.
const TEXT_MAX: usize = 500;

/// A program that can be offered.
#[derive(Debug, Clone)]
struct Release {
    manifest: Manifest,
    text: String,
    signature: String,
}

/// What the folder holds.
#[derive(Debug, Default)]
struct Stock {
    releases: Vec<Release>,
    unusable: Vec<String>,
}

/// Updates of agents.
pub struct Updates {
    ledger: Ledger,
    dir: PathBuf,
    /// In the path of every program: whoever has no link does not know it. Anew at each start.
    word: String,
    downloads: Arc<Semaphore>,
    stock: Mutex<Option<(Instant, Arc<Stock>)>>,
    said: Mutex<HashMap<AgentId, AgentUpdate>>,
    /// Changes with the policy: links tell their agents.
    changed: watch::Sender<u64>,
}

impl Updates {
    /// Of this ledger, with the programs of the configured folder.
    pub fn new(ledger: Ledger, config: &config::Updates) -> Updates {
        Updates {
            ledger,
            dir: config.dir.clone(),
            word: hex::encode(rand::random::<[u8; 16]>()),
            downloads: Arc::new(Semaphore::new(config.downloads)),
            stock: Mutex::default(),
            said: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// What an agent says. Its texts are cut to a length that pages can show.
    pub(crate) fn hear(&self, agent: &AgentId, mut update: AgentUpdate) {
        let cut = |text: &mut String| {
            *text = text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect();
        };
        update.failed.truncate(FAILED_MAX);
        for failed in &mut update.failed {
            cut(&mut failed.version);
            cut(&mut failed.at);
            cut(&mut failed.reason);
        }
        cut(&mut update.target);
        cut(&mut update.text);
        update.version.iter_mut().for_each(cut);
        if update.state == UpdateState::Failed {
            tracing::warn!(%agent, version = update.version, why = update.text, "an agent cannot be updated");
        }
        self.said().insert(agent.clone(), update);
    }

    /// The link of an agent has ended.
    pub(crate) fn forget(&self, agent: &AgentId) {
        self.said().remove(agent);
    }

    /// What this agent is offered now. `None`: it never spoke of updates, so it is told nothing.
    pub(crate) async fn offer(&self, agent: &AgentId, version: &str) -> Option<Option<UpdateOffer>> {
        let target = self.said().get(agent)?.target.clone();
        // A ledger that does not answer offers nothing new; the agent asks again.
        let policy = self.ledger.update_policy().await.ok()?;
        let Some(policy) = policy.filter(|policy| policy.agents.is_empty() || policy.agents.contains(&agent.to_string())) else {
            return Some(None);
        };
        let stock = self.stock().await;
        let running: Version = version.parse().ok()?;
        let offer = best(&stock.releases, &policy, &target, &running).map(|release| UpdateOffer {
            manifest: release.text.clone(),
            signature: release.signature.clone(),
            path: format!("{UPDATES_PATH}/{}/{}", self.word, release.manifest.file),
        });
        Some(offer)
    }

    /// Changes when agents are to be told anew.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The policy has changed.
    pub fn policy_changed(&self) {
        *self.stock.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.changed.send_modify(|count| *count += 1);
    }

    /// What is offered, and what there is.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn view(&self) -> Result<UpdatesView, Refusal> {
        let policy = self.ledger.update_policy().await?;
        let stock = self.stock().await;
        let range = policy.as_ref().and_then(|policy| Some((policy, policy.range().ok()?)));
        let releases = stock.releases.iter().map(|Release { manifest, .. }| ReleaseView {
            version: manifest.version.to_string(),
            channel: manifest.channel.clone(),
            target: manifest.target.clone(),
            size_bytes: manifest.size_bytes,
            offered: range
                .as_ref()
                .is_some_and(|(policy, range)| policy.channel == manifest.channel && range.matches(&manifest.version)),
        });
        Ok(UpdatesView { releases: releases.collect(), unusable: stock.unusable.clone(), policy })
    }

    /// Adds to each agent what it says.
    pub fn add_to(&self, agents: &mut [AgentView]) {
        let said = self.said();
        for view in agents {
            view.update = view.agent.parse().ok().and_then(|agent: AgentId| said.get(&agent).cloned());
        }
    }

    /// Linked agents by what they do about updates.
    pub fn counts(&self) -> BTreeMap<UpdateState, usize> {
        let mut counts: BTreeMap<_, _> = UpdateState::ALL.into_iter().map(|state| (state, 0)).collect();
        for update in self.said().values() {
            *counts.entry(update.state).or_default() += 1;
        }
        counts
    }

    /// A file of the folder that is a program on offer, if the word is ours.
    pub(crate) async fn program(&self, word: &str, file: &str) -> Option<(PathBuf, u64)> {
        if !bool::from(subtle::ConstantTimeEq::ct_eq(word.as_bytes(), self.word.as_bytes())) {
            return None;
        }
        let stock = self.stock().await;
        let release = stock.releases.iter().find(|release| release.manifest.file == file)?;
        Some((self.dir.join(file), release.manifest.size_bytes))
    }

    /// A place among the programs that are being fetched; none: all are taken.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.downloads.clone().try_acquire_owned().ok()
    }

    fn said(&self) -> std::sync::MutexGuard<'_, HashMap<AgentId, AgentUpdate>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stock(&self) -> Arc<Stock> {
        let known = self.stock.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, stock)) = known.filter(|(read, _)| read.elapsed() < STOCK_FRESH) {
            return stock;
        }
        let dir = self.dir.clone();
        let stock = tokio::task::spawn_blocking(move || read(&dir)).await.unwrap_or_default();
        let stock = Arc::new(stock);
        *self.stock.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), stock.clone()));
        stock
    }
}

/// The newest version that the policy allows, that is newer than the running one and reached from it directly. One that is
/// reached only from a later version is offered after the step between.
fn best<'a>(releases: &'a [Release], policy: &UpdatePolicy, target: &str, running: &Version) -> Option<&'a Release> {
    let range = policy.range().ok()?;
    let fits = |release: &&Release| {
        let Manifest { version, channel, target: of, from, .. } = &release.manifest;
        *channel == policy.channel && of == target && version > running && from <= running && range.matches(version)
    };
    releases.iter().filter(fits).max_by(|one, other| one.manifest.version.cmp(&other.manifest.version))
}

/// Reads the folder: every `NAME.json` with its `NAME.json.minisig`, and the program that it names.
fn read(dir: &Path) -> Stock {
    let mut stock = Stock::default();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten().take(ENTRIES_MAX) {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            match release(dir, &path) {
                Ok(release) => stock.releases.push(release),
                Err(why) => stock.unusable.push(format!("{}: {why}", entry.file_name().to_string_lossy())),
            }
        }
    }
    stock.releases.sort_by(|one, other| {
        let key = |release: &Release| (release.manifest.version.clone(), release.manifest.target.clone());
        key(one).cmp(&key(other))
    });
    stock.unusable.sort();
    stock
}

fn release(dir: &Path, path: &Path) -> Result<Release, String> {
    // People elsewhere read this: where the folder lies on this machine is no business of theirs.
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let small = |path: &Path, max: usize| -> Result<String, String> {
        let found = std::fs::metadata(path).map_err(|error| format!("{}: {error}", name(path)))?;
        if found.len() > max as u64 {
            return Err(format!("{} is too long", name(path)));
        }
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", name(path)))
    };
    let text = small(path, MANIFEST_MAX_BYTES)?;
    let manifest = Manifest::parse(&text)?;
    let signature = small(&path.with_extension("json.minisig"), SIGNATURE_MAX_BYTES)?;
    let program = dir.join(&manifest.file);
    let found = std::fs::metadata(&program).map_err(|error| format!("{}: {error}", name(&program)))?;
    if !found.is_file() || found.len() != manifest.size_bytes {
        return Err(format!("{} is not the file of {} bytes that was signed", name(&program), manifest.size_bytes));
    }
    Ok(Release { manifest, text, signature })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn manifest(version: &str, channel: &str, from: &str) -> String {
        format!(
            r#"{{"format":1,"product":"taxdisk-agent","version":"{version}","channel":"{channel}","target":"t-linux","file":"agent-{version}","size_bytes":3,"sha256":"{}","from":"{from}"}}"#,
            "0".repeat(64)
        )
    }

    fn put(dir: &Path, version: &str, channel: &str, from: &str) {
        std::fs::write(dir.join(format!("{version}.json")), manifest(version, channel, from)).unwrap();
        std::fs::write(dir.join(format!("{version}.json.minisig")), "signature").unwrap();
        std::fs::write(dir.join(format!("agent-{version}")), "abc").unwrap();
    }

    #[test]
    fn the_newest_of_channel_and_range_that_is_reached_directly_is_offered() {
        let dir = tempfile::tempdir().unwrap();
        for (version, channel, from) in [
            ("0.2.0", "stable", "0.1.0"),
            ("0.3.0", "stable", "0.1.0"),
            ("0.4.0", "beta", "0.1.0"),
            ("0.5.0", "stable", "0.3.0"),
            ("0.6.0-rc.1", "stable", "0.3.0"),
        ] {
            put(dir.path(), version, channel, from);
        }
        let stock = read(dir.path());
        let best = |channel: &str, versions: &str, target: &str, running: &str| {
            let policy = UpdatePolicy { channel: channel.into(), versions: versions.into(), agents: Vec::new() };
            super::best(&stock.releases, &policy, target, &running.parse().unwrap())
                .map(|release| release.manifest.version.to_string())
        };
        assert_eq!(best("stable", "*", "t-linux", "0.1.0").as_deref(), Some("0.3.0"), "0.5.0 is reached from 0.3.0");
        assert_eq!(best("stable", "*", "t-linux", "0.3.0").as_deref(), Some("0.5.0"), "and no release candidate");
        assert_eq!(best("stable", "<0.3", "t-linux", "0.1.0").as_deref(), Some("0.2.0"));
        assert_eq!(best("beta", "*", "t-linux", "0.1.0").as_deref(), Some("0.4.0"));
        assert_eq!(best("stable", "*", "t-linux", "0.5.0"), None, "never an older one");
        assert_eq!(best("stable", "*", "other", "0.1.0"), None);
    }

    #[test]
    fn files_that_do_not_belong_together_are_named() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "0.2.0", "stable", "0.1.0");
        put(dir.path(), "0.3.0", "stable", "0.1.0");
        put(dir.path(), "0.4.0", "stable", "0.1.0");
        std::fs::write(dir.path().join("agent-0.2.0"), "ab").unwrap();
        std::fs::remove_file(dir.path().join("0.3.0.json.minisig")).unwrap();
        std::fs::write(dir.path().join("notes.json"), "{}").unwrap();
        std::fs::write(dir.path().join("README"), "").unwrap();
        let stock = read(dir.path());
        let versions: Vec<_> = stock.releases.iter().map(|release| release.manifest.version.to_string()).collect();
        assert_eq!(versions, ["0.4.0"]);
        assert_eq!(stock.unusable.len(), 3, "{:?}", stock.unusable);
        assert_eq!(stock.unusable[0], "0.2.0.json: agent-0.2.0 is not the file of 3 bytes that was signed");
        assert!(stock.unusable[1].starts_with("0.3.0.json: 0.3.0.json.minisig: "), "{:?}", stock.unusable);
        let folder = dir.path().to_string_lossy().into_owned();
        assert!(!stock.unusable.iter().any(|why| why.contains(&folder)), "where it lies is told: {:?}", stock.unusable);
        assert!(read(&dir.path().join("none")).releases.is_empty());
    }
}
