//! Operations at disks, and the calendar of what is due.

use taxdisk_protocol::api::{
    BulkOperationLine, BulkOperationRequest, BulkOperationView, DueState, DueView, OperationCancel, OperationKind, OperationPage,
    OperationRequest, OperationState, OperationVerdict, OperationView,
};
use taxdisk_protocol::chain::content_hash;
use taxdisk_protocol::time::Timestamp;
use ureq::http::Method;

use super::rows;
use crate::args::operations::{CalendarArgs, OperateArgs, OperationArgs, OperationsArgs};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::{EXIT_FAILED, EXIT_OK, output};

/// One long poll. The next one follows until the operation has ended.
const WAIT: &str = "30s";

pub(super) fn operate(client: &Client, args: &OperateArgs, json: bool) -> Result<u8, Failure> {
    let operation: OperationKind = args.operation.into();
    let key = args.key.clone().unwrap_or_else(|| today_key(args, operation));
    let Some(disk) = &args.disk else { return bulk(client, args, operation, key, json) };
    let request = OperationRequest {
        key,
        operation,
        kind: args.kind.clone(),
        reason: args.reason.clone(),
        dry_run: args.dry_run,
        anyway: args.anyway,
    };
    let mut view: OperationView = client.send(Method::POST, &format!("/v1/disks/{}/operations", segment(disk)), &request)?;
    let mut told = None;
    while !args.no_wait && !view.state.is_ended() {
        if !json && view.waiting != told {
            told.clone_from(&view.waiting);
            eprintln!("{}: {} …", view.id, view.waiting.as_deref().unwrap_or("at the disk"));
        }
        view = client.get(&format!("/v1/operations/{}?wait={WAIT}", segment(&view.id)))?;
    }
    if json {
        output::json(&view)
    } else {
        output::print(&text(&view))
    }
    Ok(code(&view))
}

/// The same command on the same day is the same operation.
fn today_key(args: &OperateArgs, operation: OperationKind) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let parts = [
        operation.as_str(),
        args.seller.as_deref().unwrap_or_default(),
        args.kind.as_deref().unwrap_or_default(),
        &args.reason,
        if args.anyway { "anyway" } else { "" },
    ];
    content_hash(&format!("{}\n{}", parts.join("\n"), now.day())).chars().take(32).collect()
}

fn bulk(client: &Client, args: &OperateArgs, operation: OperationKind, key: String, json: bool) -> Result<u8, Failure> {
    let request = BulkOperationRequest {
        key,
        seller: args.seller.clone(),
        operation,
        kind: args.kind.clone(),
        reason: args.reason.clone(),
        dry_run: args.dry_run,
        anyway: args.anyway,
    };
    let view: BulkOperationView = client.send(Method::POST, "/v1/operations:bulk", &request)?;
    if json {
        output::json(&view)
    } else {
        output::print(&lines(&view))
    }
    Ok(EXIT_OK)
}

fn lines(view: &BulkOperationView) -> String {
    if view.lines.is_empty() {
        return "No disk is meant.".to_owned();
    }
    let mut table = output::table(&["disk", "seller", "kind", "what is done", "operation", "text"], &[]);
    for BulkOperationLine { disk, seller, kind, action, operation, text, .. } in &view.lines {
        let action = word(action);
        let or = |text: &Option<String>| text.clone().unwrap_or_default();
        table.add_row([disk.clone(), or(seller), or(kind), action, or(operation), text.clone()]);
    }
    let end = if view.dry_run {
        "Nothing was asked of any disk.".to_owned()
    } else {
        format!("See `taxdisk disk operations --bulk {}`.", view.key)
    };
    format!("{table}\n{end}")
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn code(view: &OperationView) -> u8 {
    match view.state {
        OperationState::Done | OperationState::Queued | OperationState::Running => EXIT_OK,
        _ => EXIT_FAILED,
    }
}

pub(super) fn list(client: &Client, args: &OperationsArgs, json: bool) -> Result<u8, Failure> {
    let state = args.state.map(OperationState::from).map(|state| state.as_str().to_owned());
    let parts = [("disk", &args.disk), ("seller", &args.seller), ("state", &state), ("bulk", &args.bulk)];
    let query: String =
        parts.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("&{name}={}", segment(value)))).collect();
    let page: OperationPage = client.get(&format!("/v1/operations?limit={}{query}", args.limit))?;
    if json {
        output::json(&page.operations);
    } else if page.operations.is_empty() {
        output::print("No operations.");
    } else {
        let mut table = output::table(&["operation", "disk", "kind", "what", "state", "asked", "text"], &[]);
        for view in &page.operations {
            let what = format!("{}{}", view.operation, if view.dry_run { " (dry run)" } else { "" });
            let kind = view.kind.clone().unwrap_or_default();
            let text = view.waiting.clone().unwrap_or_else(|| said(view));
            table.add_row([view.id.clone(), view.disk.clone(), kind, what, view.state.to_string(), view.at.clone(), text]);
        }
        output::print(&table.to_string());
    }
    Ok(EXIT_OK)
}

