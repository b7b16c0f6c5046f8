//! The API's description (OpenAPI 3.1), made from the types and never by hand.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder, Schema};
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
        proposals::list, proposals::confirm, proposals::decline, proposals::withdraw,
        reconcile::show, reconcile::number, reconcile::job, reconcile::release,
        health::alive, health::ready, health::metrics,
    ),
    components(schemas(taxdisk_protocol::error::Problem)),
    modifiers(&Key, &Problems, &Written),
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

/// How the numbers that callers write look. The check character of a taxpayer number is checked beside it.
struct Written;

/// Of a property or parameter of this name.
const WRITTEN: [(&str, &str); 7] = [
    ("agent", "^ag_[0-9a-f]{16}$"),
    ("disk", "^[0-9A-Za-z]{1,20}$"),
    ("issue_point", "^[0-9A-Za-z_-]{1,40}$"),
    // In the paths of disks.
    ("number", "^[0-9A-Za-z]{1,20}$"),
    ("seller", "^[0-9A-Z]{15,20}$"),
    ("serial", "^[0-9A-Za-z]{1,20}$"),
    ("taxno", "^[0-9A-Z]{15,20}$"),
];

impl Written {
    fn of(name: &str) -> Option<&'static str> {
        WRITTEN.iter().find(|(of, _)| *of == name).map(|(_, pattern)| *pattern)
    }

    fn note(schema: &mut RefOr<Schema>, pattern: &str) {
        if let RefOr::T(Schema::Object(object)) = schema {
            object.pattern = Some(pattern.to_owned());
        }
    }
}

impl Modify for Written {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let calls = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
            let parameters = calls.into_iter().flatten().filter_map(|call| call.parameters.as_mut()).flatten();
            // What is asked for in a query may be the beginning of one.
            for parameter in parameters {
                let RefOr::T(parameter) = parameter else { continue };
                if !matches!(parameter.parameter_in, ParameterIn::Path) {
                    continue;
                }
                if let (Some(pattern), Some(schema)) = (Written::of(&parameter.name), parameter.schema.as_mut()) {
                    Written::note(schema, pattern);
                }
            }
        }
        let schemas = document.components.get_or_insert_default().schemas.iter_mut();
        let asked = |name: &str| ["Request", "Submission", "Assignment"].iter().any(|end| name.ends_with(end));
        for (_, schema) in schemas.filter(|(name, _)| asked(name)) {
            let RefOr::T(Schema::Object(object)) = schema else { continue };
            for (name, property) in &mut object.properties {
                if let Some(pattern) = Written::of(name) {
                    Written::note(property, pattern);
                }
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
    fn numbers_that_callers_write_are_described() {
        let text: serde_json::Value = serde_json::from_str(&document()).unwrap();
        let submission = &text["components"]["schemas"]["JobSubmission"]["properties"];
        assert_eq!(submission["serial"]["pattern"], "^[0-9A-Za-z]{1,20}$");
        assert_eq!(submission["seller"]["pattern"], "^[0-9A-Z]{15,20}$");
        let paths = text["paths"].as_object().unwrap();
        let parameters = paths.values().flat_map(|item| item.as_object().unwrap().values());
        let parameters = parameters.filter_map(|call| call["parameters"].as_array()).flatten();
        let undescribed: Vec<_> =
            parameters.filter(|one| one["in"] == "path" && one["name"] != "id" && one["schema"]["pattern"].is_null()).collect();
        assert!(undescribed.iter().all(|one| one["name"] == "key"), "{undescribed:?}");
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
