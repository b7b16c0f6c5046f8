//! `webhook …`

use std::path::Path;

use taxdisk_protocol::event::{
    DeliveryPage, DeliveryView, NewWebhook, ReplayAnswer, ReplayRequest, RotateRequest, TestAnswer, WebhookRequest, WebhookView,
};
use ureq::http::Method;

use super::admin::say;
use super::{read_whole, rows};
use crate::args::webhook::{ReplayArgs, Wanted, WebhookCommand};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::{EXIT_FAILED, EXIT_OK, output};

/// Deliveries that are asked for at once.
const PAGE: usize = 200;

/// `webhook …`
pub(super) fn run(client: &Client, command: WebhookCommand, json: bool) -> Result<u8, Failure> {
    match command {
        WebhookCommand::Create { wanted, signing, secret_file } => {
            let secret = secret_file.as_deref().map(secret_of).transpose()?;
            let signing = secret.is_none().then(|| signing.into());
            let request = WebhookRequest { signing, secret, ..request(wanted, true) };
            let made: NewWebhook = client.send(Method::POST, "/v1/webhooks", &request)?;
            say(json, &made, || new_text(&made));
        }
        WebhookCommand::List => {
            let found: Vec<WebhookView> = rows(client, "/v1/webhooks")?;
            say(json, &found, || table(&found));
        }
        WebhookCommand::Show { webhook } => {
            let found: WebhookView = client.get(&path(&webhook, ""))?;
            say(json, &found, || text(&found));
        }
        WebhookCommand::Set { webhook, wanted, disable } => {
            let found: WebhookView = client.send(Method::PUT, &path(&webhook, ""), &request(wanted, !disable))?;
            say(json, &found, || text(&found));
        }
        WebhookCommand::Enable { webhook } => {
            let known: WebhookView = client.get(&path(&webhook, ""))?;
            let wanted = Wanted { url: known.url, description: known.description, events: known.events, sellers: known.sellers };
            let found: WebhookView = client.send(Method::PUT, &path(&webhook, ""), &request(wanted, true))?;
            say(json, &found, || text(&found));
        }
        WebhookCommand::Delete { webhook } => {
            client.delete(&path(&webhook, ""))?;
            say(json, &serde_json::json!({ "id": webhook, "deleted": true }), || format!("Webhook {webhook} is gone."));
        }
        WebhookCommand::Rotate { webhook, overlap_s, secret_file } => {
            let secret = secret_file.as_deref().map(secret_of).transpose()?;
            let request = RotateRequest { overlap_s, secret };
            let made: NewWebhook = client.send(Method::POST, &path(&webhook, "/rotate"), &request)?;
            say(json, &made, || new_text(&made));
        }
        WebhookCommand::Test { webhook } => {
            let answer: TestAnswer = client.send(Method::POST, &path(&webhook, "/test"), &serde_json::json!({}))?;
            say(json, &answer, || {
                let what = if answer.delivered { "taken" } else { "NOT taken" };
                let status = answer.status.map_or("no answer".to_owned(), |status| format!("status {status}"));
                format!("{} was {what}: {status} after {} ms. {}", answer.id, answer.ms, answer.text).trim_end().to_owned()
            });
            return Ok(if answer.delivered { EXIT_OK } else { EXIT_FAILED });
        }
        WebhookCommand::Replay(args) => {
            let answer = replay(client, args)?;
            say(json, &answer, || format!("{} deliveries are sent again.", answer.queued));
        }
        WebhookCommand::Deliveries { webhook, state, limit } => {
            let found = deliveries(client, &webhook, state.map(|state| state.as_str()), limit)?;
            say(json, &found, || delivery_table(&found));
        }
    }
    Ok(EXIT_OK)
}

fn path(webhook: &str, rest: &str) -> String {
    format!("/v1/webhooks/{}{rest}", segment(webhook))
}

fn request(wanted: Wanted, enabled: bool) -> WebhookRequest {
    let Wanted { url, description, events, sellers } = wanted;
    WebhookRequest { url, description, events, sellers, enabled, signing: None, secret: None }
}

fn secret_of(file: &Path) -> Result<String, Failure> {
    Ok(read_whole(file)?.trim().to_owned())
}

