//! The suite over SQLite files.
#![allow(clippy::unwrap_used)]

use sqlx::{ConnectOptions, Connection};
use taxdisk_web::keyring::Shut;

use super::*;
use crate::store::conformance::{Bench, accept, assigned, fence, next, number, ours, refused, suite_of};

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        Files { folder: tempfile::tempdir().unwrap() }
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("ledger.db").display())
    }
}

impl Bench for Files {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.url()).await.unwrap()
    }

    async fn reopen(&self, store: SqliteStore) -> SqliteStore {
        store.close().await.unwrap();
        self.open().await
    }

    async fn damage(&self, seller: &str, sequence: i64) {
        let mut connection = SqliteConnectOptions::from_str(&self.url()).unwrap().connect().await.unwrap();
        sqlx::query("UPDATE events SET body = replace(body, 'hash of', 'hash Of') WHERE seller = ?1 AND sequence = ?2")
            .bind(seller)
            .bind(sequence)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }
}

suite_of!(Files::new());

/// The medium keeps the log alone: at each reopening the tables are as they were when the file was made.
struct PowerCuts {
    files: Files,
    first: tokio::sync::OnceCell<()>,
}

impl PowerCuts {
    fn new() -> PowerCuts {
        PowerCuts { files: Files::new(), first: tokio::sync::OnceCell::new() }
    }
}

impl Bench for PowerCuts {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        let file = self.files.folder.path().join("ledger.db");
        let make = async || {
            self.files.open().await.close().await.unwrap();
            std::fs::copy(&file, file.with_extension("old")).unwrap();
        };
        self.first.get_or_init(make).await;
        self.files.open().await
    }

    async fn reopen(&self, store: SqliteStore) -> SqliteStore {
        cut_power(store, &self.files).await
    }

    async fn damage(&self, seller: &str, sequence: i64) {
        self.files.damage(seller, sequence).await;
    }
}

/// The tables as they were in `ledger.old`; the log as it was before the store was closed.
async fn cut_power(store: SqliteStore, files: &Files) -> SqliteStore {
    let file = files.folder.path().join("ledger.db");
    let (kept, log) = (file.with_extension("log"), log::beside(&file));
    log::copy(&log, &kept).await.unwrap();
    store.close().await.unwrap();
    for gone in ["ledger.db-wal", "ledger.db-shm", "ledger.db.log-wal", "ledger.db.log-shm"] {
        let _ = std::fs::remove_file(file.with_file_name(gone));
    }
    std::fs::copy(file.with_extension("old"), &file).unwrap();
    std::fs::rename(&kept, &log).unwrap();
    files.open().await
}

mod after_a_loss_of_power {
    use super::*;

    suite_of!(PowerCuts::new());
}

#[tokio::test]
async fn every_commit_is_flushed_to_the_medium() {
    let files = Files::new();
    let store = files.open().await;
    let mut writer = store.shared.writer.lock().await;
    assert_eq!(writer.log_mode().await, (2, "wal".to_owned()));
}

#[tokio::test]
async fn two_processes_never_have_one_file() {
    let files = Files::new();
    let first = files.open().await;
    let second = SqliteStore::open(&files.url()).await.unwrap_err();
    assert!(second.to_string().contains("in use by another process"), "{second}");
    first.commit(&[crate::store::conformance::accept("A1", 1).1]).await.unwrap();
    first.close().await.unwrap();
    assert_eq!(files.open().await.restore().await.unwrap().jobs.len(), 1);
}

/// Entries of the log.
async fn logged(files: &Files) -> Vec<i64> {
    let file = log::beside(&files.folder.path().join("ledger.db"));
    let mut connection = SqliteConnectOptions::new().filename(file).read_only(true).connect().await.unwrap();
    let entries = sqlx::query_scalar("SELECT id FROM entries ORDER BY id").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    entries
}

fn accepted(place: u64) -> [Change; 1] {
    [crate::store::conformance::accept(&format!("A{place}"), place).1]
}

#[tokio::test]
async fn only_what_the_tables_hold_on_the_medium_leaves_the_log() {
    let files = Files::new();
    let store = files.open().await;
    store.commit(&accepted(1)).await.unwrap();
    store.shared.tables.lock().await.settle().await.unwrap();
    // This one waits for the tables.
    store.commit(&accepted(2)).await.unwrap();
    assert!(!store.shared.tend(false).await.unwrap(), "a short log stays, until there is rest");
    assert_eq!(logged(&files).await, [1, 2]);
    store.shared.tend(true).await.unwrap();
    assert_eq!(logged(&files).await, [2]);
    store.close().await.unwrap();
    assert_eq!(logged(&files).await, [0; 0], "all is in the one file");
    assert_eq!(files.open().await.restore().await.unwrap().jobs.len(), 2);
}

