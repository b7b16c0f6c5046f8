//! `taxdisk-portal buyer`: what a buyer may ask of a merchant, over the operator's calls of a running portal.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use taxdisk_web::outbound::{Outbound, Settings};

use super::Failure;
use crate::core::buyers::{BuyerErasure, BuyerQuery};

/// An answer at most, bytes.
const MAX_ANSWER_BYTES: usize = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Address of the portal.
    #[arg(long, env = "TAXDISK_PORTAL", value_name = "URL", default_value = "http://127.0.0.1:8480")]
    portal: String,
    /// File with the operator's key.
    #[arg(long, env = "TAXDISK_OPERATOR_KEY_FILE", value_name = "FILE", default_value = "/var/lib/taxdisk-portal/operator.key")]
    operator_key_file: PathBuf,
    /// PEM: authorities instead of the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Whose buyer: the merchant's id.
    #[arg(long)]
    tenant: String,
    /// 纳税人识别号, exactly.
    #[arg(long, default_value = "")]
    taxpayer_number: String,
    /// 名称, exactly.
    #[arg(long, default_value = "")]
    name: String,
    /// A telephone number or mail address, 5 characters at least.
    #[arg(long, default_value = "")]
    contact: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Buyer {
    /// Write what is kept about a buyer, a line of JSON for each slice that was looked through. That it was asked for stands in
    /// the merchant's history.
    Export {
        #[command(flatten)]
        which: Which,
    },
    /// Remove what is kept about a buyer, where it may go; a line of JSON for each thing. What goes on stays, and invoices as
    /// long as the law wants them.
    Erase {
        #[command(flatten)]
        which: Which,
        /// Why; kept in the merchant's history, so without the buyer's name.
        #[arg(long, default_value = "")]
        reason: String,
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Buyer {
    pub(super) fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Other(format!("the runtime does not start: {error}")))?;
        runtime.block_on(self.slices())
    }

    async fn slices(self) -> Result<(), Failure> {
        let (Buyer::Export { which } | Buyer::Erase { which, .. }) = &self;
        let door = Door::new(which)?;
        let mut buyer = BuyerQuery {
            taxpayer_number: which.taxpayer_number.clone(),
            name: which.name.clone(),
            contact: which.contact.clone(),
            cursor: String::new(),
        };
        loop {
            let (call, body) = match &self {
                Buyer::Export { .. } => ("export", serde_json::to_vec(&buyer)),
                Buyer::Erase { reason, dry_run, .. } => {
                    let erasure = BuyerErasure { buyer: buyer.clone(), reason: reason.clone(), dry_run: *dry_run };
                    ("erase", serde_json::to_vec(&erasure))
                }
            };
            let body = body.map_err(|error| Failure::Other(error.to_string()))?;
            let mut answer = door.call(&format!("/admin/v1/tenants/{}/buyers/{call}", which.tenant), body).await?;
            let cursor = answer["cursor"].take();
            for line in lines(answer) {
                writeln!(std::io::stdout(), "{line}").map_err(|error| Failure::Other(format!("standard output: {error}")))?;
            }
            match cursor.as_str() {
                Some(next) => buyer.cursor = next.to_owned(),
                None => return Ok(()),
            }
        }
    }
}

/// Of an export what it holds, of a removal its rows.
fn lines(mut answer: Value) -> Vec<Value> {
    match answer["rows"].take() {
        Value::Array(rows) => rows,
        _ => {
            if let Some(fields) = answer.as_object_mut() {
                fields.remove("rows");
                fields.remove("cursor");
            }
            let empty = answer.as_object().is_none_or(|all| all.values().all(|one| one.as_array().is_some_and(Vec::is_empty)));
            if empty { Vec::new() } else { vec![answer] }
        }
    }
}

/// The operator's calls of a portal.
struct Door {
    outbound: Outbound,
    url: String,
    authorization: HeaderValue,
}

impl Door {
    fn new(which: &Which) -> Result<Door, Failure> {
        let file = &which.operator_key_file;
        let key = std::fs::read_to_string(file).map_err(|error| Failure::Other(format!("{}: {error}", file.display())))?;
        let authorization = HeaderValue::from_str(&format!("Bearer {}", key.trim()));
        let mut authorization = authorization.map_err(|error| Failure::Other(format!("{}: {error}", file.display())))?;
        authorization.set_sensitive(true);
        let url = which.portal.trim_end_matches('/').to_owned();
        let loopback = ["http://127.0.0.1", "http://[::1]", "http://localhost"].iter().any(|begin| url.starts_with(begin));
        if url.starts_with("http://") && !loopback {
            return Err(Failure::Other(format!(
                "{url}: the operator's key is sent in the clear to this machine only; use https"
            )));
        }
        let authorities = which.ca_file.as_ref().map(|file| crate::serve::authorities(file)).transpose()?;
        // The operator wrote this address: it may be anywhere.
        let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok()).collect();
        let settings = Settings {
            allow_http: true,
            allow_networks: everywhere,
            authorities,
            max_body_bytes: MAX_ANSWER_BYTES,
            call_limit: std::time::Duration::from_secs(60),
            ..Settings::default()
        };
        let outbound = Outbound::new(settings).map_err(|error| Failure::Other(error.to_string()))?;
        Ok(Door { outbound, url, authorization })
    }

    async fn call(&self, path: &str, body: Vec<u8>) -> Result<Value, Failure> {
        let away = |error: &dyn std::fmt::Display| Failure::Other(format!("{}: {error}", self.url));
        let target = self.outbound.target(&format!("{}{path}", self.url)).map_err(|error| away(&error))?;
        let headers = [(AUTHORIZATION, self.authorization.clone()), (CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let answer = self.outbound.call(Method::POST, &target, &headers, Bytes::from(body)).await;
        let answer = answer.map_err(|error| away(&error))?;
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (answer.status, said["detail"].as_str()) {
            (200, _) => Ok(said),
            (status, Some(detail)) => Err(Failure::Other(format!("nothing was done ({status}): {detail}"))),
            (status, None) => Err(away(&format!("status {status}"))),
        }
    }
}
