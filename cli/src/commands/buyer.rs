//! `buyer …`: what is kept about a buyer.

use taxdisk_protocol::api::{BuyerErased, BuyerErasure, BuyerExport, BuyerQuery};
use ureq::http::Method;

use crate::args::{BuyerArgs, BuyerCommand};
use crate::client::Client;
use crate::failure::Failure;
use crate::{EXIT_OK, output};

/// `buyer …`
pub(super) fn run(client: &Client, command: BuyerCommand, json: bool) -> Result<u8, Failure> {
    match command {
        BuyerCommand::Export { buyer } => {
            let mut query = query(buyer);
            loop {
                let page: BuyerExport = client.send(Method::POST, "/v1/buyers:export", &query)?;
                for job in &page.jobs {
                    output::print(&serde_json::to_string(job).unwrap_or_default());
                }
                query.cursor = page.cursor;
                if query.cursor.is_none() {
                    return Ok(EXIT_OK);
                }
            }
        }
        BuyerCommand::Erase { buyer, reason, dry_run } => {
            let mut request = BuyerErasure { buyer: query(buyer), reason, dry_run };
            let mut erased = BuyerErased::default();
            loop {
                let page: BuyerErased = client.send(Method::POST, "/v1/buyers:erase", &request)?;
                erased.jobs.extend(page.jobs);
                request.buyer.cursor = page.cursor;
                if request.buyer.cursor.is_none() {
                    break;
                }
            }
            if json {
                output::json(&erased)
            } else {
                output::print(&text(&erased, dry_run))
            }
            Ok(EXIT_OK)
        }
    }
}

fn query(args: BuyerArgs) -> BuyerQuery {
    let BuyerArgs { taxpayer_number, name, contact, seller } = args;
    BuyerQuery { taxpayer_number, name, contact, seller, cursor: None }
}

fn text(erased: &BuyerErased, dry_run: bool) -> String {
    let mut text = String::new();
    for job in &erased.jobs {
        let became = match (&job.kept, &job.until) {
            (None, _) if dry_run => "would be removed".to_owned(),
            (None, _) => "removed".to_owned(),
            (Some(why), Some(until)) => format!("kept until {until} ({why})"),
            (Some(why), None) => format!("kept ({why})"),
        };
        text.push_str(&format!("{} {}  {became}\n", job.seller, job.serial));
    }
    let kept = erased.jobs.iter().filter(|job| job.kept.is_some()).count();
    let gone = erased.jobs.len() - kept;
    text + &format!("{} jobs: {gone} {}, {kept} kept.", erased.jobs.len(), if dry_run { "would be removed" } else { "removed" })
}
