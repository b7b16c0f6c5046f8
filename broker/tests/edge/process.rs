//! The program itself: exit codes, ready file, first key, graceful end.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::BOUND;

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taxdisk-broker"));
    command.env("TAXDISK__STORE__URL", format!("sqlite:{}", folder.join("ledger.db").display()));
    command.stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn exit_codes_tell_usage_from_configuration() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(program(folder.path()).arg("srve")).0, 2);
    let (code, _, text) = run(program(folder.path()).args(["serve", "--listen", "0.0.0.0:0"]));
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("tls.certificate"), "{text}");
    let (code, _, text) = run(program(folder.path()).args(["config", "check"]).env("TAXDISK__LIMITS__CONECTIONS", "5"));
    assert_eq!(code, 78);
    assert!(text.contains("conections"), "{text}");
    let (code, _, _) =
        run(program(folder.path()).args(["key", "list"]).env("TAXDISK__STORE__URL", "sqlite:/nonexistent/x/ledger.db"));
    assert_eq!(code, 1);
    let (code, text, _) = run(program(folder.path()).args(["config", "check", "--json"]).env("TAXDISK__LINK__PING_S", "7"));
    assert_eq!(code, 0);
    let lines: Vec<Value> = serde_json::from_str(&text).unwrap();
    let ping = lines.iter().find(|line| line["key"] == "link.ping_s").unwrap();
    assert_eq!((&ping["value"], &ping["source"]), (&"7".into(), &"environment TAXDISK__LINK__PING_S".into()));
}

#[test]
fn keys_are_made_listed_and_revoked_while_the_broker_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text, error) = run(program(folder.path()).args(["key", "create", "--name", "ops", "--role", "admin", "--json"]));
    assert_eq!(code, 0, "{error}");
    let made: Value = serde_json::from_str(&text).unwrap();
    let id = made["id"].as_str().unwrap();
    let (_, list, _) = run(program(folder.path()).args(["key", "list"]));
    assert!(list.contains(id) && list.contains("admin") && list.contains("for ever"), "{list}");
    assert!(!list.contains(made["key"].as_str().unwrap()));
    assert_eq!(run(program(folder.path()).args(["key", "revoke", id])).0, 0);
    assert!(run(program(folder.path()).args(["key", "list"])).1.contains("revoked"));
    assert_eq!(run(program(folder.path()).args(["key", "revoke", "k_unknown"])).0, 1);
}

#[test]
fn a_key_file_or_a_ledger_that_others_can_read_keeps_it_from_serving_and_it_says_what_mends_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode: u32| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let (code, line, _) = run(program(folder.path()).args(["store", "new-key"]));
    assert_eq!((code, line.split(' ').count()), (0, 2), "an id and a key");
    let keys = folder.path().join("store.keys");
    std::fs::write(&keys, &line).unwrap();
    mode(&keys, 0o644);
    let with_keys = |args: &[&str]| run(program(folder.path()).args(args).env("TAXDISK__STORE__KEY_FILE", &keys));
    let (code, _, text) = with_keys(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(code == 78 && text.contains(&format!("chmod 0600 {}", keys.display())), "{code}: {text}");
    assert!(!text.contains(line.split(' ').nth(1).unwrap().trim()), "and shows no key");
    mode(&keys, 0o600);
    let (code, text, error) = with_keys(&["store", "rekey", "--json"]);
    assert_eq!(code, 0, "{error}");
    let done: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&done["written"], &done["key"]), (&0.into(), &line.split(' ').next().unwrap().into()), "an empty ledger");
    let (code, _, text) = run(program(folder.path()).args(["store", "rekey"]));
    assert!(code == 1 && text.contains("store.key_file"), "{text}");
    mode(&folder.path().join("ledger.db"), 0o644);
    let (code, _, text) = with_keys(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(code == 78 && text.contains("chmod 0600") && text.contains("ledger.db"), "{code}: {text}");
}

#[test]
fn it_says_when_it_is_ready_and_ends_gracefully() {
    let folder = tempfile::tempdir().unwrap();
    let systemd = std::os::unix::net::UnixDatagram::bind(folder.path().join("notify")).unwrap();
    systemd.set_read_timeout(Some(BOUND)).unwrap();
    let (ready, key) = (folder.path().join("ready.json"), folder.path().join("admin.key"));
    let mut broker = program(folder.path())
        .args(["serve", "--listen", "127.0.0.1:0", "--ready-file"])
        .arg(&ready)
        .arg("--bootstrap-key-file")
        .arg(&key)
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .env("WATCHDOG_USEC", "400000")
        .env_remove("WATCHDOG_PID")
        .env("TAXDISK__LOG__FORMAT", "json")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + BOUND;
    while !ready.exists() {
        assert!(broker.try_wait().unwrap().is_none(), "the broker ended");
        assert!(Instant::now() < end, "not ready within the bound");
        std::thread::sleep(Duration::from_millis(10));
    }
    let urls: Value = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    let address = urls["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let key = std::fs::read_to_string(&key).unwrap();
    let status = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request =
            format!("GET /v1/keys HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n", key.trim());
        stream.write_all(request.as_bytes()).await.unwrap();
        crate::support::Answer::read(stream).await.status
    });
    assert_eq!(status, 200, "the first key is an administrator's");
    let told = |word: &str| {
        let mut buffer = [0; 1024];
        loop {
            let length = systemd.recv(&mut buffer).expect(word);
            if String::from_utf8_lossy(&buffer[..length]).contains(word) {
                return;
            }
        }
    };
    told("READY=1");
    told("WATCHDOG=1");
    let pid = rustix::process::Pid::from_child(&broker);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    told("STOPPING=1");
    let output = broker.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(&format!("serves http://{address}")), "{text}");
    assert!(!text.contains(key.trim()), "keys never stand in the log");
    assert!(text.lines().any(|line| line.starts_with('{') && line.contains("\"request\":")), "{text}");
    assert!(!ready.exists());
}