pub(super) fn show(client: &Client, args: &OperationArgs, json: bool) -> Result<u8, Failure> {
    let path = format!("/v1/operations/{}", segment(&args.id));
    let view: OperationView = if args.cancel {
        let cancel = OperationCancel { reason: args.reason.clone(), abandon: args.abandon };
        client.send(Method::POST, &format!("{path}/cancel"), &cancel)?
    } else {
        client.get(&path)?
    };
    if json {
        output::json(&view)
    } else {
        output::print(&text(&view))
    }
    Ok(EXIT_OK)
}

fn said(view: &OperationView) -> String {
    view.result.as_ref().map(|result| result.verdict.text()).unwrap_or_default()
}

/// An operation in words: what became of it, does it count, may it be asked again.
fn text(view: &OperationView) -> String {
    let kind = view.kind.as_ref().map_or_else(String::new, |kind| format!(" of kind {kind}"));
    let mut lines = vec![format!("{}: {}{kind} on disk {}: {}", view.id, view.operation, view.disk, view.state)];
    let what = match view.result.as_ref().map(|result| &result.verdict) {
        None => match (&view.waiting, view.state) {
            (Some(text), _) => format!("It waits: {text}."),
            (None, OperationState::Cancelled) => "It was withdrawn; nothing was sent.".to_owned(),
            (None, _) => "Its end is not known yet.".to_owned(),
        },
        Some(OperationVerdict::Read) => String::new(),
        Some(OperationVerdict::Allowed { warnings }) if warnings.is_empty() => "Allowed. Nothing was sent.".to_owned(),
        Some(OperationVerdict::Allowed { warnings }) => format!("Allowed, but: {}. Nothing was sent.", warnings.join("; ")),
        Some(OperationVerdict::Refused { class, text, anyway }) => {
            let offer = if *anyway { " A person who knows better can add --anyway." } else { "" };
            format!("Refused ({class}): {text}. Nothing was sent.{offer} Ask again with another --key.")
        }
        Some(OperationVerdict::Done { read: true }) => "Done, as reading the disk shows.".to_owned(),
        Some(OperationVerdict::Done { read: false }) => "Done, by the disk's own answer.".to_owned(),
        Some(OperationVerdict::NotDone { class, text }) => {
            format!("Not done ({class}): {text}. That is proven: it is safe to ask again, with another --key.")
        }
        Some(OperationVerdict::Unsettled { class, text }) => {
            format!("Unsettled ({class}): {text}. It may have taken effect: look at the disk before it is asked again.")
        }
    };
    lines.push(format!("  {what}"));
    lines.push(format!("  asked by {} at {}: {}", view.by, view.at, view.reason));
    if let Some(result) = &view.result {
        for (when, readings) in [("before", &result.before), ("after", &result.after)] {
            for stock in &readings.stock {
                let until = stock.issue_deadline.as_deref().unwrap_or("-");
                lines.push(format!("  {when}: kind {}, {} left, issues until {until}", stock.kind, stock.remaining));
            }
            if let Some(held) = &readings.offline {
                lines.push(format!("  {when}: {} invoices wait for their upload, {} in all", held.count, held.sum));
            }
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    lines.join("\n")
}

pub(super) fn calendar(client: &Client, args: &CalendarArgs, json: bool) -> Result<u8, Failure> {
    let state = args.state.map(DueState::from).map(|state| word(&state));
    let parts = [("disk", &args.disk), ("seller", &args.seller), ("state", &state)];
    let query: Vec<String> =
        parts.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", segment(value)))).collect();
    let path = if query.is_empty() { "/v1/calendar".to_owned() } else { format!("/v1/calendar?{}", query.join("&")) };
    let mut due: Vec<DueView> = rows(client, &path)?;
    due.sort_by(|a, b| (a.state, &a.due, &a.disk).cmp(&(b.state, &b.due, &b.disk)));
    if json {
        output::json(&due);
    } else if due.is_empty() {
        output::print("The disks told nothing that is due.");
    } else {
        let mut table = output::table(&["state", "until", "what", "disk", "seller", "kind", "text"], &[]);
        for line in &due {
            let (until, seller) = (line.due.clone().unwrap_or_default(), line.seller.clone().unwrap_or_default());
            let what = line.what.as_str().to_owned();
            table.add_row([word(&line.state), until, what, line.disk.clone(), seller, line.kind.clone(), line.text.clone()]);
        }
        output::print(&table.to_string());
    }
    Ok(EXIT_OK)
}
