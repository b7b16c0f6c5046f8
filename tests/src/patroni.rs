//! A PostgreSQL cluster as Patroni runs it, on loopback: one etcd, three servers under a Patroni each, strict synchronous
//! replication. Everything lies in a temporary folder and ends with the test.
//!
//! The programs are Debian's packages `patroni`, `etcd-server` and `postgresql`; `cargo xtask test-long patroni` installs them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::postgres::{Account, as_account, programs};
use crate::process::{Running, tail, wait_for};

/// Making three servers, or building one anew from another, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
/// Servers.
pub const NODES: usize = 3;

/// The cluster.
pub struct Patroni {
    nodes: Vec<Node>,
    etcd: Running,
    folder: tempfile::TempDir,
}

/// One server and its Patroni.
struct Node {
    patroni: Option<Running>,
    /// Patroni's own address.
    rest: String,
    port: u16,
    dir: PathBuf,
}

impl Patroni {
    /// Three servers: a primary, a standby that has every commit, and another standby.
    pub fn start() -> Patroni {
        let folder = tempfile::Builder::new().prefix("taxdisk-patroni-").tempdir().expect("temporary folder");
        give_away(folder.path());
        let (client, peer) = (free_port(), free_port());
        let etcd = start_etcd(folder.path(), client, peer);
        let nodes = (0..NODES).map(|index| Node::new(folder.path(), index, client)).collect();
        let mut cluster = Patroni { nodes, etcd, folder };
        // The first one makes the cluster; two would race for it.
        for index in 0..NODES {
            cluster.start_node(index);
            if index == 0 {
                cluster.wait("a primary", |cluster| cluster.primary().ok_or_else(String::new));
            }
        }
        cluster.wait_whole();
        cluster
    }

    /// URL of a new database, naming all servers.
    pub fn database(&self, name: &str) -> String {
        let primary = self.wait("a primary", |cluster| cluster.primary().ok_or_else(String::new));
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-X", "-q", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-c", &format!("CREATE DATABASE {name}")]);
        let output = psql.args(["-p", &self.nodes[primary].port.to_string()]).output().expect("psql starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("postgres://postgres@{}/{name}", hosts.join(","))
    }

    /// The server that is the primary now, if there is one.
    pub fn primary(&self) -> Option<usize> {
        (0..NODES).find(|index| self.nodes[*index].is("primary"))
    }

    /// The machine of this server is gone: `kill -9` for Patroni and PostgreSQL.
    pub fn kill_node(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        // Patroni first: it would start the server again.
        if let Some(patroni) = &mut node.patroni {
            patroni.kill();
        }
        node.patroni = None;
        node.kill_server();
    }

    /// `kill -9` for PostgreSQL alone; its Patroni sees it.
    pub fn kill_server(&self, index: usize) {
        self.nodes[index].kill_server();
    }

    /// Starts a server again that was killed with its Patroni; it comes back as a standby.
    pub fn start_node(&mut self, index: usize) {
        let (dir, log) = (self.nodes[index].dir.clone(), self.folder.path().join(format!("patroni-{index}.log")));
        let mut command = as_account(Account::find().as_ref(), Path::new("patroni"));
        command.arg(dir.join("patroni.yml")).current_dir(&dir).env("LC_ALL", "C.UTF-8").env("HOME", &dir);
        self.nodes[index].patroni = Some(Running::start(&format!("patroni {index}"), &log, command));
    }

    /// Waits until there are a primary, a standby that has every commit, and no server that is not well.
    pub fn wait_whole(&self) {
        self.wait("the whole cluster", |cluster| {
            let primary = cluster.primary().ok_or("no primary")?;
            let answer = ask(&format!("{}/cluster", cluster.nodes[primary].rest)).ok_or("no answer")?;
            let members = answer["members"].as_array().ok_or_else(|| answer.to_string())?;
            let well = members.iter().filter(|member| matches!(member["state"].as_str(), Some("running" | "streaming"))).count();
            let sync = members.iter().any(|member| member["role"] == "sync_standby");
            if well == NODES && sync { Ok(()) } else { Err(answer.to_string()) }
        });
    }

    fn wait<T>(&self, what: &str, mut condition: impl FnMut(&Patroni) -> Result<T, String>) -> T {
        wait_for(what, PATIENCE, || {
            condition(self).map_err(|seen| {
                let logs: Vec<String> = (0..NODES).map(|i| tail(&self.folder.path().join(format!("patroni-{i}.log")))).collect();
                format!("{seen}\n{}\n{}", logs.join("\n---\n"), tail(&self.etcd.log))
            })
        })
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        for index in 0..NODES {
            self.kill_node(index);
        }
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("--- kept: {} ---", self.folder.path().display());
        }
    }
}

