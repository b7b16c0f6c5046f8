//! Reads the file line by line and makes each line the JSON text of one job.
//!
//! A line that cannot become a job is refused with its number and reason; the lines after it go on.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use taxdisk_protocol::api::JobSubmission;

use super::report::Refusal;
use crate::args::{ImportArgs, Map};
use crate::failure::Failure;
use crate::northwind::{self, Choices, Order};
use crate::transliterate::{self, Change};

/// The longest line. An invoice of a hundred lines has some 30 KB; a longer text is a file of another kind.
const LINE_LIMIT_BYTES: usize = 1024 * 1024;

/// One line, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Line of the file, from 1.
    pub(super) line: u64,
    /// What people call it: order or serial number, as far as it can be read.
    pub(super) label: String,
    /// The job as JSON on one line.
    pub(super) body: String,
}

/// A line that `--transliterate` changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Changed {
    /// Line of the file, from 1.
    pub(super) line: u64,
    /// Order or serial number.
    pub(super) label: String,
    /// What was changed.
    pub(super) changes: Vec<Change>,
}

/// What one line came to.
#[derive(Debug)]
pub(super) enum Line {
    /// A job, and what was changed in it.
    Job(Item, Option<Changed>),
    /// Not a job.
    Refused(Refusal),
}

/// The lines of a file, in order.
pub(super) struct Source {
    reader: Box<dyn BufRead + Send>,
    line: u64,
    args: ImportArgs,
}

impl Source {
    /// Opens the file, or standard input.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn open(args: &ImportArgs) -> Result<Source, Failure> {
        let reader: Box<dyn BufRead + Send> = if args.file == Path::new("-") {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            Box::new(BufReader::new(File::open(&args.file).map_err(|error| Failure::file(&args.file, error))?))
        };
        Ok(Source { reader, line: 0, args: args.clone() })
    }

    /// The next line that is not empty; `None` at the end or at the limit of lines.
    ///
    /// # Errors
    /// The file cannot be read, or a line has no end.
    pub(super) fn next_line(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            if self.args.limit.is_some_and(|limit| self.line >= limit) {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            let mut limited = (&mut self.reader).take(LINE_LIMIT_BYTES as u64 + 1);
            limited.read_until(b'\n', &mut bytes).map_err(|error| Failure::file(&self.args.file, error))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            self.line += 1;
            if bytes.len() > LINE_LIMIT_BYTES {
                let text = format!("line {} is longer than {LINE_LIMIT_BYTES} bytes; the file is not JSON Lines", self.line);
                return Err(Failure::file(&self.args.file, text));
            }
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(self.read(&bytes)));
            }
        }
    }

    fn read(&self, bytes: &[u8]) -> Line {
        let refused = |label: &str, reason: String| Line::Refused(Refusal::local(self.line, label, reason));
        let Ok(text) = std::str::from_utf8(bytes) else {
            return refused("", "The line is not UTF-8 text.".to_owned());
        };
        match self.args.map {
            Some(Map::Northwind) => {
                let order: Order = match serde_json::from_str(text) {
                    Ok(order) => order,
                    Err(error) => return refused("", format!("The line is no order of the sample: {error}.")),
                };
                match northwind::submission(&order, &choices(&self.args)) {
                    Ok(job) => self.job(job),
                    Err(error) => refused(&order.order, format!("{error}.")),
                }
            }
            None => self.plain(text, refused),
        }
    }

    /// A line that is a job already. It is sent as it stands, fields that we do not know included: the broker judges them.
    fn plain(&self, text: &str, refused: impl Fn(&str, String) -> Line) -> Line {
        let mut value: Value = match serde_json::from_str(text) {
            Ok(value @ Value::Object(_)) => value,
            Ok(_) => return refused("", "The line is no JSON object.".to_owned()),
            Err(error) => return refused("", format!("The line is no JSON: {error}.")),
        };
        let label = value["serial"].as_str().unwrap_or("").to_owned();
        if self.args.transliterate {
            return match serde_json::from_value::<JobSubmission>(value) {
                Ok(mut job) => {
                    if let (true, Some(seller)) = (job.seller.is_empty(), &self.args.seller) {
                        job.seller.clone_from(seller);
                    }
                    self.job(job)
                }
                Err(error) => refused(&label, format!("The line is no job: {error}.")),
            };
        }
        let body = match (&self.args.seller, value.get("seller")) {
            (Some(seller), None) => {
                value["seller"] = Value::String(seller.clone());
                value.to_string()
            }
            _ => text.trim().replace(['\r', '\n'], " "),
        };
        Line::Job(Item { line: self.line, label, body }, None)
    }

    fn job(&self, mut job: JobSubmission) -> Line {
        let changes = if self.args.transliterate { transliterate::job(&mut job) } else { Vec::new() };
        let label = job.serial.clone();
        match serde_json::to_string(&job) {
            Ok(body) => {
                let changed = (!changes.is_empty()).then(|| Changed { line: self.line, label: label.clone(), changes });
                Line::Job(Item { line: self.line, label, body }, changed)
            }
            Err(error) => Line::Refused(Refusal::local(self.line, &label, format!("The job has no JSON form: {error}."))),
        }
    }
}

