//! Several brokers on one PostgreSQL database, with disks and agents, all in one temporary folder.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use taxdisk_drivers::sim::config::SimConfig;
use taxdisk_protocol::api::DiskView;

use crate::api::Api;
use crate::jobs::SELLER;
use crate::postgres::Server;
use crate::process::{PATIENCE, wait_for};
use crate::rig::{AgentRig, BrokerRig, SimRig};

/// Brokers on one database.
pub struct ClusterRig {
    pub brokers: Vec<BrokerRig>,
    /// One for each broker, with the administrator's key.
    pub apis: Vec<Api>,
    pub server: Arc<Server>,
    dir: tempfile::TempDir,
}

impl ClusterRig {
    /// `count` brokers and the tests' seller. The first one leads at the beginning.
    pub fn new(count: usize) -> ClusterRig {
        let dir = tempfile::Builder::new().prefix("taxdisk-").tempdir().expect("temporary folder");
        ClusterRig::start(dir, Server::shared(), count, "")
    }

    /// As [`ClusterRig::new`], on a server that no other test uses.
    pub fn with_own_server(count: usize) -> ClusterRig {
        let dir = tempfile::Builder::new().prefix("taxdisk-").tempdir().expect("temporary folder");
        ClusterRig::start(dir, Arc::new(Server::start(&[])), count, "")
    }

    /// As [`ClusterRig::new`], with TLS between the brokers.
    pub fn with_tls(count: usize) -> ClusterRig {
        let dir = tempfile::Builder::new().prefix("taxdisk-").tempdir().expect("temporary folder");
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let (certificate, key) = (dir.path().join("inside.pem"), dir.path().join("inside.key"));
        std::fs::write(&certificate, made.cert.pem()).expect("certificate");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("key");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode of the key");
        let (certificate, key) = (certificate.display(), key.display());
        let config = format!("[cluster.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\nauthority = \"{certificate}\"\n");
        ClusterRig::start(dir, Server::shared(), count, &config)
    }

    fn start(dir: tempfile::TempDir, server: Arc<Server>, count: usize, config: &str) -> ClusterRig {
        let store = server.database();
        let mut brokers = vec![BrokerRig::start_on(dir.path(), "broker-0", &store, config)];
        let key = brokers[0].admin_key();
        for index in 1..count {
            brokers.push(BrokerRig::start_on(dir.path(), &format!("broker-{index}"), &store, config));
        }
        let apis: Vec<Api> = brokers.iter().map(|broker| Api::new(&broker.url, &key)).collect();
        let answer = apis[0].put(&format!("/v1/sellers/{SELLER}"), &json!({"name": "示例商贸有限公司"}));
        assert!(answer.status < 300, "{answer:?}");
        ClusterRig { brokers, apis, server, dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn disk(&self, name: &str, change: impl FnOnce(&mut SimConfig)) -> SimRig {
        SimRig::start(self.dir.path(), name, change)
    }

    /// An agent of this disk whose link goes to one of the brokers.
    pub fn agent(&self, broker: usize, name: &str, disk: &SimRig) -> AgentRig {
        AgentRig::enroll_at(self.dir.path(), &self.apis[broker], name, &[&disk.port], "")
    }

    /// Does this broker lead, by its own figures?
    pub fn leads(&self, broker: usize) -> Result<bool, String> {
        let answer = self.apis[broker].try_get("/metrics")?;
        let text = answer.body.as_str().ok_or("no text")?;
        Ok(text.lines().any(|line| line == "taxdisk_leads 1"))
    }

    /// Waits until this broker answers for the ledger, itself or by forwarding.
    pub fn wait_serving(&self, broker: usize) {
        wait_for(&format!("broker {broker} to serve"), PATIENCE, || {
            let answer = self.apis[broker].try_get("/readyz")?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
        });
    }

    /// Waits until the disk can be used, asking one of the brokers.
    pub fn wait_online(&self, broker: usize, disk: &str) {
        wait_for(&format!("disk {disk} on line"), PATIENCE, || {
            let answer = self.apis[broker].try_get("/v1/disks")?;
            let rows = if answer.body.is_array() { answer.body.clone() } else { answer.body["disks"].clone() };
            let disks: Vec<DiskView> = serde_json::from_value(rows).map_err(|error| format!("{error}: {answer:?}"))?;
            match disks.iter().find(|view| view.report.disk == disk) {
                Some(view) if view.online && view.report.health.ready => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// Submits until it is accepted, as a platform would: the same serial number again and again. Gives the first good answer.
    pub fn submit(&self, broker: usize, job: &Value) -> u16 {
        let text = serde_json::to_vec(job).expect("JSON");
        wait_for("an answer to the submission", PATIENCE, || {
            let answer = self.apis[broker].try_send("POST", "/v1/jobs", "application/json", &text)?;
            match answer.status {
                200 | 201 => Ok(answer.status),
                500.. => Err(format!("{answer:?}")),
                _ => panic!("{answer:?}"),
            }
        })
    }
}

/// What a failed test leaves is kept for whoever looks into it.
impl Drop for ClusterRig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("--- kept: {} ---", self.dir.path().display());
        }
    }
}
