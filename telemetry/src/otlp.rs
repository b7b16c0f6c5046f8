//! The sending side: OpenTelemetry's batches (a queue with a bound and a thread of its own), its OTLP encoding, and the HTTP
//! client that the other programs of this workspace use.
//!
//! Headers that a receiver wants, such as a token, come from the variable that OpenTelemetry names for it
//! (`OTEL_EXPORTER_OTLP_HEADERS`), so that none stands in a configuration file.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};

use super::{Kind, Span, TracesError};

/// One request to the receiver, seconds. It may be far away, and nobody waits.
const SEND_S: u64 = 10;
/// Between two batches: soon enough for who watches, rare enough for thousands of jobs a second.
const EVERY: Duration = Duration::from_millis(500);
/// Spans that wait at most; about 1 KiB each. More are dropped: a receiver that is away must cost neither memory nor time.
const QUEUE_SPANS: usize = 8192;
/// Spans of one request at most.
const BATCH_SPANS: usize = 512;
/// An answer of the receiver at most, bytes.
const ANSWER_BYTES: u64 = 64 * 1024;
/// The end of a program waits so long at most for what was told.
const FLUSH: Duration = Duration::from_secs(2);

static PROCESSOR: OnceLock<BatchSpanProcessor> = OnceLock::new();

/// As the other programs do it: rustls, one provider, what the system trusts.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new() -> Client {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(SEND_S)))
            .http_status_as_error(false)
            // What a receiver points at is nobody that the configuration names.
            .max_redirects(0)
            .tls_config(tls)
            .build();
        Client(config.new_agent())
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    /// Blocks: the batches' own thread is the only caller.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(parts, body.to_vec()))?;
        let (parts, mut body) = answer.into_parts();
        let bytes = body.with_config().limit(ANSWER_BYTES).read_to_vec()?;
        Ok(Response::from_parts(parts, bytes.into()))
    }
}

fn refused(endpoint: &str, why: impl std::fmt::Display) -> TracesError {
    TracesError(format!("[traces] endpoint = {endpoint:?} cannot be used: {why}. Write http://host:4318/v1/traces."))
}

pub(super) fn start(endpoint: &str, service: &'static str, version: &str) -> Result<(), TracesError> {
    let url: http::Uri = endpoint.parse().map_err(|error| refused(endpoint, error))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
        return Err(refused(endpoint, "it is no address of http or https"));
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refused("…", "passwords do not belong into it; OTEL_EXPORTER_OTLP_HEADERS takes a token"));
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client::new())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(Duration::from_secs(SEND_S))
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| refused(endpoint, error))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS)
        .with_max_export_batch_size(BATCH_SPANS)
        .with_scheduled_delay(EVERY)
        .build();
    let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let resource = Resource::builder_empty()
        .with_attributes([KeyValue::new("service.name", service), KeyValue::new("service.version", version.to_owned())])
        .build();
    processor.set_resource(&resource);
    // A second start in one process (tests) keeps the first one's receiver.
    let _ = PROCESSOR.set(processor);
    Ok(())
}

pub(super) fn send(span: Span) {
    if let Some(processor) = PROCESSOR.get() {
        processor.on_end(data(span));
    }
}

pub(super) fn flush() {
    if let Some(processor) = PROCESSOR.get()
        && let Err(error) = processor.shutdown_with_timeout(FLUSH)
    {
        tracing::warn!(%error, "the last spans were not sent");
    }
}

fn data(span: Span) -> SpanData {
    let context = SpanContext::new(
        TraceId::from_bytes(span.at.trace()),
        SpanId::from_bytes(span.at.span()),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    SpanData {
        span_context: context,
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        // Whether a parent is of this program is known to nobody here, and nothing rests on it.
        parent_span_is_remote: false,
        span_kind: match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Producer => SpanKind::Producer,
        },
        name: span.name.into(),
        start_time: span.start,
        // Clocks may be set; a span never ends before it began.
        end_time: span.end.max(span.start),
        attributes: span.attributes.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("taxdisk").build(),
    }
}
