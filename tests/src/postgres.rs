//! A PostgreSQL server of the tests' own: made in a temporary folder, reached by a socket in it, gone with the last test that
//! uses it. Where the programs are missing, the test fails and says what to install; `cargo xtask test` installs it.
//!
//! The store's own tests use this file too (`broker/src/store/postgres/tests.rs`).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A server may take so long to start: it makes its files first, on a machine that is busy.
const START: Duration = Duration::from_secs(120);

/// A running server.
pub struct Server {
    child: Mutex<Child>,
    folder: tempfile::TempDir,
    programs: PathBuf,
    settings: Vec<String>,
    last: AtomicU32,
}

/// The server of this process, while somebody uses it.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The server that all tests of a process share. It ends with its last user.
    pub fn shared() -> Arc<Server> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Server::start(&[]));
        *shared = Arc::downgrade(&server);
        server
    }

    /// A server of its own, with more settings (`fsync=off`).
    pub fn start(settings: &[&str]) -> Server {
        let programs = programs();
        let folder = tempfile::Builder::new().prefix("taxdisk-pg-").tempdir().expect("temporary folder");
        let account = Account::find();
        if let Some(account) = &account {
            std::os::unix::fs::chown(folder.path(), Some(account.uid), Some(account.gid)).expect("the folder changes hands");
        }
        let data = folder.path().join("data");
        let mut init = as_account(account.as_ref(), &programs.join("initdb"));
        init.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"]).arg(&data);
        let made = init.current_dir(folder.path()).output().expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let child = Mutex::new(spawn(&programs, folder.path(), &settings));
        let server = Server { child, folder, programs, settings, last: AtomicU32::new(0) };
        server.wait_ready();
        server
    }

    fn wait_ready(&self) {
        let began = Instant::now();
        while !self.ask("postgres", "SELECT 1").is_ok_and(|answer| answer == "1") {
            let ended = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().expect("a child can be asked for");
            assert!(ended.is_none() && began.elapsed() < START, "PostgreSQL does not start ({ended:?}): {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once, as a crash would: connections are cut, nothing is written back.
    pub fn crash(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = child.wait();
    }

    /// Starts it again over the same files, after [`Server::crash`].
    pub fn start_again(&self) {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = spawn(&self.programs, self.folder.path(), &self.settings);
        self.wait_ready();
    }

    /// A new, empty database; gives its URL.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.last.fetch_add(1, Ordering::Relaxed));
        self.ask("postgres", &format!("CREATE DATABASE {name}")).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.url(&name)
    }

    /// The process that started all others of the server.
    pub fn pids(&self) -> Vec<u32> {
        vec![self.child.lock().unwrap_or_else(PoisonError::into_inner).id()]
    }

    /// URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.path().display())
    }

    /// What psql answers to a statement, without decoration.
    ///
    /// # Errors
    /// What psql said.
    pub fn ask(&self, database: &str, statement: &str) -> Result<String, String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", statement, "-h"]);
        let output = psql.arg(self.folder.path()).output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// A copy of a database in a file, by PostgreSQL's own tool.
    #[allow(dead_code, reason = "not in the store's own tests")]
    pub fn dump(&self, database: &str, to: &Path) {
        self.tool("pg_dump", &["--format=custom", "--file", &to.display().to_string(), database]);
    }

    /// Puts such a copy in the place of the database.
    #[allow(dead_code, reason = "not in the store's own tests")]
    pub fn put_back(&self, database: &str, from: &Path) {
        for statement in [format!("DROP DATABASE {database} WITH (FORCE)"), format!("CREATE DATABASE {database}")] {
            self.ask("postgres", &statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        self.tool("pg_restore", &["--exit-on-error", "--dbname", database, &from.display().to_string()]);
    }

    fn tool(&self, name: &str, args: &[&str]) {
        let mut command = Command::new(self.programs.join(name));
        command.arg("--host").arg(self.folder.path()).args(["--username", "postgres"]).args(args);
        let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

fn spawn(programs: &Path, folder: &Path, settings: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("server.log")).expect("log");
    let mut command = as_account(Account::find().as_ref(), &programs.join("postgres"));
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    command.args(["-c", "listen_addresses=", "-c", "max_connections=200", "-c", "shared_buffers=64MB"]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone().expect("log")).stderr(log);
    command.spawn().expect("postgres starts")
}

/// The newest PostgreSQL that Debian's packages put beside each other, else what is on the path.
pub(crate) fn programs() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            let folder = entry.path().join("bin");
            folder.join("initdb").is_file().then_some((version, folder))
        })
        .collect();
    found.sort();
    if let Some((_, folder)) = found.pop() {
        return folder;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file());
    on_path
        .expect("PostgreSQL is missing: `cargo xtask test` installs it, or: apt-get install --no-install-recommends postgresql")
}

/// PostgreSQL refuses to run as root; then it runs as an account that owns nothing else.
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    pub(crate) fn find() -> Option<Account> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let accounts = std::fs::read_to_string("/etc/passwd").expect("accounts");
        let find = |name: &str| {
            let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some(Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        };
        Some(find("postgres").or_else(|| find("nobody")).expect("the account postgres or nobody"))
    }
}

pub(crate) fn as_account(account: Option<&Account>, program: &Path) -> Command {
    let Some(account) = account else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={}", account.uid)).arg(format!("--regid={}", account.gid)).arg("--clear-groups").arg(program);
    command
}
