//! A receiver of spans: OTLP over HTTP on loopback, as a collector would be.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;

/// A body at most, bytes: a batch of the programs has 512 spans.
const MAX_BODY_BYTES: usize = 4 << 20;

/// A span as it came; ids in hex, a parent that is none is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub service: String,
    pub trace: String,
    pub span: String,
    pub parent: String,
    pub name: String,
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, String>,
    pub failed: bool,
}

/// Takes spans until the test ends.
pub struct Receiver {
    /// For `[traces] endpoint`.
    pub url: String,
    spans: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let url = format!("http://{}/v1/traces", listener.local_addr().expect("it is bound"));
        let spans = Arc::<Mutex<Vec<Seen>>>::default();
        let all = spans.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let all = all.clone();
                std::thread::spawn(move || take(stream, &all));
            }
        });
        Receiver { url, spans }
    }

    /// What came of this trace, in the order of its beginnings.
    pub fn of(&self, trace: &str) -> Vec<Seen> {
        let all = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = all.iter().filter(|seen| seen.trace == trace).cloned().collect();
        found.sort_by_key(|seen| seen.start);
        found
    }
}

/// One request a connection.
fn take(mut stream: TcpStream, all: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let (mut length, mut kind) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok().filter(|length| *length <= MAX_BODY_BYTES)?,
            "content-type" => kind = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let read = ExportTraceServiceRequest::decode(body.as_slice());
    let status = match read {
        Ok(request) if kind == "application/x-protobuf" && first.starts_with("POST /v1/traces ") => {
            all.lock().unwrap_or_else(PoisonError::into_inner).extend(seen(request));
            "200 OK"
        }
        _ => "400 Bad Request",
    };
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()
}

fn seen(request: ExportTraceServiceRequest) -> Vec<Seen> {
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let resource = attributes(group.resource.map(|resource| resource.attributes).unwrap_or_default());
        let service = resource.get("service.name").cloned().unwrap_or_default();
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Seen {
                service: service.clone(),
                trace: hex::encode(&span.trace_id),
                span: hex::encode(&span.span_id),
                parent: hex::encode(&span.parent_span_id),
                name: span.name,
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                attributes: attributes(span.attributes),
                failed: span.status.is_some_and(|status| status.code == 2),
            });
        }
    }
    spans
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    pairs.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}