#[tokio::test]
async fn while_something_waits_for_the_tables_they_are_tended() {
    let files = Files::new();
    let store = files.open().await;
    store.commit(&accepted(1)).await.unwrap();
    store.shared.tables.lock().await.settle().await.unwrap();
    store.commit(&accepted(2)).await.unwrap();
    store.shared.writer.lock().await.cut(1).await.unwrap();
    let nothing_is_left = store.shared.tend(false).await.unwrap();
    assert!(!nothing_is_left || !store.unseen().any());
}

#[tokio::test]
async fn what_a_guard_refuses_is_in_no_log() {
    let files = Files::new();
    let store = files.open().await;
    store.commit(&accepted(1)).await.unwrap();
    assert!(matches!(store.commit(&accepted(1)).await, Err(StoreError::Stale(_))));
    assert_eq!(logged(&files).await, [1]);
    store.commit(&accepted(2)).await.unwrap();
    assert_eq!(cut_power_from_the_start(store, &files).await.restore().await.unwrap().jobs.len(), 2);
}

#[tokio::test]
async fn each_guard_is_asked_of_what_waits_and_of_the_tables_before_the_log_has_it() {
    let (job, first) = accept("A1", 1);
    let (_, handed) = next(&job, assigned(5));
    let (_, [late, _, much_later]) = refused("A5", 5);
    let bad = [
        ("a serial number twice", vec![accept("A1", 2).1]),
        ("a place twice", vec![accept("A2", 1).1]),
        ("a place twice at once", vec![accept("A6", 6).1, accept("A7", 6).1]),
        ("a revision twice", vec![handed.clone()]),
        ("an event of a job that is not there", vec![next(&accept("A3", 3).0, assigned(6)).1]),
        ("an event that does not follow the one beside it", vec![late, much_later]),
        ("a second owner of a number", vec![number(7, ours("A2"))]),
        ("two owners of a number at once", vec![number(9, ours("A1")), number(9, ours("A2"))]),
        ("an epoch that falls", vec![fence(1, 9)]),
        ("a sequence that falls", vec![fence(9, 4)]),
    ];
    for ((what, bad), in_the_tables) in bad.iter().flat_map(|bad| [(bad, false), (bad, true)]) {
        let files = Files::new();
        let store = files.open().await;
        store.commit(&[first.clone(), number(7, ours("A1")), fence(2, 5)]).await.unwrap();
        store.commit(std::slice::from_ref(&handed)).await.unwrap();
        assert!(store.unseen().any(), "both wait for the tables");
        let store = if in_the_tables { files.reopen(store).await } else { store };
        assert!(!store.shared.writer.lock().await.holds(bad).await.unwrap(), "{what}, in the tables: {in_the_tables}");
        let logged_before = logged(&files).await;
        let told = store.commit(&[&[number(8, ours("A1"))], bad.as_slice()].concat()).await;
        assert!(matches!(told, Err(StoreError::Stale(_))), "{what}: {told:?}");
        assert_eq!(logged(&files).await, logged_before, "{what}");
        store.commit(&[number(7, ours("A1")), number(8, ours("A2")), fence(2, 6), accept("A4", 4).1]).await.unwrap();
        assert!(store.unseen().any() && store.leads(), "what is good waits");
        assert_eq!(files.reopen(store).await.restore().await.unwrap().jobs.len(), 2);
    }
}

/// Should a guard not have been asked what the tables know.
#[tokio::test]
async fn what_the_tables_refuse_later_is_the_end() {
    let files = Files::new();
    let store = files.open().await;
    store.commit(&accepted(1)).await.unwrap();
    store.commit(&[number(7, ours("A1"))]).await.unwrap();
    let mut behind = SqliteConnectOptions::from_str(&files.url()).unwrap().connect().await.unwrap();
    sqlx::query("INSERT INTO numbers SELECT '661234567890', '025', '011002000107', '00000007', '\"foreign\"', '', ''")
        .execute(&mut behind)
        .await
        .unwrap();
    behind.close().await.unwrap();
    let owners = store.shared.tables.lock().await.settle().await;
    assert!(matches!(&owners, Err(StoreError::Stale(why)) if why.contains("another owner")), "{owners:?}");
    assert!(!store.leads(), "nothing is told any more");
    assert!(store.commit(&accepted(2)).await.is_err());
    assert!(store.jobs(&JobFilter::default(), None, 10).await.is_err());
    store.close().await.unwrap();
    let refused = SqliteStore::open(&files.url()).await.unwrap_err().to_string();
    assert!(refused.contains("another owner"), "and no start goes past it: {refused}");
}

