//! Problem documents as answers: every error of the API leaves through here, with code, `issued`, `retry` and `who`.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use taxdisk_protocol::api::{JobState, JobView};
use taxdisk_protocol::error::{Code, Issued, Problem};

use crate::ledger;

/// A problem on its way to the caller.
#[derive(Debug, Clone)]
pub struct Refused(pub Box<Problem>);

impl Refused {
    /// A problem of the catalogue.
    pub fn new(code: Code, detail: impl Into<String>) -> Refused {
        Refused(Box::new(Problem::new(code, detail)))
    }

    /// The same, saying of `job` whether an invoice exists: a caller that reads `issued: no` may well give up on a serial number.
    pub fn about(mut self, job: &JobView) -> Refused {
        self.0.issued = issued(job);
        self
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        Refused(Box::new(problem))
    }
}

impl From<ledger::Refusal> for Refused {
    fn from(refusal: ledger::Refusal) -> Refused {
        let problem = refusal.problem();
        // What the ledger says of a key that does not exist, is of a thing that is not there.
        match refusal.code {
            "key_unknown" => Refused::new(Code::NotFound, problem.detail),
            _ => Refused::from(problem),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        set(headers, header::CONTENT_TYPE, "application/problem+json");
        match status {
            StatusCode::UNAUTHORIZED => set(headers, header::WWW_AUTHENTICATE, "Bearer"),
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(self.0.retry_after_s.unwrap_or(60)));
            }
            StatusCode::SERVICE_UNAVAILABLE => set(headers, header::RETRY_AFTER, "5"),
            _ => {}
        }
        response
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

/// Does an invoice exist for this job?
fn issued(job: &JobView) -> Issued {
    match job.state {
        JobState::Issued => Issued::Yes,
        // A void job makes no invoice.
        JobState::Queued | JobState::Voided | JobState::Failed | JobState::Cancelled => Issued::No,
        JobState::Assigned | JobState::Unsettled => Issued::Unknown,
    }
}