fn choices(args: &ImportArgs) -> Choices {
    Choices {
        seller: args.seller.clone().unwrap_or_default(),
        kind: args.kind.clone(),
        issue_point: args.issue_point.clone(),
        priority: args.priority.into(),
        clerk: args.clerk.clone(),
    }
}

/// How many lines there will be, for the progress bar; `None` for standard input.
///
/// # Errors
/// The file cannot be read.
pub(super) fn count_lines(args: &ImportArgs) -> Result<Option<u64>, Failure> {
    if args.file == Path::new("-") {
        return Ok(args.limit);
    }
    let failed = |error: std::io::Error| Failure::file(&args.file, error);
    let mut reader = BufReader::new(File::open(&args.file).map_err(failed)?);
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut count = 0;
    let mut last = b'\n';
    loop {
        let block = reader.fill_buf().map_err(failed)?;
        let Some(&end) = block.last() else { break };
        count += block.iter().filter(|&&byte| byte == b'\n').count() as u64;
        last = end;
        let length = block.len();
        reader.consume(length);
        if count >= limit {
            return Ok(Some(limit));
        }
    }
    Ok(Some((count + u64::from(last != b'\n')).min(limit)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;

    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command, JobCommand};

    fn lines(text: &str, options: &str) -> (Vec<Line>, Option<u64>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let line = format!("taxdisk job import {} {options}", file.path().display());
        let args = Args::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Job(JobCommand::Import(args)) = args.command else { unreachable!("the line says import") };
        let mut source = Source::open(&args).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = source.next_line().unwrap() {
            lines.push(line);
        }
        (lines, count_lines(&args).unwrap())
    }

    #[test]
    fn bad_lines_are_refused_with_their_number_and_the_rest_goes_on() {
        let (lines, count) = lines("{\"serial\":\"A1\"}\n\nnonsense\n[1]\n{\"serial\":\"A2\",\"seller\":\"S\"}", "--seller T");
        assert_eq!(count, Some(5));
        let [Line::Job(first, None), Line::Refused(bad), Line::Refused(list), Line::Job(last, None)] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert_eq!((first.line, first.label.as_str()), (1, "A1"));
        assert_eq!(serde_json::from_str::<Value>(&first.body).unwrap()["seller"], "T");
        assert_eq!((bad.line, list.line), (3, 4));
        // Its own seller stands, and the text is sent as it is.
        assert_eq!(last.body, "{\"serial\":\"A2\",\"seller\":\"S\"}");
    }

    #[test]
    fn fields_that_we_do_not_know_reach_the_broker() {
        let (lines, _) = lines("{\"serial\":\"A1\",\"kidn\":\"025\"}\n", "");
        let [Line::Job(item, None)] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(item.body.contains("kidn"));
    }

    #[test]
    fn orders_are_mapped_limited_and_changed_only_when_asked() {
        let orders = include_str!("../../../demo/northwind-orders.jsonl");
        let (plain, count) = lines(orders, "--map northwind --seller 91110000MA0000001L --limit 2");
        assert_eq!((plain.len(), count), (2, Some(2)));
        let Line::Job(second, None) = &plain[1] else { panic!("{plain:?}") };
        assert!(second.body.contains("Toms Spezialitäten"));
        let (asked, _) = lines(orders, "--map northwind --seller 91110000MA0000001L --limit 2 --transliterate");
        let Line::Job(second, Some(changed)) = &asked[1] else { panic!("{asked:?}") };
        assert!(second.body.contains("Toms Spezialitaeten"));
        assert_eq!((changed.line, changed.label.as_str(), changed.changes.len()), (2, "NW10249", 1));
    }

    #[test]
    fn a_file_without_lines_is_not_read_for_ever() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![b'x'; LINE_LIMIT_BYTES + 10]).unwrap();
        let line = format!("taxdisk job import {}", file.path().display());
        let args = Args::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Job(JobCommand::Import(args)) = args.command else { unreachable!("the line says import") };
        assert!(matches!(Source::open(&args).unwrap().next_line(), Err(Failure::File { .. })));
    }
}
