//! Waits for accepted jobs to end, by long polls on the oldest one: a disk works in the order of acceptance, so the ones
//! behind it have mostly ended when it has.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use taxdisk_protocol::api::JobView;

use super::Event;
use crate::client::Client;
use crate::commands::job_path;

/// One long poll. Short, so that a job that waits for a person does not hold up the count of the others.
const POLL_S: u64 = 5;
/// A broker that is away for so long is not waited for; its jobs go on without us.
const AWAY_LIMIT: Duration = Duration::from_secs(120);
/// Pause while the broker is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until every job that comes through `queue` has ended, or until `deadline`.
pub(super) fn run(client: &Client, queue: &Receiver<JobView>, deadline: Option<Instant>, events: &Sender<Event>) {
    let tell = |event| drop(events.send(event));
    // A job that has ended already is read once more too: the answer to a batch leaves its content out.
    let mut open: VecDeque<JobView> = VecDeque::new();
    let mut away_since: Option<Instant> = None;
    let mut more = true;
    loop {
        while more {
            let next = if open.is_empty() { queue.recv().map_err(|_| TryRecvError::Disconnected) } else { queue.try_recv() };
            match next {
                Ok(job) => open.push_back(job),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => more = false,
            }
        }
        let Some(job) = open.pop_front() else { return };
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return;
        }
        let path = format!("{}?wait={POLL_S}s", job_path(&job.seller, &job.serial, ""));
        match client.get::<JobView>(&path) {
            Ok(now) => {
                away_since = None;
                if now.state.is_terminal() {
                    tell(Event::Ended(Box::new(now)));
                } else {
                    tell(Event::Waiting(Box::new(now.clone())));
                    open.push_back(now);
                }
            }
            Err(failure) if failure.is_passing() && away_since.get_or_insert_with(Instant::now).elapsed() < AWAY_LIMIT => {
                open.push_front(job);
                std::thread::sleep(PAUSE);
            }
            Err(failure) => return tell(Event::Stopped(failure)),
        }
    }
}
