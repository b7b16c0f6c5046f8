//! `backup`, `restore` and `check`: copies of the ledger, and whether it is whole.

use std::path::Path;

use super::{Failure, Led, failed, print, print_json};
use crate::config::Loaded;
use crate::ledger::Ledger;
use crate::store::check::{self, Checked};
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{SqliteStore, backup};

pub(super) async fn backup(loaded: &Loaded, to: &Path, json: bool) -> Result<(), Failure> {
    let vault = loaded.config.store.vault()?;
    let made = backup::backup(&loaded.config.store.url, to, &vault).await;
    made.map_err(|error| failed("no copy was made", error))?;
    if json {
        return print_json(&serde_json::json!({ "backup": to, "key": vault.current() }));
    }
    let sealed = vault.current().map_or(String::new(), |key| format!(", sealed with the key {key}"));
    print(&format!("The ledger was copied to {}{sealed}. `taxdisk-broker check {}` verifies it.\n", to.display(), to.display()))
}

pub(super) async fn restore(loaded: &Loaded, from: &Path, replace: bool, json: bool) -> Result<(), Failure> {
    let at = (Ledger::system_clock())().to_string();
    let put = backup::restore(from, &loaded.config.store.url, replace, &at, &loaded.config.store.vault()?).await;
    let put = put.map_err(|error| failed("nothing was put back", error))?;
    tell(&put, json)
}

fn tell(put: &backup::PutBack, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(put);
    }
    let replaced = put.replaced.as_ref().map_or(String::new(), |path| format!("What was there lies in {}.\n", path.display()));
    print(&format!(
        "{} jobs were put back. The ledger is called {} from now on (it was {}).\n{replaced}Start the broker. Nothing is issued for a \
         seller before his disks have told what the copy does not know: `taxdisk reconcile show`.\n",
        put.checked.jobs, put.ledger, put.was
    ))
}

/// Of a database that its own tools put back.
pub(super) async fn was_put_back(loaded: &Loaded, reason: &str, json: bool) -> Result<(), Failure> {
    if !loaded.config.store.is_postgres() {
        let error = "this ledger is a SQLite file; `taxdisk-broker restore` puts a copy back and says so itself";
        return Err(failed("nothing was changed", error));
    }
    let reason: String = reason.trim().chars().take(1000).collect();
    if reason.is_empty() {
        return Err(failed("nothing was changed", "say in --reason which copy was put back, and why; it is kept in the ledger"));
    }
    let at = (Ledger::system_clock())().to_string();
    let work = async |store: &PostgresStore| {
        let checked = check::check(store).await.map_err(|error| failed("not checked", error))?;
        if !checked.is_whole() {
            print(&text(&checked))?;
            return Err(failed("nothing was changed", "what was put back is not whole"));
        }
        let was = checked.ledger.clone();
        let why = format!("a copy of ledger {was} was put back at {at}: {reason}");
        let ledger =
            store.was_put_back(&why).await.map_err(|error| failed("not known whether it was noted; say it again", error))?;
        Ok(backup::PutBack { ledger, was, replaced: None, checked })
    };
    tell(&Led::take(loaded).await?.with(work).await?, json)
}

/// Seals all contents with the newest key, or opens them.
pub(super) async fn rekey(loaded: &Loaded, plain: bool, json: bool) -> Result<(), Failure> {
    let vault = loaded.config.store.vault()?;
    let Some(key) = vault.current().map(str::to_owned) else {
        return Err(failed("nothing was changed", "store.key_file is not set: it names the keys"));
    };
    let stopped = "it stopped; contents are under keys of the file, and the same again goes on";
    let written = if loaded.config.store.is_postgres() {
        let work = async |store: &PostgresStore| store.rekey(plain).await.map_err(|error| failed(stopped, error));
        Led::take(loaded).await?.with(work).await?
    } else {
        let store = SqliteStore::open_with(&loaded.config.store.url, vault).await;
        let store = store.map_err(|error| failed("nothing was changed", error))?;
        let written = store.rekey(plain).await.map_err(|error| failed(stopped, error))?;
        store.close().await.map_err(|error| failed("all is done, and the ledger could not be closed", error))?;
        written
    };
    if json {
        return print_json(&serde_json::json!({ "written": written, "key": (!plain).then_some(key) }));
    }
    print(&match plain {
        true => format!("{written} contents are in the plain now; take store.key_file out of the configuration.\n"),
        false => format!("{written} contents were sealed anew; all are under the key {key} now.\n"),
    })
}

pub(super) async fn check(loaded: &Loaded, copy: Option<&Path>, json: bool) -> Result<(), Failure> {
    let checked = if copy.is_none() && loaded.config.store.is_postgres() {
        let work = async |store: &PostgresStore| check::check(store).await.map_err(|error| failed("not checked", error));
        Led::take(loaded).await?.with(work).await?
    } else {
        let file = match copy {
            Some(copy) => copy.to_owned(),
            None => backup::file_of(&loaded.config.store.url).map_err(|error| failed("not checked", error))?,
        };
        let (ledger, vault) = (&loaded.config.store.url, loaded.config.store.vault()?);
        backup::check_file(&file, ledger, &vault).await.map_err(|error| failed("not checked", error))?
    };
    if json {
        print_json(&checked)?;
    } else {
        print(&text(&checked))?;
    }
    if checked.is_whole() {
        return Ok(());
    }
    Err(Failure::Other(format!("the ledger is not whole: {} findings", checked.found)))
}

fn text(checked: &Checked) -> String {
    let mut text = format!(
        "Ledger {}: {} chains with {} entries, {} jobs, {} issued.\n",
        checked.ledger, checked.chains, checked.entries, checked.jobs, checked.issued
    );
    if checked.ended > 0 {
        text.push_str(&format!("{} contents have ended after the retention time.\n", checked.ended));
    }
    for finding in &checked.findings {
        text.push_str(&format!("  {finding}\n"));
    }
    text.push_str(if checked.is_whole() { "Everything is as it was written.\n" } else { "It is NOT as it was written.\n" });
    text
}