impl Node {
    fn new(folder: &Path, index: usize, etcd: u16) -> Node {
        let dir = folder.join(format!("node-{index}"));
        std::fs::create_dir(&dir).expect("folder");
        give_away(&dir);
        let (rest, port) = (free_port(), free_port());
        std::fs::write(dir.join("patroni.yml"), configuration(&dir, index, etcd, rest, port)).expect("configuration");
        Node { patroni: None, rest: format!("http://127.0.0.1:{rest}"), port, dir }
    }

    fn is(&self, role: &str) -> bool {
        self.patroni.is_some() && client().get(format!("{}/{role}", self.rest)).call().is_ok_and(|answer| answer.status() == 200)
    }

    /// The server is no child of ours: its own file says which process it is.
    fn kill_server(&self) {
        let Ok(text) = std::fs::read_to_string(self.dir.join("data/postmaster.pid")) else { return };
        let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()) else { return };
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // A file that is left over may name a process that is somebody else's by now.
        if let (true, Some(pid)) = (command.contains(&*self.dir.to_string_lossy()), rustix::process::Pid::from_raw(pid)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// As a production would have it, but for the short times and the trust on loopback.
fn configuration(dir: &Path, index: usize, etcd: u16, rest: u16, port: u16) -> String {
    let (data, bin, dir) = (dir.join("data").display().to_string(), programs().display().to_string(), dir.display());
    format!(
        "scope: taxdisk
name: node{index}
restapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}'}}
etcd3: {{host: '127.0.0.1:{etcd}'}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 5
    primary_start_timeout: 0
    synchronous_mode: true
    synchronous_mode_strict: true
    postgresql:
      use_pg_rewind: true
      parameters: {{max_connections: 100, shared_buffers: 32MB, wal_keep_size: 256MB, wal_log_hints: 'on'}}
  initdb: [encoding: UTF8, {{locale: C}}, {{auth: trust}}]
postgresql:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}
  data_dir: {data}
  bin_dir: {bin}
  pgpass: {dir}/pgpass
  authentication:
    superuser: {{username: postgres}}
    replication: {{username: replicator}}
  parameters: {{unix_socket_directories: {dir}}}
  pg_hba:
  - local all all trust
  - host all all 127.0.0.1/32 trust
  - host replication all 127.0.0.1/32 trust
"
    )
}

fn start_etcd(folder: &Path, client: u16, peer: u16) -> Running {
    let mut command = Command::new("etcd");
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    command.arg("--data-dir").arg(folder.join("etcd")).args([
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
    ]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    // A busy machine is no reason for an election of one.
    command.args(["--initial-cluster", &format!("default={peer}"), "--heartbeat-interval=500", "--election-timeout=5000"]);
    let etcd = Running::start("etcd", &folder.join("etcd.log"), command);
    wait_for("etcd", PATIENCE, || ask(&format!("{client}/health")).map(drop).ok_or_else(|| tail(&etcd.log)));
    etcd
}

fn client() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(5))).build().into()
}

fn ask(url: &str) -> Option<Value> {
    let text = client().get(url).call().ok()?.body_mut().read_to_string().ok()?;
    serde_json::from_str(&text).ok()
}

/// A port that nobody uses at this moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// PostgreSQL runs under another account where the tests run as root.
fn give_away(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("mode");
    if let Some(account) = Account::find() {
        std::os::unix::fs::chown(folder, Some(account.uid), Some(account.gid)).expect("the folder changes hands");
    }
}
