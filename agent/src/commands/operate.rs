//! `disks status|stock|query|void|void-blank|report|clear|upload|refresh-offline|password`: gives an order to the running
//! agent, or, where none runs, to a worker of this process under the lock.
//!
//! It decides nothing: the same core as for jobs judges, journals and settles. An order has an id of its own and is handed over
//! once; a question about it may be repeated.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use taxdisk_drivers::operation::PasswordKind;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::disks::{SECRET_FILE_MAX_BYTES, ask_hidden, open_journal, port_of};
use super::status::running;
use super::table::table;
use crate::cli::{ChangeArgs, DisksCommand, NumberArgs, OnDisk, Which};
use crate::config::Config;
use crate::core::operation::{OperationResult, Order, OrderReport, Readings, Verdict, What};
use crate::core::records::View;
use crate::daemon::Lock;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::ports::Port;
use crate::secrets::Secrets;
use crate::status::{Answer, Question, ask};
use crate::worker::{Command, Worker, WorkerConfig, WorkerEvent};

/// A disk's slowest command and the readings after it, a line that must be waited silent included.
const LIMIT: Duration = Duration::from_secs(1200);
/// Between two questions about an order.
const LOOK: Duration = Duration::from_millis(200);
/// A disk behind a port is there within this time, or is not.
const OPEN_LIMIT: Duration = Duration::from_secs(300);

/// What the command line asks for.
struct Wish {
    what: What,
    change: Option<ChangeArgs>,
    stock_only: bool,
}

/// Which disk is meant.
fn on(command: &DisksCommand) -> Result<&OnDisk, Failure> {
    Ok(match command {
        DisksCommand::Secret(_) => return Err(Failure::usage("`disks secret` gives no order.")),
        DisksCommand::Status(on) | DisksCommand::Stock(on) | DisksCommand::Query { on, .. } => on,
        DisksCommand::Void { change, .. } | DisksCommand::VoidBlank { change, .. } | DisksCommand::Password { change, .. } => {
            &change.on
        }
        DisksCommand::Report(args)
        | DisksCommand::Clear(args)
        | DisksCommand::Upload(args)
        | DisksCommand::RefreshOffline(args) => &args.change.on,
    })
}

/// `kind` finds the kind where none is named.
fn wish(
    command: &DisksCommand,
    kind: &mut dyn FnMut(Option<InvoiceKind>) -> Result<InvoiceKind, Failure>,
) -> Result<Wish, Failure> {
    let reading = |what| Wish { what, change: None, stock_only: false };
    let changing = |what, change: &ChangeArgs| Wish { what, change: Some(change.clone()), stock_only: false };
    Ok(match command {
        DisksCommand::Secret(_) => return Err(Failure::usage("`disks secret` gives no order.")),
        DisksCommand::Status(_) => reading(What::Status),
        DisksCommand::Stock(_) => Wish { stock_only: true, ..reading(What::Status) },
        DisksCommand::Query { number, .. } => {
            let pair = pair(number)?;
            reading(What::Query { kind: kind(number.kind)?, pair })
        }
        DisksCommand::Void { number, operator, change } => {
            let pair = pair(number)?;
            changing(What::Void { kind: kind(number.kind)?, pair, operator: operator.clone() }, change)
        }
        DisksCommand::VoidBlank { kind: given, operator, change } => {
            changing(What::BlankVoid { kind: kind(*given)?, operator: operator.clone() }, change)
        }
        DisksCommand::Report(args) => changing(What::Report { kind: kind(args.kind)? }, &args.change),
        DisksCommand::Clear(args) => changing(What::Clear { kind: kind(args.kind)? }, &args.change),
        DisksCommand::Upload(args) => changing(What::Upload { kind: kind(args.kind)? }, &args.change),
        DisksCommand::RefreshOffline(args) => changing(What::RefreshOffline { kind: kind(args.kind)? }, &args.change),
        DisksCommand::Password { which, change, .. } => {
            let which = match which {
                Which::Disk => PasswordKind::Disk,
                Which::Certificate => PasswordKind::Certificate,
            };
            changing(What::ChangePassword { which }, change)
        }
    })
}

