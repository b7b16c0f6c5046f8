//! `job import`: many jobs from one file, through `POST /v1/jobs:batch`.
//!
//! It keeps no state: a file may be sent again from its start at any time, since the broker answers a known serial number
//! with the job it has. So every batch whose answer was lost is simply sent again. What it refuses to do: change a serial
//! number, mend an amount, or drop a line in silence. Read [`run`], then [`source`] and [`send`].

mod progress;
mod report;
mod send;
mod source;
mod wait;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use taxdisk_protocol::api::JobView;

use crate::args::ImportArgs;
use crate::client::Client;
use crate::failure::Failure;
use progress::Progress;
use report::{Refusal, Report};
use send::Sender;
use source::Source;

/// What happened to one line, or to the import as a whole.
enum Event {
    /// A line was read; it may become a job.
    Read,
    /// A line was changed by `--transliterate`.
    Changed(source::Changed),
    /// The broker has it.
    Accepted(Box<JobView>),
    /// It will not become a job as it stands.
    Refused(Refusal),
    /// The wait for one job: how it stands.
    Waiting(Box<JobView>),
    /// A job has ended.
    Ended(Box<JobView>),
    /// Nobody can go on.
    Stopped(Failure),
    /// The last event of a thread that sends.
    SenderDone,
}

/// Runs an import. 0 if every line became a job (and, with `--wait`, every job was issued), 1 otherwise.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn run(client: &Client, args: &ImportArgs, json: bool) -> Result<u8, Failure> {
    let total = source::count_lines(args)?;
    let source = Source::open(args)?;
    let sender = Sender::new(client.clone(), source);
    let deadline = args.wait_limit_s.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut progress = Progress::new(total, args.wait);
    let mut report = Report::default();

    std::thread::scope(|scope| {
        let (events, inbox) = mpsc::channel();
        for _ in 0..args.concurrency {
            let (sender, events) = (&sender, events.clone());
            scope.spawn(move || sender.run(&events));
        }
        let accepted = args.wait.then(|| {
            let (accepted, queue) = mpsc::channel();
            let events = events.clone();
            scope.spawn(move || wait::run(client, &queue, deadline, &events));
            accepted
        });
        drop(events);
        collect(&inbox, accepted, args.concurrency, &mut report, &mut progress);
    });

    progress.finish();
    report.print(json);
    Ok(report.exit_code(args.wait))
}

/// Takes events until every thread is done. The wait is told that no more jobs come when the last sender is done.
fn collect(
    inbox: &mpsc::Receiver<Event>,
    mut accepted: Option<mpsc::Sender<JobView>>,
    mut senders: u8,
    report: &mut Report,
    progress: &mut Progress,
) {
    for event in inbox {
        match (&event, &accepted) {
            // A wait that ended early (its limit) takes no more jobs; the report counts them as still under way.
            (Event::Accepted(job), Some(queue)) => drop(queue.send(JobView::clone(job))),
            (Event::SenderDone, _) => {
                senders -= 1;
                if senders == 0 {
                    accepted = None;
                }
            }
            _ => {}
        }
        progress.take(&event);
        report.take(event);
    }
}