/// Page after page, until nothing more is there.
fn replay(client: &Client, args: ReplayArgs) -> Result<ReplayAnswer, Failure> {
    let ReplayArgs { webhook, event, failed, since, until } = args;
    let mut request = ReplayRequest { event, failed, since, until, cursor: None };
    let mut queued = 0;
    loop {
        let answer: ReplayAnswer = client.send(Method::POST, &path(&webhook, "/replay"), &request)?;
        queued += answer.queued;
        request.cursor = answer.cursor;
        if request.cursor.is_none() {
            return Ok(ReplayAnswer { queued, cursor: None });
        }
    }
}

fn deliveries(client: &Client, webhook: &str, state: Option<&str>, limit: usize) -> Result<Vec<DeliveryView>, Failure> {
    let mut found = Vec::new();
    let state = state.map_or(String::new(), |state| format!("&state={state}"));
    let mut cursor = String::new();
    while found.len() < limit {
        let count = (limit - found.len()).min(PAGE);
        let page: DeliveryPage = client.get(&path(webhook, &format!("/deliveries?limit={count}{state}{cursor}")))?;
        found.extend(page.deliveries);
        match page.cursor {
            Some(next) => cursor = format!("&cursor={}", segment(&next)),
            None => break,
        }
    }
    Ok(found)
}

fn new_text(made: &NewWebhook) -> String {
    let id = &made.webhook.id;
    match (&made.secret, &made.webhook.public_key) {
        (Some(secret), _) => {
            format!("{secret}\nShown this once; the receiver checks signatures with it. The webhook's id is {id}.")
        }
        (None, Some(key)) => format!("{key}\nThe receiver checks signatures with this public key. The webhook's id is {id}."),
        (None, None) => format!("Webhook {id} signs with the secret that you gave."),
    }
}

fn state(webhook: &WebhookView) -> String {
    match (&webhook.disabled, webhook.enabled, &webhook.failing_since) {
        (Some(disabled), ..) => format!("SWITCHED OFF at {}: {}", disabled.at, disabled.text),
        (None, false, _) => "switched off".to_owned(),
        (None, true, Some(since)) => format!("failing since {since}"),
        (None, true, None) => "open".to_owned(),
    }
}

fn all(words: &[String]) -> String {
    if words.is_empty() { "all".to_owned() } else { words.join(", ") }
}

fn table(webhooks: &[WebhookView]) -> String {
    if webhooks.is_empty() {
        return "No webhooks: `taxdisk webhook create`.".to_owned();
    }
    let mut table = output::table(&["webhook", "url", "events", "sellers", "state", "waiting", "last taken"], &[5]);
    for webhook in webhooks {
        table.add_row([
            webhook.id.clone(),
            webhook.url.clone(),
            all(&webhook.events),
            all(&webhook.sellers),
            state(webhook),
            webhook.waiting.to_string(),
            webhook.delivered_at.clone().unwrap_or_else(|| "never".to_owned()),
        ]);
    }
    table.to_string()
}

fn text(webhook: &WebhookView) -> String {
    let mut lines = vec![format!("{} {} {}", webhook.id, webhook.url, webhook.description).trim_end().to_owned()];
    lines.push(format!("  {}; {} deliveries wait", state(webhook), webhook.waiting));
    lines.push(format!("  events: {}; sellers: {}", all(&webhook.events), all(&webhook.sellers)));
    if let Some(key) = &webhook.public_key {
        lines.push(format!("  public key: {key}"));
    }
    if let Some(until) = &webhook.old_secret_until {
        lines.push(format!("  the secret before this one signs too until {until}"));
    }
    lines.join("\n")
}

fn delivery_table(deliveries: &[DeliveryView]) -> String {
    if deliveries.is_empty() {
        return "No deliveries.".to_owned();
    }
    let mut table = output::table(&["event", "type", "job", "state", "tries", "last attempt", "next"], &[4]);
    for delivery in deliveries {
        let job = match (&delivery.seller, &delivery.serial, delivery.revision) {
            (Some(seller), Some(serial), Some(revision)) => format!("{seller}/{serial} @{revision}"),
            _ => delivery.seller.clone().unwrap_or_default(),
        };
        let last = delivery.attempts.last().map_or(String::new(), |last| {
            let status = last.status.map_or("no answer".to_owned(), |status| status.to_string());
            format!("{} {status} {}", last.at, last.text).trim_end().to_owned()
        });
        let state = format!("{:?}", delivery.state).to_lowercase();
        let next = delivery.next_at.clone().unwrap_or_default();
        table.add_row([delivery.event.clone(), delivery.kind.clone(), job, state, delivery.tries.to_string(), last, next]);
    }
    table.to_string()
}