#[tokio::test]
async fn a_row_that_changes_often_is_written_once() {
    let files = Files::new();
    let store = files.open().await;
    let (job, first) = accept("A1", 1);
    let (handed_job, handed) = next(&job, assigned(5));
    for change in [first, handed, number(7, ours("A1"))] {
        store.commit(&[change]).await.unwrap();
    }
    let before = store.shared.tables.lock().await.applied();
    store.shared.tables.lock().await.settle().await.unwrap();
    assert_eq!((before, store.shared.tables.lock().await.applied()), (0, 3));
    assert_eq!(store.job(&job.key).await.unwrap().unwrap(), handed_job);
    assert_eq!(store.events(&job.key).await.unwrap().len(), 2);
    assert!(!store.unseen().any());
}

/// As if the medium had nothing/// As if the medium had nothing of the tables but that they were made.
async fn cut_power_from_the_start(store: SqliteStore, files: &Files) -> SqliteStore {
    let ledger = store.ledger().to_owned();
    let other = Files::new();
    other.open().await.close().await.unwrap();
    let made = other.folder.path().join("ledger.db");
    let mut connection = SqliteConnectOptions::new().filename(&made).connect().await.unwrap();
    sqlx::query("UPDATE meta SET value = ?1 WHERE name = 'ledger'").bind(ledger).execute(&mut connection).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    std::fs::copy(made, files.folder.path().join("ledger.old")).unwrap();
    cut_power(store, files).await
}

#[tokio::test]
async fn a_log_that_does_not_belong_to_the_tables_is_not_entered() {
    let (files, other) = (Files::new(), Files::new());
    let (store, others) = (files.open().await, other.open().await);
    for place in 1..=3 {
        store.commit(&accepted(place)).await.unwrap();
    }
    let log = log::beside(&files.folder.path().join("ledger.db"));
    let kept = files.folder.path().join("kept");
    log::copy(&log, &kept).await.unwrap();
    others.close().await.unwrap();
    let at = log::beside(&other.folder.path().join("ledger.db"));
    std::fs::copy(&kept, &at).unwrap();
    let refused = SqliteStore::open(&other.url()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("is the log of ledger {}", store.ledger())), "{refused}");
    // An entry in the middle is gone.
    let mut connection = SqliteConnectOptions::new().filename(&kept).connect().await.unwrap();
    sqlx::query("DELETE FROM entries WHERE id = 2").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    store.close().await.unwrap();
    let tables = files.folder.path().join("ledger.db");
    let mut connection = SqliteConnectOptions::new().filename(&tables).connect().await.unwrap();
    sqlx::query("UPDATE meta SET value = '1' WHERE name = 'applied'").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    std::fs::rename(&kept, &log).unwrap();
    let refused = SqliteStore::open(&files.url()).await.unwrap_err().to_string();
    assert!(refused.contains("the log lacks entry 2"), "{refused}");
}

/// Asks a future once.
async fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready())).await
}

#[tokio::test]
async fn a_reader_who_hangs_up_breaks_nothing_off() {
    let files = Files::new();
    let store = files.open().await;
    store.commit(&accepted(1)).await.unwrap();
    let mut reading = Box::pin(store.chains());
    assert!(!is_ready(&mut reading).await, "the tables are still to take it");
    drop(reading);
    store.commit(&accepted(2)).await.unwrap();
    assert_eq!(store.jobs(&JobFilter::default(), None, 10).await.unwrap().jobs.len(), 2);
}

