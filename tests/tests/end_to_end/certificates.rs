//! A broker that takes no caller without a certificate, and a portal before it: with one a request goes through to its invoice,
//! without one it waits, and the portal says what is missing.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use taxdisk_drivers::sim::ledger::Ledger;
use taxdisk_protocol::api::JobState;
use taxdisk_tests::api::Api;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::oracle;
use taxdisk_tests::portal::{ANY_PORT, Before, HOOKS, PortalRig, component, disk};
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, BrokerRig, Way};

/// A folder with certificates: the server's (`server.pem`), that of the callers' authority (`callers.pem`), and callers'.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::Builder::new().prefix("taxdisk-").tempdir().unwrap());
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        place.write("server", &made.cert.pem(), &made.signing_key.serialize_pem());
        for (authority, caller) in [("callers", "portal"), ("elsewhere", "stranger")] {
            let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(Vec::new()).unwrap());
            params.distinguished_name.push(DnType::CommonName, authority);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            std::fs::write(place.file(&format!("{authority}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
            let (issuer, own) = (Issuer::new(params, key), KeyPair::generate().unwrap());
            let made = CertificateParams::new(vec![caller.to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
            place.write(caller, &made.pem(), &own.serialize_pem());
        }
        place
    }

    fn write(&self, name: &str, certificate: &str, key: &str) {
        std::fs::write(self.file(&format!("{name}.pem")), certificate).unwrap();
        let file = self.file(&format!("{name}.key"));
        std::fs::write(&file, key).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn broker(&self) -> BrokerRig {
        let store = format!("sqlite:{}", self.file("broker/ledger.db").display());
        let config = format!(
            "open_address = \"127.0.0.1:0\"\n[tls]\ncertificate = {:?}\nkey = {:?}\nclient_authority = {:?}\n\
             client_certificates = \"required\"\n{HOOKS}",
            self.file("server.pem"),
            self.file("server.key"),
            self.file("callers.pem"),
        );
        BrokerRig::start_on(self.path(), "broker", &store, &config)
    }

    /// A caller of the broker with the portal's certificate.
    fn api(&self, broker: &BrokerRig) -> Api {
        let identity = (self.file("portal.pem"), self.file("portal.key"));
        Api::over_tls(&broker.url, &broker.admin_key(), &self.file("server.pem"), Some((&identity.0, &identity.1)))
    }

    /// Lines of the portal's section `[broker]` with the certificate of this caller.
    fn lines(&self, caller: Option<&str>) -> String {
        let mut lines = format!("ca_file = {:?}\n", self.file("server.pem"));
        if let Some(caller) = caller {
            let (certificate, key) = (self.file(&format!("{caller}.pem")), self.file(&format!("{caller}.key")));
            lines += &format!("client_certificate = {certificate:?}\nclient_key = {key:?}\n");
        }
        lines
    }
}

fn document(serial: &str) -> Value {
    json!({
        "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "FPLX": "1", "GMF_MC": "虚构购方", "JSHJ": "113.00",
        "items": [{ "XMMC": "*纸制品*打印纸", "XMJSHJ": "113.00", "SL": "0.13", "SPBM": "1060105010000000000" }],
    })
}

/// What the operator sees of the reason why a request waits.
fn wait_reason(portal: &PortalRig, serial: &str, words: &str) {
    wait_for(&format!("{serial} to wait for {words:?}"), PATIENCE, || {
        let shown = portal.operator().get(&format!("/admin/v1/requests/shop/{serial}"));
        let waiting = shown.body["request"]["waiting"].as_str().unwrap_or_default();
        if waiting.contains(words) { Ok(()) } else { Err(shown.body.to_string()) }
    });
    wait_for(
        &format!("{words:?} in the log"),
        PATIENCE,
        || {
            if portal.log().contains(words) { Ok(()) } else { Err(portal.log()) }
        },
    );
}

#[test]
fn a_portal_with_its_certificate_issues_and_without_it_keeps_what_it_took_and_says_what_is_missing() {
    let place = Place::new();
    let broker = place.broker();
    let api = place.api(&broker);
    assert!(api.put(&format!("/v1/sellers/{SELLER}"), &json!({ "name": "示例商贸有限公司" })).status < 300);
    let stranger = Api::over_tls(&broker.url, &broker.admin_key(), &place.file("server.pem"), None);
    let refused = stranger.try_get("/v1/keys").unwrap_err();
    assert!(refused.contains("CertificateRequired"), "a good key alone: {refused}");

    // The agent has no certificate of a caller: it comes by the open address.
    let sim = disk(place.path(), ANY_PORT);
    let open = broker.told("open_url");
    let way = Way { url: &open, ca_file: Some(&place.file("server.pem")), ..Way::default() };
    let mut agent = AgentRig::enroll_by(place.path(), &api, &way, "component", &[component(&sim)]);
    agent.start(None);
    wait_for("the disk on line", PATIENCE, || {
        let disks = api.get("/v1/disks").body;
        if disks[0]["online"] == true { Ok(()) } else { Err(format!("{disks}\n{}", agent.log())) }
    });

    let (dir, key) = (place.file("portal"), broker.admin_key());
    let store = format!("sqlite:{}", dir.join("portal.db").display());
    let without = place.lines(None);
    let before = Before { url: &broker.url, key: &key, lines: &without };
    let mut portal = PortalRig::of(&dir, &store, &before, "");
    portal.set_up();
    portal.insert_with(&document("C1"), &[]);
    wait_reason(&portal, "C1", "set broker.client_certificate and broker.client_key");
    let said = portal.call("queryInvoiceStatus", &[("fpqqlsh", "C1")]).to_string();
    assert!(!said.contains("certificate") && !said.contains(&broker.url), "how the broker is reached is the operator's: {said}");
    assert!(api.try_jobs(SELLER).unwrap().is_empty(), "the broker took nothing");

    // One of another authority is no better, and the portal says which one it was.
    let with = |caller: &str, portal: &mut PortalRig| {
        portal.running.terminate();
        let lines = place.lines(Some(caller));
        let before = Before { url: &broker.url, key: &key, lines: &lines };
        std::fs::write(dir.join("portal.toml"), PortalRig::config(&dir, &store, &before, "")).unwrap();
        portal.start_again(None);
    };
    with("stranger", &mut portal);
    portal.insert_with(&document("C2"), &[]);
    wait_reason(&portal, "C2", "does not know the one that broker.client_certificate names");
    assert!(api.try_jobs(SELLER).unwrap().is_empty(), "nor now");

    with("portal", &mut portal);
    portal.insert_with(&document("C3"), &[]);
    for serial in ["C1", "C2", "C3"] {
        portal.wait_status(serial, "4");
    }
    let jobs = api.try_jobs(SELLER).unwrap();
    assert!(jobs.len() == 3 && jobs.iter().all(|job| job.state == JobState::Issued), "{jobs:?}");
    let entries = Ledger::read(&place.file("disk-component")).unwrap();
    oracle::check_entries(&jobs, &entries);
    assert_eq!(entries.len(), 3);
    agent.terminate();
}
