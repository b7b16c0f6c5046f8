//! The broker's public API, as far as the portal uses it. Nothing else of the broker is known here.

use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::de::DeserializeOwned;
use taxdisk_protocol::api::{DiskView, JobSubmission, JobView, ReissueAnswer, ReissueRequest, SellerBody, SellerView};
use taxdisk_protocol::error::{Problem, is_about_our_certificate};
use taxdisk_protocol::event::{NewWebhook, WebhookRequest};
use taxdisk_web::outbound::{Outbound, Settings};
use taxdisk_web::tls::Identity;

use crate::config::{Broker, ConfigError};

/// An answer at most, bytes: a job with all its lines and attempts, or a list of disks.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// A call to the broker at most.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// A client of one broker; cheap to clone.
#[derive(Clone)]
pub struct BrokerClient {
    outbound: Outbound,
    url: String,
    authorization: HeaderValue,
    has_identity: bool,
}

/// Why there is no answer to work with.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker said no: what was asked for is not stored.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// It did not answer, or not sensibly. Whether it did something is not known; the same again is safe.
    #[error("{0}")]
    Away(String),
}

impl BrokerClient {
    /// A client over the configured address.
    ///
    /// # Errors
    /// Key, address or authorities cannot be used.
    pub fn new(config: &Broker) -> Result<BrokerClient, ConfigError> {
        let wrong = |key: &str, error: &dyn std::fmt::Display| ConfigError(format!("broker.{key}: {error}"));
        let key = std::fs::read_to_string(&config.key_file)
            .map_err(|error| wrong("key_file", &format!("{}: {error}", config.key_file.display())))?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", key.trim())).map_err(|error| wrong("key_file", &error))?;
        authorization.set_sensitive(true);
        let authorities = config.ca_file.as_ref().map(|file| crate::serve::authorities(file)).transpose()?;
        let identity = match (&config.client_certificate, &config.client_key) {
            (Some(certificate), Some(key)) => {
                Some(Identity::load("broker", certificate, key).map_err(|error| ConfigError(error.to_string()))?)
            }
            (None, None) => None,
            _ => return Err(ConfigError("broker.client_certificate and broker.client_key belong together".to_owned())),
        };
        let has_identity = identity.is_some();
        // The administrator configured this address: it may be anywhere.
        let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok()).collect();
        let outbound = Outbound::new(Settings {
            allow_http: true,
            allow_networks: everywhere,
            authorities,
            identity,
            call_limit: CALL_LIMIT,
            max_body_bytes: MAX_ANSWER_BYTES,
            ..Settings::default()
        })
        .map_err(|error| wrong("url", &error))?;
        let url = config.url.trim_end_matches('/').to_owned();
        outbound.target(&url).map_err(|error| wrong("url", &error))?;
        Ok(BrokerClient { outbound, url, authorization, has_identity })
    }

    /// Hands a job in. The same content again gives the job as it is.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn submit(&self, job: &JobSubmission) -> Result<JobView, BrokerError> {
        self.call(Method::POST, "/v1/jobs", Some(job)).await
    }

    /// Asks for a job again, with the content that it has now.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn reissue(&self, job: &JobSubmission, reason: &str) -> Result<JobView, BrokerError> {
        let path = format!("/v1/jobs/{}/{}/reissue", job.seller, job.serial);
        let request = ReissueRequest { reason: reason.to_owned(), invoice: job.invoice.clone() };
        let answer: ReissueAnswer = self.call(Method::POST, &path, Some(&request)).await?;
        Ok(answer.job)
    }

    /// A job; `None` if the broker knows none.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn job(&self, seller: &str, serial: &str) -> Result<Option<JobView>, BrokerError> {
        match self.call::<(), JobView>(Method::GET, &format!("/v1/jobs/{seller}/{serial}"), None).await {
            Ok(view) => Ok(Some(view)),
            Err(BrokerError::Refused(problem)) if problem.code == "not_found" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The disks.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn disks(&self) -> Result<Vec<DiskView>, BrokerError> {
        self.call::<(), Vec<DiskView>>(Method::GET, "/v1/disks", None).await
    }

    /// The sellers that this key may see.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn sellers(&self) -> Result<Vec<SellerView>, BrokerError> {
        self.call::<(), Vec<SellerView>>(Method::GET, "/v1/sellers", None).await
    }

    /// Writes a seller.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn put_seller(&self, number: &str, body: &SellerBody) -> Result<serde_json::Value, BrokerError> {
        self.call(Method::PUT, &format!("/v1/sellers/{number}"), Some(body)).await
    }

    /// Makes a webhook.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn create_webhook(&self, request: &WebhookRequest) -> Result<NewWebhook, BrokerError> {
        self.call(Method::POST, "/v1/webhooks", Some(request)).await
    }

    /// Writes a webhook anew.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn put_webhook(&self, id: &str, request: &WebhookRequest) -> Result<serde_json::Value, BrokerError> {
        self.call(Method::PUT, &format!("/v1/webhooks/{id}"), Some(request)).await
    }

    /// The broker ends the handshake, and took nothing.
    fn uncertified(&self, cause: &str) -> String {
        let mend = match self.has_identity {
            true => "it does not know the one that broker.client_certificate names",
            false => "set broker.client_certificate and broker.client_key",
        };
        format!("broker: it asks callers for a certificate ({cause}); {mend}, and start the portal again")
    }

    async fn call<B: serde::Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, BrokerError> {
        let away = |error: &dyn std::fmt::Display| BrokerError::Away(format!("broker: {error}"));
        let target = self.outbound.target(&format!("{}{path}", self.url)).map_err(|error| away(&error))?;
        let body = body.map(serde_json::to_vec).transpose().map_err(|error| away(&error))?.unwrap_or_default();
        let headers = [(AUTHORIZATION, self.authorization.clone()), (CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let answer = self.outbound.call(method, &target, &headers, Bytes::from(body)).await.map_err(|error| {
            let cause = error.to_string();
            match is_about_our_certificate(&cause) {
                true => BrokerError::Away(self.uncertified(&cause)),
                false => away(&cause),
            }
        })?;
        match answer.status {
            200..=299 => serde_json::from_slice(&answer.body).map_err(|error| away(&error)),
            // What is refused for good: content, conflicts, what is not there. Everything else passes with time or a person.
            404 | 409 | 422 => match serde_json::from_slice::<Problem>(&answer.body) {
                Ok(problem) if problem.code != "seller_unknown" => Err(BrokerError::Refused(Box::new(problem))),
                Ok(problem) => Err(away(&problem.detail)),
                Err(error) => Err(away(&error)),
            },
            status => Err(away(&format!("status {status}"))),
        }
    }
}