#[tokio::test]
async fn a_commit_that_is_broken_off_is_kept_whole_or_not_at_all() {
    let (mut ended, mut went_on) = (0, 0);
    // As many turns as a commit takes, and more.
    for turns in 0..60 {
        let files = Files::new();
        let store = files.open().await;
        store.commit(&accepted(1)).await.unwrap();
        let two = accepted(2);
        let mut writing = Box::pin(store.commit(&two));
        for _ in 0..turns {
            if is_ready(&mut writing).await {
                break;
            }
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
        drop(writing);
        if store.commit(&accepted(3)).await.is_ok() {
            went_on += 1;
        } else {
            ended += 1;
            let refused = store.jobs(&JobFilter::default(), None, 10).await;
            assert!(refused.is_err() && !store.leads(), "nothing more is told");
        }
        store.close().await.unwrap();
        let store = files.open().await;
        let checked = crate::store::check::check(&store).await.unwrap();
        assert!(checked.is_whole() && (1..=3).contains(&checked.jobs), "{checked:?}");
        assert!(
            store
                .job(&JobKey { seller: "911101080000000007".parse().unwrap(), serial: "A1".parse().unwrap() })
                .await
                .unwrap()
                .is_some()
        );
        store.close().await.unwrap();
    }
    assert!(ended > 0 && went_on > 0, "{ended} broken off, {went_on} not");
}

/// The keys of submissions are looked up while their jobs wait for the tables (I6).
#[tokio::test]
async fn what_no_other_connection_sees_yet_is_found_by_its_key() {
    let files = Files::new();
    let store = files.open().await;
    let (job, accepted) = crate::store::conformance::accept("A1", 1);
    store.commit(&[accepted]).await.unwrap();
    store.commit(&[crate::store::conformance::cancelled(&job)]).await.unwrap();
    assert!(store.unseen().any(), "the tables have neither");
    let found = store.jobs_by_key(std::slice::from_ref(&job.key)).await.unwrap();
    let one = store.job(&job.key).await.unwrap().unwrap();
    assert_eq!((found[&job.key].revision, one.revision), (2, 2));
    assert!(store.unseen().any(), "nobody needed them to");
}

/// Closing any other handle of the file would take SQLite's locks from the process: a `backup` that ends would then remove the
/// write-ahead log under the broker.
#[tokio::test]
async fn the_locks_of_the_tables_outlive_a_cut_of_the_log() {
    use std::os::unix::fs::MetadataExt as _;

    let files = Files::new();
    let store = files.open().await;
    let inode = std::fs::metadata(files.folder.path().join("ledger.db")).unwrap().ino();
    let held = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let own = format!(" {} ", std::process::id());
        locks.lines().any(|line| line.contains("POSIX") && line.contains(&own) && line.contains(&format!(":{inode} ")))
    };
    store.commit(&accepted(1)).await.unwrap();
    store.shared.tables.lock().await.settle().await.unwrap();
    assert!(held(), "SQLite holds its lock on the file");
    store.shared.tend(true).await.unwrap();
    assert_eq!(logged(&files).await, [0; 0]);
    assert!(held(), "and still does after the log was cut");
}

/// All contents are sealed.
struct Sealed {
    files: Files,
    keys: String,
}

impl Sealed {
    fn new() -> Sealed {
        Sealed { files: Files::new(), keys: crate::store::vault::new_key() }
    }

    async fn open_with(&self, keys: &str) -> SqliteStore {
        SqliteStore::open_with(&self.files.url(), Vault::parse(keys).unwrap()).await.unwrap()
    }
}

impl Bench for Sealed {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        self.open_with(&self.keys).await
    }

    async fn reopen(&self, store: SqliteStore) -> SqliteStore {
        store.close().await.unwrap();
        self.open().await
    }

    async fn damage(&self, seller: &str, sequence: i64) {
        self.files.damage(seller, sequence).await;
    }
}

mod sealed {
    use super::Sealed;
    use crate::store::conformance::suite_of;

    suite_of!(Sealed::new());
}