fn pair(number: &NumberArgs) -> Result<NumberPair, Failure> {
    let text = format!("{} {}", number.code, number.number);
    text.parse().map_err(|error| Failure::usage(format!("{text} is not a code and a number ({error}).")))
}

pub(super) fn operate(config: &Config, command: &DisksCommand, json: bool) -> Result<(), Failure> {
    let on = on(command)?;
    let state = StateDir::open(&config.state.dir)?;
    let port = match &on.disk {
        Some(disk) => port_of(config, &state, disk)?,
        None => only_port(config)?,
    };
    let mut desk = Desk::open(config, &state, &port)?;
    let wish = wish(command, &mut |given| given.map_or_else(|| only_kind(&mut desk), Ok))?;
    let order = |dry_run| {
        let anyway = wish.change.as_ref().is_some_and(|change| change.anyway);
        Order { id: fresh_id(), what: wish.what.clone(), dry_run, anyway, remote: None }
    };
    let Some(change) = &wish.change else {
        let report = desk.order(order(false))?;
        if let (What::Query { pair, .. }, Verdict::Read, None) = (&wish.what, &report.verdict, &report.before.target)
            && !json
        {
            super::print(&format!("{pair}: the disk itself says that it has no such invoice"));
            return Ok(());
        }
        return show(&report, wish.stock_only, json);
    };
    // Judged first, so that a person is asked about something that can be done.
    let judged = desk.order(order(true))?;
    if change.dry_run || !matches!(judged.verdict, Verdict::Allowed { .. }) {
        return show(&judged, false, json);
    }
    if !change.yes {
        confirm(&wish.what, &port, &judged)?;
    }
    let order = order(false);
    if let DisksCommand::Password { from_file, .. } = command
        && let What::ChangePassword { which } = wish.what
    {
        let new = new_password(from_file.as_deref(), &port)?;
        // Both are in the file before the command is sent.
        Secrets::of(&state).prepare(&port, &order.id, which, &new)?;
    }
    let id = order.id.clone();
    let report = desk.order(order)?;
    if let (What::ChangePassword { .. }, Verdict::Refused { .. }) = (&wish.what, &report.verdict) {
        Secrets::of(&state).withdraw(&port, &id)?;
    }
    show(&report, false, json)
}

/// Reads a disk once, through the running agent if one runs. Nothing is changed.
pub(crate) fn read_through(config: &Config, state: &StateDir, port: &str) -> Result<(), Failure> {
    let mut desk = Desk::open(config, state, port)?;
    let report = desk.order(Order { id: fresh_id(), what: What::Status, dry_run: false, anyway: false, remote: None })?;
    match words(&report) {
        (_, true) => Ok(()),
        (text, false) => Err(Failure::failed(format!("{port}: {text}"))),
    }
}

fn only_port(config: &Config) -> Result<String, Failure> {
    match config.disk.as_slice() {
        [one] => Ok(one.name()),
        [] => Err(Failure::usage("No disk is configured: add [[disk]] port = \"/dev/ttyUSB0\" to the configuration.")),
        many => {
            let names = many.iter().map(crate::config::DiskConfig::name).collect::<Vec<_>>().join(", ");
            Err(Failure::usage(format!("Say by --disk which disk is meant: {names}.")))
        }
    }
}

/// The kind of a disk that is licensed for one. It is read from the disk; nothing is changed for it.
fn only_kind(desk: &mut Desk) -> Result<InvoiceKind, Failure> {
    let order = Order { id: fresh_id(), what: What::Status, dry_run: false, anyway: false, remote: None };
    let kinds: Vec<InvoiceKind> = desk.order(order)?.before.kinds.iter().map(|reading| reading.kind).collect();
    match kinds.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::usage("The disk did not tell its kinds: say by --kind which one is meant. Nothing was sent.")),
        many => {
            let names: Vec<String> = many.iter().map(ToString::to_string).collect();
            Err(Failure::usage(format!("Say by --kind which kind is meant: {}. Nothing was sent.", names.join(", "))))
        }
    }
}

fn fresh_id() -> String {
    format!("op_{:016x}", rand::random::<u64>())
}

