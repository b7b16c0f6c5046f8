//! The API's description (OpenAPI 3.1), made from the types and never by hand.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::{
    agents, audit, batch, buyers, disks, events, health, jobs, keys, operations, pauses, proposals, reconcile, sellers, updates,
    webhooks,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "taxdisk broker",
        description = "The durable queue and ledger of issuing jobs. Errors are problem documents (RFC 9457) with `code`, `issued`, \
                       `retry` and `who`. A serial number is never replaced by a new one: sent again, it answers with its job.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        version = "1"
    ),
    servers((url = "/")),
    paths(
        jobs::submit, batch::submit, jobs::show, jobs::list, jobs::reissue, jobs::reissue_bulk, jobs::show_bulk,
        jobs::cancel, jobs::settle,
        sellers::put, sellers::show, sellers::list, sellers::put_point, sellers::show_point, sellers::list_points,
        disks::list, disks::assign,
        operations::create, operations::of_disk, operations::list, operations::show, operations::cancel,
        operations::bulk, operations::calendar,
        pauses::disk::pause, pauses::disk::drain, pauses::disk::resume, pauses::agent::pause, pauses::agent::drain,
        pauses::agent::resume, pauses::seller::pause, pauses::seller::drain, pauses::seller::resume, pauses::warnings,
        agents::list, agents::create_enrollment, agents::enroll, agents::revoke, agents::approve, agents::rename,
        updates::show, updates::put, updates::remove,
        keys::create, keys::list, keys::revoke,
        events::stream,
        webhooks::create, webhooks::list, webhooks::show, webhooks::put, webhooks::remove, webhooks::rotate, webhooks::test,
        webhooks::replay, webhooks::deliveries,
        audit::list, audit::verify, audit::proof,
        buyers::export, buyers::erase,
        proposals::list, proposals::confirm, proposals::decline,
        reconcile::show, reconcile::number, reconcile::job, reconcile::release,
        health::alive, health::ready, health::metrics,
    ),
    components(schemas(taxdisk_protocol::error::Problem)),
    modifiers(&Key, &Problems),
)]
struct Document;

struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key: `tdk_…`")).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

/// Whatever else a call answers is a problem document: no key, too many calls, a body that is no JSON, a ledger that is away.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let body = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
        let description = "Refused, or not possible now: `code` says why, `issued` whether an invoice exists, `retry` whether to \
                           send it again";
        let problem = ResponseBuilder::new().description(description).content("application/problem+json", body).build();
        document.components.get_or_insert_default().responses.insert("Problem".to_owned(), RefOr::T(problem));
        for item in document.paths.paths.values_mut() {
            let calls = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
            for call in calls.into_iter().flatten() {
                let other = || RefOr::Ref(Ref::from_response_name("Problem"));
                call.responses.responses.entry("default".to_owned()).or_insert_with(other);
            }
        }
    }
}

/// The document as indented JSON.
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Serves the document.
pub(crate) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_the_committed_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == document(),
            "the API's description has changed. If that is meant: cargo run -p taxdisk-broker -- openapi > broker/openapi.json, \
             and say in the changelog what callers will notice"
        );
    }

    #[test]
    fn every_call_that_needs_a_key_says_so() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let open = ["/healthz", "/readyz", "/metrics", "/v1/agents/enroll"];
        for (path, calls) in document["paths"].as_object().unwrap() {
            for (method, call) in calls.as_object().unwrap() {
                assert_eq!(call["security"].is_null(), open.contains(&path.as_str()), "{method} {path}");
                assert_eq!(call["responses"]["default"]["$ref"], "#/components/responses/Problem", "{method} {path}");
            }
        }
    }
}
