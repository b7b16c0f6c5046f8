//! One function per command: ask the broker, print what it says.

mod admin;
mod audit;
mod bulk;
mod buyer;
mod job;
mod manual;
mod operations;
mod pauses;
mod proposal;
mod reconcile;
mod webhook;

pub(crate) use job::job_path;

use std::io::Read as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::{Args, AuditCommand, Command};
use crate::client::Client;
use crate::failure::Failure;

/// The largest file that is read whole: one job or one invoice. The broker's own limit is lower.
const FILE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// Runs a parsed command line; the number is the exit code.
///
/// # Errors
/// Whatever keeps the command from doing what was asked.
pub(crate) fn run(args: Args) -> Result<u8, Failure> {
    let json = args.global.json;
    // Needs no broker, no key and no network.
    if let Command::Audit(AuditCommand::Check { file }) = &args.command {
        return audit::check(file, json);
    }
    if let Command::Manual { to } = &args.command {
        return write_manual(to);
    }
    let client = Client::new(&args.global)?;
    match args.command {
        Command::Audit(command) => audit::run(&client, command, json),
        Command::Job(command) => job::run(&client, command, json),
        Command::Seller(command) => admin::seller(&client, command, json),
        Command::IssuePoint(command) => admin::issue_point(&client, command, json),
        Command::Disk(command) => admin::disk(&client, command, json),
        Command::Agent(command) => admin::agent(&client, command, json),
        Command::Enrollment(command) => admin::enrollment(&client, command, json),
        Command::Key(command) => admin::key(&client, command, json),
        Command::Webhook(command) => webhook::run(&client, command, json),
        Command::Buyer(command) => buyer::run(&client, command, json),
        Command::Proposal(command) => proposal::run(&client, command, json),
        Command::Reconcile(command) => reconcile::run(&client, command, json),
        Command::Manual { to } => write_manual(&to),
    }
}

fn write_manual(to: &Path) -> Result<u8, Failure> {
    manual::write(to).map_err(|error| Failure::file(to, error))?;
    Ok(crate::EXIT_OK)
}

/// Reads a small file, or standard input for `-`.
fn read_whole(path: &Path) -> Result<String, Failure> {
    read_whole_of(path, FILE_LIMIT_BYTES)
}

fn read_whole_of(path: &Path, limit_bytes: u64) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit_bytes + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit_bytes + 1).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::file(path, error))?;
    if text.len() as u64 > limit_bytes {
        return Err(Failure::file(path, format!("larger than {limit_bytes} bytes; for many jobs there is `job import`")));
    }
    Ok(text)
}

/// The rows of a list answer: an array, or an object with one array in it beside a cursor.
fn rows<T: DeserializeOwned>(client: &Client, path: &str) -> Result<Vec<T>, Failure> {
    let answer: Value = client.get(path)?;
    let strange = |text: String| Failure::Strange { url: format!("{}{path}", client.base()), status: 200, text };
    let array = match answer {
        Value::Array(rows) => rows,
        Value::Object(fields) => fields
            .into_iter()
            .find_map(|(_, value)| if let Value::Array(rows) = value { Some(rows) } else { None })
            .ok_or_else(|| strange("the answer is no list".to_owned()))?,
        _ => return Err(strange("the answer is no list".to_owned())),
    };
    array.into_iter().map(|row| serde_json::from_value(row).map_err(|error| strange(error.to_string()))).collect()
}