fn new_password(from_file: Option<&Path>, port: &str) -> Result<String, Failure> {
    let Some(file) = from_file else {
        let first = ask_hidden(&format!("New password for {port}: "))?;
        let again = ask_hidden("The same again: ")?;
        return if first == again { Ok(first) } else { Err(Failure::usage("The two differ; nothing was sent.")) };
    };
    let wrong = |error: std::io::Error| Failure::usage(format!("--from-file {} cannot be read ({error}).", file.display()));
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(SECRET_FILE_MAX_BYTES).read_to_string(&mut text).map_err(wrong)?;
    } else {
        std::fs::File::open(file).map_err(wrong)?.take(SECRET_FILE_MAX_BYTES).read_to_string(&mut text).map_err(wrong)?;
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn confirm(what: &What, port: &str, judged: &OrderReport) -> Result<(), Failure> {
    let name = what.operation().map_or("read", |name| name.as_str());
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "`{name}` changes the disk: add --yes to do it without being asked. Nothing was sent."
        )));
    }
    if let Verdict::Allowed { warnings } = &judged.verdict {
        warnings.iter().for_each(|warning| eprintln!("Note: {warning}."));
    }
    eprint!("{name} on the disk at {port}: this cannot be taken back. Type yes to do it: ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim() == "yes" { Ok(()) } else { Err(Failure::failed("Nothing was sent.")) }
}

/// Who takes orders.
enum Desk {
    /// The running agent.
    Agent { socket: std::path::PathBuf, port: String },
    /// A worker of this process; the lock keeps an agent from starting meanwhile.
    Own { worker: Option<Worker>, events: mpsc::Receiver<WorkerEvent>, _lock: Lock, opened: bool },
}

impl Desk {
    fn open(config: &Config, state: &StateDir, port: &str) -> Result<Desk, Failure> {
        if running(state)?.is_some() {
            return Ok(Desk::Agent { socket: state.socket(), port: port.to_owned() });
        }
        let lock = Lock::take(&state.lock_file())?;
        let journal = open_journal(state)?;
        let disk = config.disk.iter().find(|disk| disk.name() == port);
        let disk = disk.ok_or_else(|| Failure::usage(format!("{port} is not configured.")))?;
        if let Some(text) = journal.password_stop(port) {
            return Err(Failure::failed(super::password_stop(port, &text)));
        }
        let (sender, events) = mpsc::channel();
        let opener = Port::new(config, disk, &Secrets::of(state));
        let config = WorkerConfig { port: port.to_owned(), exclusive: disk.exclusive, recovery: opener.recovery() };
        let worker = Worker::spawn(config, Box::new(opener), journal, Arc::new(move |event| drop(sender.send(event))));
        Ok(Desk::Own { worker: Some(worker), events, _lock: lock, opened: false })
    }

    fn order(&mut self, order: Order) -> Result<OrderReport, Failure> {
        match self {
            Desk::Agent { socket, port } => ask_agent(socket, port, order),
            Desk::Own { worker, events, opened, .. } => {
                if !*opened {
                    wait_open(events)?;
                    *opened = true;
                }
                let id = order.id.clone();
                let worker = worker.as_ref().ok_or_else(|| lost(&id))?;
                worker.send(Command::Order(order)).map_err(|error| Failure::failed(format!("{error}: nothing was sent.")))?;
                let until = Instant::now() + LIMIT;
                loop {
                    let left = until.saturating_duration_since(Instant::now());
                    match events.recv_timeout(left).map_err(|_| lost(&id))? {
                        WorkerEvent::Order(report) if report.id == id => return Ok(*report),
                        _ => {}
                    }
                }
            }
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Desk::Own { worker, .. } = self
            && let Some(worker) = worker.take()
        {
            worker.stop(crate::run::STOP_LIMIT);
        }
    }
}

/// The first word of the worker: a disk, or none. What an earlier process left open is settled before the disk is reported.
fn wait_open(events: &mpsc::Receiver<WorkerEvent>) -> Result<(), Failure> {
    let until = Instant::now() + OPEN_LIMIT;
    loop {
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(WorkerEvent::Report(_)) => return Ok(()),
            Ok(WorkerEvent::Away(why)) => {
                return Err(Failure::failed(format!("{} ({}). Nothing was sent.", why.text, why.class)));
            }
            Ok(_) => {}
            Err(_) => return Err(Failure::failed("The disk does not answer: look at its cable and power. Nothing was sent.")),
        }
    }
}