/// Bytes of all files of a ledger that hold this text.
fn files_with(files: &Files, text: &str) -> Vec<String> {
    let all = std::fs::read_dir(files.folder.path()).unwrap().map(|file| file.unwrap().path());
    let holds = |file: &std::path::PathBuf| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    all.filter(holds).map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// What [`crate::store::conformance::accept`] has in each invoice.
const REMARK: &str = "引号";

#[tokio::test]
async fn no_file_holds_a_sealed_content_and_without_its_key_none_is_read() {
    let bench = Sealed::new();
    let store = bench.open().await;
    store.commit(&accepted(1)).await.unwrap();
    store.shared.tables.lock().await.settle().await.unwrap();
    store.commit(&accepted(2)).await.unwrap();
    assert_eq!(files_with(&bench.files, REMARK), [""; 0], "neither tables nor log");
    assert!(store.restore().await.unwrap().jobs[0].invoice.as_ref().unwrap().remark.contains(REMARK));
    // The second one is in the log alone, and is entered at the next start.
    drop(store);
    let store = bench.open().await;
    assert_eq!(store.restore().await.unwrap().jobs.len(), 2);
    assert_eq!(files_with(&bench.files, REMARK), [""; 0]);
    store.close().await.unwrap();
    for lost in [Vault::default(), Vault::parse(&crate::store::vault::new_key()).unwrap()] {
        let opened = SqliteStore::open_with(&bench.files.url(), lost).await;
        let refused = match opened {
            Ok(store) => store.restore().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(refused, StoreError::Shut(Shut::Missing(_))), "{refused}");
    }
}

#[tokio::test]
async fn no_file_holds_the_secret_of_a_second_factor_and_without_its_key_nobody_comes_in() {
    let bench = Sealed::new();
    let store = bench.open().await;
    let (anna, secret) = crate::store::vault::with_factor("anna");
    store.commit(&[Change::User(anna.clone())]).await.unwrap();
    assert_eq!(files_with(&bench.files, &secret), [""; 0], "neither tables nor log");
    store.shared.tables.lock().await.settle().await.unwrap();
    let (ben, of_ben) = crate::store::vault::with_factor("ben");
    store.commit(&[Change::User(ben.clone())]).await.unwrap();
    // The second one is in the log alone, and is entered at the next start.
    drop(store);
    let store = bench.open().await;
    assert_eq!(store.restore().await.unwrap().users, [anna, ben]);
    assert_eq!(files_with(&bench.files, &secret), [""; 0]);
    assert_eq!(files_with(&bench.files, &of_ben), [""; 0]);
    store.close().await.unwrap();
    let lost = SqliteStore::open_with(&bench.files.url(), Vault::default()).await.unwrap();
    assert!(matches!(lost.restore().await, Err(StoreError::Shut(Shut::Missing(_)))));
}

#[tokio::test]
async fn a_new_key_seals_what_is_new_and_rekey_what_is_old_and_then_the_old_key_may_go() {
    let bench = Sealed::new();
    let plain = bench.files.open().await;
    plain.commit(&accepted(1)).await.unwrap();
    let (anna, secret) = crate::store::vault::with_factor("anna");
    plain.commit(&[Change::User(anna.clone())]).await.unwrap();
    plain.close().await.unwrap();
    assert!(!files_with(&bench.files, REMARK).is_empty(), "before there was a key");
    assert!(!files_with(&bench.files, &secret).is_empty());
    let store = bench.open().await;
    store.commit(&accepted(2)).await.unwrap();
    store.close().await.unwrap();
    let new = crate::store::vault::new_key();
    let both = format!("{new}\n{}", bench.keys);
    let store = bench.open_with(&both).await;
    store.commit(&accepted(3)).await.unwrap();
    assert_eq!(store.rekey(false).await.unwrap(), 6, "two contents, three jobs, and a second factor");
    assert_eq!(files_with(&bench.files, REMARK), [""; 0], "nothing of what was in the plain is left in a page or a log");
    assert_eq!(files_with(&bench.files, &secret), [""; 0]);
    store.close().await.unwrap();
    let store = bench.open_with(&new).await;
    let restored = store.restore().await.unwrap();
    assert_eq!((restored.jobs.len(), restored.users), (3, vec![anna]));
    assert!(crate::store::check::check(&store).await.unwrap().is_whole());
    assert_eq!(store.rekey(true).await.unwrap(), 7);
    store.close().await.unwrap();
    assert_eq!(bench.files.open().await.restore().await.unwrap().jobs.len(), 3, "and back");
}

#[tokio::test]
async fn a_ledger_is_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let files = Files::new();
    let store = files.open().await;
    store.commit(&accepted(1)).await.unwrap();
    let config = crate::config::Store { url: files.url(), ..Default::default() };
    for file in std::fs::read_dir(files.folder.path()).unwrap().map(|file| file.unwrap()) {
        let name = file.file_name().into_string().unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert!(mode == 0o600 || name.ends_with(".lock"), "{name} has mode {mode:o}");
    }
    config.check_modes().unwrap();
    for (name, mode, mend) in
        [("ledger.db", 0o644, "chmod 0600"), ("ledger.db.log", 0o604, "chmod 0600"), ("", 0o757, "chmod 0700")]
    {
        let path = files.folder.path().join(name);
        let before = std::fs::metadata(&path).unwrap().permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = config.check_modes().unwrap_err().0;
        assert!(
            refused.contains(mend) && refused.contains(&path.display().to_string().trim_end_matches('/').to_owned()),
            "{refused}"
        );
        std::fs::set_permissions(&path, before).unwrap();
    }
    config.check_modes().unwrap();
}
