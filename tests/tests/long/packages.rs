//! The Debian packages in a clean Debian: installed, set up, upgraded, removed and purged, with the units' own commands and a
//! simulated disk; and data that the version before wrote, gone on with. `cargo xtask test-long packages` builds packages,
//! Debian and the programs of the version before. It needs root for chroot.
//!
//! There is no systemd in it; what it would do (account, folder, notification) is done here from what the unit says.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use taxdisk_protocol::api::{JobState, JobView};
use taxdisk_tests::api::Api;
use taxdisk_tests::jobs::{self, SELLER};
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, Running, wait_for};

const PORT_OF_DISK: &str = "/srv/disk/port";
/// From the first command to the first invoice.
const FIRST_INVOICE: Duration = Duration::from_secs(300);
const NAMES: [&str; 4] = ["taxdisk-agent", "taxdisk-broker", "taxdisk-portal", "taxdisk"];

fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test-long packages`, which makes it"))
}

/// A clean Debian in a folder, with mounts that only its own processes see and that end with them.
struct Debian {
    path: PathBuf,
    namespace: Child,
    _folder: tempfile::TempDir,
}

impl Debian {
    fn fresh() -> Debian {
        assert!(rustix::process::geteuid().is_root(), "chroot and dpkg need root");
        let folder = tempfile::Builder::new().prefix("taxdisk-deb").tempdir().unwrap();
        let path = folder.path().join("root");
        let copied = Command::new("cp").arg("--archive").arg(given("TAXDISK_TEST_DEBIAN")).arg(&path).status().unwrap();
        assert!(copied.success());
        let script = "mount --bind /dev \"$0/dev\" && mount --bind /dev/pts \"$0/dev/pts\" && mount -t proc proc \"$0/proc\" \
                      && echo mounted && exec sleep infinity";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(&path);
        let mut namespace = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(namespace.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n");
        Debian { path, namespace, _folder: folder }
    }

    fn file(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A program inside; `account` as chroot takes it, root if empty.
    fn command(&self, account: &[String], words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.namespace.id())).arg("chroot").args(account);
        command.arg(&self.path).args(words).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> String {
        let output = self.command(&[], words).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{words:?}: {}\n{said}", output.status);
        said
    }

    fn dpkg_install(&self, version: &str) {
        std::fs::create_dir_all(self.file("/tmp/debs")).unwrap();
        let mut words = vec!["dpkg".to_owned(), "--install".to_owned()];
        for entry in std::fs::read_dir(given("TAXDISK_TEST_PACKAGES").join(version)).unwrap() {
            let entry = entry.unwrap().path();
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".deb") {
                std::fs::copy(&entry, self.file("/tmp/debs").join(&name)).unwrap();
                words.push(format!("/tmp/debs/{name}"));
            }
        }
        self.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        std::fs::remove_dir_all(self.file("/tmp/debs")).unwrap();
        let number = if version == "old" { 1 } else { 2 };
        for name in NAMES {
            let found = self.run(&["dpkg-query", "--show", "--showformat=${Version} ${db:Status-Abbrev}", name]);
            assert_eq!(found.trim(), format!("0.1.0+{number} ii"), "{name}");
        }
    }

    /// Everything that a package could leave: names, and the accounts.
    fn contents(&self) -> (BTreeSet<PathBuf>, Vec<String>) {
        let mut names = BTreeSet::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let inside = path.strip_prefix(&self.path).unwrap().to_owned();
                // What every use of dpkg and passwd writes, and what is not on the disk.
                let others = ["dev", "proc", "run", "tmp", "var/lib/dpkg", "var/log", "var/cache", "etc/.pwd.lock"];
                let backup = inside.to_string_lossy().ends_with('-');
                if others.iter().any(|other| inside.starts_with(other)) || backup {
                    continue;
                }
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                }
                names.insert(inside);
            }
        }
        (names, ["passwd", "group", "shadow", "gshadow"].map(|file| self.text(&format!("/etc/{file}"))).into())
    }

    /// `--userspec` and `--groups` of an account.
    fn account(&self, name: &str) -> Vec<String> {
        let passwd = self.text("/etc/passwd");
        let row = passwd.lines().find(|row| row.starts_with(&format!("{name}:"))).unwrap_or_else(|| panic!("no account {name}"));
        let fields: Vec<&str> = row.split(':').collect();
        assert_eq!(fields[6], "/usr/sbin/nologin");
        let groups = self.text("/etc/group");
        let its = groups.lines().filter_map(|row| {
            let fields: Vec<&str> = row.split(':').collect();
            fields[3].split(',').any(|member| member == name).then(|| fields[2].to_owned())
        });
        vec![format!("--userspec={}:{}", fields[2], fields[3]), format!("--groups={}", its.collect::<Vec<_>>().join(","))]
    }

    /// Everything that a service keeps is its account's.
    fn owns_its_folder(&self, name: &str) {
        let top = self.file(&format!("/var/lib/{name}"));
        let owner = std::fs::metadata(&top).unwrap().uid();
        assert_ne!(owner, 0, "{name}");
        let mut folders = vec![top];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let found = std::fs::symlink_metadata(&path).unwrap();
                assert_eq!(found.uid(), owner, "{}", path.display());
                if found.is_dir() {
                    folders.push(path);
                }
            }
        }
    }

    /// Starts a service as its unit says, and waits for the word that systemd would wait for.
    fn serve(&self, name: &str) -> Running {
        let unit = self.text(&format!("/usr/lib/systemd/system/{name}.service"));
        let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).map(str::to_owned);
        assert_eq!(value("Type").as_deref(), Some("notify"));
        let user = value("User").unwrap();
        let account = self.account(&user);
        let groups = value("SupplementaryGroups").unwrap_or_default();
        assert_eq!(
            account[1].trim_start_matches("--groups=").split(',').filter(|one| !one.is_empty()).count(),
            groups.split_whitespace().count()
        );
        let data = std::fs::metadata(self.file(&format!("/var/lib/{}", value("StateDirectory").unwrap()))).unwrap();
        assert_eq!(data.permissions().mode() & 0o777, 0o700);
        assert!(account[0].starts_with(&format!("--userspec={}:", data.uid())));

        let socket = format!("/run/{name}.notify");
        let _ = std::fs::remove_file(self.file(&socket));
        let listens = UnixDatagram::bind(self.file(&socket)).unwrap();
        std::fs::set_permissions(self.file(&socket), std::fs::Permissions::from_mode(0o666)).unwrap();
        listens.set_nonblocking(true).unwrap();
        let words = value("ExecStart").unwrap();
        let mut command = self.command(&account, &words.split_whitespace().collect::<Vec<_>>());
        command.env("NOTIFY_SOCKET", &socket);
        let mut running = Running::start(name, &self.file(&format!("/tmp/{name}.log")), command);
        let log = running.log.clone();
        wait_for(&format!("{name} to be ready"), PATIENCE, || {
            if let Some(status) = running.ended() {
                panic!("{name} ended with {status}: {}", taxdisk_tests::process::tail(&log));
            }
            let mut heard = [0; 512];
            let count = listens.recv(&mut heard).map_err(|error| error.to_string())?;
            let heard = String::from_utf8_lossy(&heard[..count]).into_owned();
            if heard.contains("READY=1") { Ok(()) } else { Err(heard) }
        });
        running
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.text(file);
        assert_eq!(text.matches(from).count(), 1, "{from} in {file}");
        std::fs::write(self.file(file), text.replace(from, to)).unwrap();
    }

    fn private(&self, file: &str, text: &str) {
        std::fs::write(self.file(file), text).unwrap();
        std::fs::set_permissions(self.file(file), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        if let Ok(text) = std::fs::read_to_string(self.path.join("run/taxdisk-agent.pid"))
            && let Some(pid) = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = self.namespace.kill();
        let _ = self.namespace.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn issue(api: &Api, serial: &str) -> JobView {
    assert!(api.submit(&jobs::toll(serial)).status < 300);
    wait_for(&format!("job {serial}"), PATIENCE, || {
        let job = api.try_job(SELLER, serial)?;
        if job.state == JobState::Issued { Ok(job) } else { Err(oracle::summary(&job)) }
    })
}

#[test]
fn packages_install_work_upgrade_and_go_without_a_trace() {
    let debian = Debian::fresh();
    let before = debian.contents();
    let began = Instant::now();
    debian.dpkg_install("old");
    let (broker_port, portal_port) = (free_port(), free_port());
    debian.edit("/etc/taxdisk/broker.toml", "#address = \"127.0.0.1:8470\"", &format!("address = \"127.0.0.1:{broker_port}\""));
    let mut broker = debian.serve("taxdisk-broker");
    let url = format!("http://127.0.0.1:{broker_port}");
    let taxdisk = |words: &[&str]| -> Value {
        let mut all = vec!["taxdisk", "--json", "--broker", &url, "--key-file", "/var/lib/taxdisk-broker/admin.key"];
        all.extend(words);
        let said = debian.run(&all);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    taxdisk(&["seller", "set", SELLER, "--name", "示例商贸有限公司"]);
    let code = taxdisk(&["enrollment", "create", "--name", "till"])["code"].as_str().unwrap().to_owned();

    // The disk: a pseudo-terminal of the agent's account stands for a port of the group dialout.
    let account = debian.account("taxdisk-agent");
    let disk_folder = debian.file("/srv/disk");
    std::fs::create_dir_all(&disk_folder).unwrap();
    let owner = std::fs::metadata(debian.file("/var/lib/taxdisk-agent")).unwrap();
    std::os::unix::fs::chown(&disk_folder, Some(owner.uid()), Some(owner.gid())).unwrap();
    let words = ["taxdisk-agent", "sim", "--pty", PORT_OF_DISK, "--state", "/srv/disk/state", "--taxpayer", SELLER];
    let mut disk = Running::start("disk", &debian.file("/tmp/disk.log"), debian.command(&account, &words));
    wait_for("the disk", PATIENCE, || if debian.file(PORT_OF_DISK).is_symlink() { Ok(()) } else { Err("no port".to_owned()) });

    debian.private(
        "/srv/answers.toml",
        &format!(
            "broker = \"{url}\"\ncode = \"{code}\"\nname = \"till 4\"\n[[disk]]\nport = \"{PORT_OF_DISK}\"\nspeed = 115200\n\
             disk_password = \"88888888\"\ncertificate_password = \"12345678\"\n"
        ),
    );
    let said = debian.run(&["taxdisk-agent", "install", "--answers", "/srv/answers.toml"]);
    assert!(said.contains("Everything was checked and works") && said.contains("--daemon"), "{said}");
    let state = debian.file("/var/lib/taxdisk-agent");
    for name in ["agent.key", "identity.json", "secrets.json", "journal"] {
        let found = std::fs::metadata(state.join(name)).unwrap();
        assert_eq!(found.uid(), owner.uid(), "{name} was made by root and is the account's");
    }
    let mut agent = debian.serve("taxdisk-agent");
    let said = debian.run(&["taxdisk-agent", "install", "--answers", "/srv/answers.toml"]);
    assert!(said.contains("Installed: agent") && said.contains("agent → disk"), "{said}");
    println!("{said}");
    let api = Api::new(&url, debian.text("/var/lib/taxdisk-broker/admin.key").trim());
    let first = issue(&api, "P1");
    println!("from the first command to the first invoice: {:.1} s", began.elapsed().as_secs_f64());
    assert!(began.elapsed() < FIRST_INVOICE, "five minutes are promised");

    // The portal works as it comes, once it has a key of the broker.
    let key = taxdisk(&["key", "create", "--name", "portal", "--role", "admin"])["key"].as_str().unwrap().to_owned();
    debian.private("/etc/taxdisk/portal.key", &key);
    let portal_owner = std::fs::metadata(debian.file("/var/lib/taxdisk-portal")).unwrap();
    std::os::unix::fs::chown(debian.file("/etc/taxdisk/portal.key"), Some(portal_owner.uid()), Some(portal_owner.gid())).unwrap();
    debian.edit("/etc/taxdisk/portal.toml", "#url = \"http://127.0.0.1:8470\"", &format!("url = \"{url}\""));
    debian.edit("/etc/taxdisk/portal.toml", "#address = \"127.0.0.1:8480\"", &format!("address = \"127.0.0.1:{portal_port}\""));
    let mut portal = debian.serve("taxdisk-portal");
    assert_eq!(
        std::fs::metadata(debian.file("/var/lib/taxdisk-portal/operator.key")).unwrap().permissions().mode() & 0o777,
        0o600
    );

    // Upgraded while everything runs; systemd would restart each, which is done here.
    let written = debian.text("/etc/taxdisk/agent.toml");
    debian.dpkg_install("new");
    assert_eq!(debian.text("/etc/taxdisk/agent.toml"), written);
    for running in [&mut agent, &mut portal, &mut broker] {
        assert!(running.terminate().success(), "{}", running.name);
    }
    drop((broker, portal, agent));
    // Who helps looks while nothing runs, as root: what that leaves in the folders is still the services' own.
    for (name, file) in [("taxdisk-broker", "broker"), ("taxdisk-agent", "agent")] {
        let config = format!("/etc/taxdisk/{file}.toml");
        let said = debian.run(&[name, "support", "--config", &config, &format!("/srv/{file}.json")]);
        assert!(said.contains("Read it before you send it"), "{said}");
        std::fs::remove_file(debian.file(&format!("/srv/{file}.json"))).unwrap();
        debian.owns_its_folder(name);
    }
    let said = debian.run(&["taxdisk-broker", "doctor", "--config", "/etc/taxdisk/broker.toml"]);
    assert!(said.contains("good     clock.right") && said.contains("nobody listens"), "{said}");
    debian.owns_its_folder("taxdisk-broker");
    let mut broker = debian.serve("taxdisk-broker");
    let mut agent = debian.serve("taxdisk-agent");
    assert_eq!(issue(&api, "P1").issued, first.issued, "the same number as before");
    issue(&api, "P2");

    // Removed while an agent runs in the background: it is ended in good order, and everything that counts stays.
    assert!(agent.terminate().success());
    drop(agent);
    let pid_file = debian.file("/run/taxdisk-agent.pid");
    std::fs::write(&pid_file, "").unwrap();
    std::os::unix::fs::chown(&pid_file, Some(owner.uid()), Some(owner.gid())).unwrap();
    let background = "taxdisk-agent run --daemon --pid-file /run/taxdisk-agent.pid --log-file /var/lib/taxdisk-agent/agent.log";
    let started = debian.command(&account, &background.split(' ').collect::<Vec<_>>()).output().unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    issue(&api, "P3");
    let said = debian.run(&["dpkg", "--remove", "taxdisk-agent"]);
    assert!(said.contains("/var/lib/taxdisk-agent stays"), "{said}");
    assert!(debian.text("/var/lib/taxdisk-agent/agent.log").contains("the agent has stopped"));
    assert!(broker.terminate().success());
    drop(broker);
    debian.run(&["dpkg", "--remove", "taxdisk-broker", "taxdisk-portal", "taxdisk"]);
    for kept in ["taxdisk-agent/agent.key", "taxdisk-agent/journal", "taxdisk-broker/ledger.db", "taxdisk-portal/portal.db"] {
        assert!(debian.file(&format!("/var/lib/{kept}")).exists(), "{kept}");
    }
    assert!(debian.file("/etc/taxdisk/agent.toml").exists() && !debian.file("/usr/bin/taxdisk-agent").exists());

    // Nothing was lost: installed again, it knows what it issued.
    debian.dpkg_install("new");
    let mut broker = debian.serve("taxdisk-broker");
    let mut agent = debian.serve("taxdisk-agent");
    assert_eq!(issue(&api, "P1").issued, first.issued);
    issue(&api, "P4");
    let ledger = std::fs::read_dir(debian.file("/srv/disk/state")).unwrap().count();
    assert!(ledger > 0);
    for running in [&mut agent, &mut broker, &mut disk] {
        assert!(running.terminate().success(), "{}", running.name);
    }
    drop((agent, broker, disk));

    // A file KEEP keeps the data of a purged package.
    std::fs::write(debian.file("/var/lib/taxdisk-broker/KEEP"), "").unwrap();
    let said = debian.run(&["dpkg", "--purge", "taxdisk-broker"]);
    assert!(said.contains("KEEP") && debian.file("/var/lib/taxdisk-broker/ledger.db").exists(), "{said}");
    std::fs::remove_dir_all(debian.file("/var/lib/taxdisk-broker")).unwrap();
    let said = debian.run(&["dpkg", "--purge", "taxdisk-agent", "taxdisk-portal", "taxdisk"]);
    assert!(said.contains("purging /var/lib/taxdisk-agent"), "{said}");
    // The test's own.
    std::fs::remove_dir_all(debian.file("/srv/disk")).unwrap();
    for file in ["/srv/answers.toml", "/etc/taxdisk/portal.key"] {
        let _ = std::fs::remove_file(debian.file(file));
    }
    let _ = std::fs::remove_dir(debian.file("/etc/taxdisk"));
    let _ = Command::new("chroot").arg(&debian.path).args(["userdel", "taxdisk-broker"]).status();
    assert_eq!(debian.contents(), before, "nothing is left");
}

/// A program of the version before, as the account whose folders it writes.
fn old_program(debian: &Debian, name: &str, account: &[String], words: &[&str]) -> Running {
    let program = format!("/srv/previous/{name}");
    let all: Vec<&str> = std::iter::once(program.as_str()).chain(words.iter().copied()).collect();
    Running::start(name, &debian.file(&format!("/tmp/old-{name}.log")), debian.command(account, &all))
}

#[test]
fn what_the_version_before_wrote_is_gone_on_with_by_the_packages() {
    let debian = Debian::fresh();
    // Accounts, folders and units come with the packages; the programs that write first are those of the version before. That
    // version had no packages of its own.
    debian.dpkg_install("new");
    std::fs::create_dir_all(debian.file("/srv/previous")).unwrap();
    for name in ["taxdisk-broker", "taxdisk-agent"] {
        std::fs::copy(given("TAXDISK_TEST_PREVIOUS").join(name), debian.file(&format!("/srv/previous/{name}"))).unwrap();
    }
    let port = free_port();
    debian.edit("/etc/taxdisk/broker.toml", "#address = \"127.0.0.1:8470\"", &format!("address = \"127.0.0.1:{port}\""));
    let url = format!("http://127.0.0.1:{port}");

    let account = debian.account("taxdisk-broker");
    let text = format!("[listen]\naddress = \"127.0.0.1:{port}\"\n[store]\nurl = \"sqlite:/var/lib/taxdisk-broker/ledger.db\"\n");
    std::fs::write(debian.file("/srv/previous/broker.toml"), text).unwrap();
    let words = ["serve", "--config", "/srv/previous/broker.toml", "--bootstrap-key-file", "/var/lib/taxdisk-broker/admin.key"];
    let mut broker = old_program(&debian, "taxdisk-broker", &account, &words);
    let key = debian.file("/var/lib/taxdisk-broker/admin.key");
    let key = wait_for("the first key", PATIENCE, || std::fs::read_to_string(&key).map_err(|error| error.to_string()));
    let api = Api::new(&url, key.trim());
    let made = wait_for("the broker", PATIENCE, || {
        api.try_send("PUT", &format!("/v1/sellers/{SELLER}"), "application/json", "{\"name\":\"示例商贸有限公司\"}".as_bytes())
    });
    assert!(made.status < 300, "{made:?}");
    let code = api.post("/v1/enrollments", &serde_json::json!({"name": "till"})).body["code"].as_str().unwrap().to_owned();

    let account = debian.account("taxdisk-agent");
    let owner = std::fs::metadata(debian.file("/var/lib/taxdisk-agent")).unwrap();
    std::fs::create_dir_all(debian.file("/srv/disk")).unwrap();
    std::os::unix::fs::chown(debian.file("/srv/disk"), Some(owner.uid()), Some(owner.gid())).unwrap();
    let words = ["taxdisk-agent", "sim", "--pty", PORT_OF_DISK, "--state", "/srv/disk/state", "--taxpayer", SELLER];
    let mut disk = Running::start("disk", &debian.file("/tmp/disk.log"), debian.command(&account, &words));
    wait_for("the disk", PATIENCE, || if debian.file(PORT_OF_DISK).is_symlink() { Ok(()) } else { Err("no port".to_owned()) });
    let text = format!(
        "[broker]\nurl = \"{url}\"\n[state]\ndir = \"/var/lib/taxdisk-agent\"\n[[disk]]\nport = \"{PORT_OF_DISK}\"\n\
         dialect = \"zc\"\nspeed = 115200\n"
    );
    for file in ["/srv/previous/agent.toml", "/etc/taxdisk/agent.toml"] {
        std::fs::write(debian.file(file), &text).unwrap();
    }
    let secret = "disk_password = \"88888888\"\ncertificate_password = \"12345678\"\n";
    debian.private("/srv/disk/secret.toml", secret);
    std::os::unix::fs::chown(debian.file("/srv/disk/secret.toml"), Some(owner.uid()), Some(owner.gid())).unwrap();
    let config = ["--config", "/srv/previous/agent.toml"];
    let once = |words: &[&str]| {
        let mut all = vec!["/srv/previous/taxdisk-agent"];
        all.extend(words.iter().chain(&config));
        let output = debian.command(&account, &all).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    once(&["enroll", &url, &code]);
    once(&["disks", "secret", "set", PORT_OF_DISK, "--from-file", "/srv/disk/secret.toml"]);
    let mut agent = old_program(&debian, "taxdisk-agent", &account, &["run", "--config", "/srv/previous/agent.toml"]);
    let first = issue(&api, "P1");
    issue(&api, "P2");
    // One job is accepted and waits for its disk while the versions change.
    assert!(agent.terminate().success());
    assert!(api.submit(&jobs::toll("P3")).status < 300);
    assert!(broker.terminate().success());
    drop((agent, broker));

    let mut broker = debian.serve("taxdisk-broker");
    let mut agent = debian.serve("taxdisk-agent");
    assert_eq!(issue(&api, "P1").issued, first.issued, "the same number as before");
    let waited = issue(&api, "P3");
    assert_eq!((waited.attempts.len(), waited.trace_id), (1, None), "a job of the version before has no trace");
    assert!(issue(&api, "P4").trace_id.is_some());
    let jobs = oracle::wait_done(&api, 4, PATIENCE);
    let numbers: BTreeSet<_> = jobs.iter().map(|job| job.issued.as_ref().unwrap().number.clone()).collect();
    assert_eq!(numbers.len(), 4, "each has its own number: {jobs:?}");
    debian.owns_its_folder("taxdisk-broker");
    debian.owns_its_folder("taxdisk-agent");
    assert!(agent.terminate().success() && broker.terminate().success() && disk.terminate().success());
    // Nothing that the version before wrote is broken, and its chains are whole.
    debian.run(&["taxdisk-broker", "check", "--config", "/etc/taxdisk/broker.toml"]);
}