fn ask_agent(socket: &Path, port: &str, order: Order) -> Result<OrderReport, Failure> {
    let id = order.id.clone();
    match ask(socket, &Question::Order { port: port.to_owned(), order })? {
        Some(Answer::Done) => {}
        Some(Answer::Refused { text }) => return Err(Failure::failed(text)),
        _ => return Err(Failure::failed("The agent was stopped meanwhile: nothing was sent; try again.")),
    }
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        match ask(socket, &Question::Report { id: id.clone() })? {
            Some(Answer::Report(Some(report))) => return Ok(*report),
            Some(_) => std::thread::sleep(LOOK),
            None => break,
        }
    }
    Err(lost(&id))
}

fn lost(id: &str) -> Failure {
    Failure::failed(format!(
        "What came of {id} is not known here. Do not repeat it: the agent reads the disk when it runs, and `taxdisk-agent journal show` has the outcome."
    ))
}

/// For people; and the exit code: 0 done, allowed or read, 1 everything else.
fn show(report: &OrderReport, stock_only: bool, json: bool) -> Result<(), Failure> {
    let (text, good) = words(report);
    super::show(json, report, || {
        let mut parts = vec![text.clone()];
        let reading = readings(&report.before, stock_only);
        if !reading.is_empty() {
            parts.push(reading);
        }
        let after = readings(&report.after, stock_only);
        if !after.is_empty() {
            parts.push(format!("afterwards:\n{after}"));
        }
        parts.retain(|part| !part.is_empty());
        parts.join("\n")
    });
    if good { Ok(()) } else { Err(Failure::failed(text)) }
}

/// Whose fault, does an invoice exist, is a retry safe.
fn words(report: &OrderReport) -> (String, bool) {
    let id = &report.id;
    match &report.verdict {
        Verdict::Read => (String::new(), true),
        Verdict::Allowed { warnings } if warnings.is_empty() => {
            ("Allowed: nothing speaks against it. Nothing was sent.".into(), true)
        }
        Verdict::Allowed { warnings } => (format!("Allowed, but: {}. Nothing was sent.", warnings.join("; ")), true),
        Verdict::Refused { class, text, anyway } => {
            let offer = if *anyway { " A person who knows better can add --anyway." } else { "" };
            (format!("Refused ({class}): {text}. Nothing was sent, and nothing has changed.{offer}"), false)
        }
        Verdict::Ended(OperationResult::Done { read: true }) => (format!("Done ({id}), as reading the disk shows."), true),
        Verdict::Ended(OperationResult::Done { read: false }) => (format!("Done ({id}), by the disk's own answer."), true),
        Verdict::Ended(OperationResult::NotDone { class, text }) => (
            format!("Not done ({id}, {class}): {text}. That is proven: it is safe to try again when the cause is mended."),
            false,
        ),
        Verdict::Ended(OperationResult::Unsettled { class, text }) => (
            format!(
                "Unsettled ({id}, {class}): {text}. It may or may not have taken effect: do not repeat it before a person has looked at the disk."
            ),
            false,
        ),
    }
}

fn readings(readings: &Readings, stock_only: bool) -> String {
    let mut parts = Vec::new();
    if !readings.kinds.is_empty() {
        let rows = readings.kinds.iter().map(|reading| {
            let stock = reading.stock;
            let limits = reading.limits.clone().filter(|_| !stock_only).unwrap_or_default();
            vec![
                reading.kind.to_string(),
                stock.map(|stock| stock.current.to_string()).unwrap_or_default(),
                stock.map(|stock| stock.remaining.to_string()).unwrap_or_default(),
                limits.issue_deadline.unwrap_or_default(),
                limits.period.map(|(from, to)| format!("{from}-{to}")).unwrap_or_default(),
            ]
        });
        parts.push(table(&["kind", "next", "left", "issue until", "period"], rows));
    }
    if let Some(offline) = readings.offline.as_ref().filter(|_| !stock_only) {
        parts.push(format!("{} invoices wait for upload, {} in all", offline.count, offline.sum));
    }
    if let Some(target) = &readings.target {
        let status = crate::core::account::status_text(target.status);
        parts.push(format!("{}: {status}, issued {}, gross {}", target.pair, target.issued_at, target.gross));
    }
    parts.join("\n")
}
