//! A caller of the broker's HTTP API, as a platform would write one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use taxdisk_protocol::api::{BatchLine, JobPage, JobView};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

use crate::process::{PATIENCE, wait_for};

/// A caller with a key.
#[derive(Clone)]
pub struct Api {
    agent: ureq::Agent,
    pub url: String,
    pub key: String,
}

/// Status and JSON body of an answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    pub fn job(&self) -> JobView {
        serde_json::from_value(self.body.clone()).unwrap_or_else(|error| panic!("not a job: {error}: {self:?}"))
    }
}

impl Api {
    pub fn new(url: &str, key: &str) -> Api {
        Api::with_patience(url, key, Duration::from_secs(90))
    }

    /// A caller that gives up a call after so long.
    pub fn with_patience(url: &str, key: &str, patience: Duration) -> Api {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(patience))
            .max_idle_connections_per_host(16)
            .build();
        Api { agent: config.into(), url: url.to_owned(), key: key.to_owned() }
    }

    /// A caller of a service behind TLS that trusts this authority alone, and shows this certificate with its key (all PEM).
    pub fn over_tls(url: &str, key: &str, authority: &Path, identity: Option<(&Path, &Path)>) -> Api {
        let read = |file: &Path| std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let certificate = |file: &Path| Certificate::from_pem(&read(file)).expect("a certificate");
        let identity = identity.map(|(chain, key)| {
            ClientCert::new_with_certs(&[certificate(chain)], PrivateKey::from_pem(&read(key)).expect("a private key"))
        });
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::Specific(Arc::new(vec![certificate(authority)])))
            .client_cert(identity)
            .build();
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).tls_config(tls);
        Api { agent: config.build().into(), url: url.to_owned(), key: key.to_owned() }
    }

    /// The same broker with another key.
    pub fn with_key(&self, key: &str) -> Api {
        Api { key: key.to_owned(), ..self.clone() }
    }

    /// GET; `Err` only if no answer came.
    pub fn try_get(&self, path: &str) -> Result<Answer, String> {
        let answer = self.agent.get(format!("{}{path}", self.url)).header("authorization", format!("Bearer {}", self.key)).call();
        finish(answer)
    }

    /// Sends a body; `Err` only if no answer came.
    pub fn try_send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, String> {
        let url = format!("{}{path}", self.url);
        let request = match method {
            "PUT" => self.agent.put(url),
            _ => self.agent.post(url),
        };
        finish(request.header("authorization", format!("Bearer {}", self.key)).header("content-type", content_type).send(body))
    }

    /// DELETE; `Err` only if no answer came.
    pub fn try_delete(&self, path: &str) -> Result<Answer, String> {
        let url = format!("{}{path}", self.url);
        finish(self.agent.delete(url).header("authorization", format!("Bearer {}", self.key)).call())
    }

    pub fn get(&self, path: &str) -> Answer {
        once_ready(&format!("GET {path}"), || self.try_get(path))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let body = serde_json::to_vec(body).unwrap();
        once_ready(&format!("POST {path}"), || self.try_send("POST", path, "application/json", &body))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        let body = serde_json::to_vec(body).unwrap();
        once_ready(&format!("PUT {path}"), || self.try_send("PUT", path, "application/json", &body))
    }

    pub fn submit(&self, job: &Value) -> Answer {
        self.post("/v1/jobs", job)
    }

    /// As [`Api::submit`], with a `traceparent`; also what the answer's `x-trace-id` says.
    pub fn submit_traced(&self, job: &Value, traceparent: &str) -> (Answer, String) {
        let body = serde_json::to_vec(job).unwrap();
        let request = self.agent.post(format!("{}/v1/jobs", self.url)).header("authorization", format!("Bearer {}", self.key));
        let request = request.header("content-type", "application/json").header("traceparent", traceparent);
        let answer = request.send(body.as_slice());
        let header = answer.as_ref().ok().and_then(|answer| answer.headers().get("x-trace-id")?.to_str().ok().map(str::to_owned));
        (finish(answer).unwrap(), header.unwrap_or_default())
    }

    /// Submits many at once; the answers in order.
    pub fn batch(&self, jobs: &[Value]) -> Result<Vec<BatchLine>, String> {
        let body: String = jobs.iter().map(|job| format!("{job}\n")).collect();
        let request = self
            .agent
            .post(format!("{}/v1/jobs:batch", self.url))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/x-ndjson");
        let mut answer = request.send(body.as_bytes()).map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(256 << 20).read_to_string().map_err(|error| error.to_string())?;
        if status != 200 {
            return Err(format!("{status}: {text}"));
        }
        text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))).collect()
    }

    pub fn try_job(&self, seller: &str, serial: &str) -> Result<JobView, String> {
        let answer = self.try_get(&format!("/v1/jobs/{seller}/{serial}"))?;
        if answer.status != 200 {
            return Err(format!("{answer:?}"));
        }
        Ok(answer.job())
    }

    pub fn job(&self, seller: &str, serial: &str) -> JobView {
        self.try_job(seller, serial).unwrap()
    }

    /// Every job of a seller.
    pub fn try_jobs(&self, seller: &str) -> Result<Vec<JobView>, String> {
        let mut jobs = Vec::new();
        let mut cursor = String::new();
        loop {
            let answer = self.try_get(&format!("/v1/jobs?seller={seller}&limit=200{cursor}"))?;
            let page: JobPage =
                serde_json::from_value(answer.body.clone()).map_err(|error| format!("not a page: {error}: {answer:?}"))?;
            jobs.extend(page.jobs);
            match page.cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(jobs),
            }
        }
    }
}

/// Asks again while the answer is that nobody leads, as that answer says: a lead may lapse on a machine that is busy.
fn once_ready(what: &str, mut call: impl FnMut() -> Result<Answer, String>) -> Answer {
    wait_for(&format!("an answer to {what}"), PATIENCE, || {
        let answer = call().unwrap_or_else(|error| panic!("{what}: {error}"));
        if answer.status == 503 && answer.code() == "not_ready" { Err(format!("{answer:?}")) } else { Ok(answer) }
    })
}

fn finish(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|error| error.to_string())?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, body })
}
