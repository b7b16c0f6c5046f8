//! A proven link: frames both ways until it ends, and its end told to the ledger exactly once.
//!
//! Two tasks: one reads, one writes, so that a peer that does not read its answers cannot stop us from noticing that it is gone.
//! Every wait has a bound: nothing read for the time of silence, or a write that takes as long, is the end.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use taxdisk_protocol::error::Code;
use taxdisk_protocol::ids::AgentId;
use taxdisk_protocol::link::{AgentFrame, BrokerFrame};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::frame::{Heard, read};
use super::{Ending, Hub, Place, Times, Unproven, join};
use crate::ledger::{Ledger, Left, SessionId};
use crate::serve::{Room, stopped};

/// Answers of the hub itself that wait for the writer; an agent that provokes more of them does not get them.
const OWN_FRAMES: usize = 16;
/// Bound on the last words to an agent.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs one link from its first frame to its end.
pub(super) async fn run(hub: Arc<Hub>, mut socket: WebSocket, mut unproven: Unproven, room: Option<Room>, from: &str) {
    let too_long = || Err(Ending { code: Code::Timeout, reason: "the proof took too long".to_owned() });
    let proof = tokio::time::timeout(hub.times.join, join::prove(&hub.ledger, &mut socket));
    let proven = tokio::select! {
        biased;
        proven = proof => proven.unwrap_or_else(|_| too_long()),
        () = unproven.wanted() => too_long(),
    };
    let join = match proven {
        Ok(join) => join,
        Err(ending) => {
            drop(unproven);
            return refuse(socket, ending).await;
        }
    };
    unproven.proven();
    if let Some(room) = &room {
        room.vouch();
    }
    let (agent, version) = (join.agent.clone(), join.version.clone());
    tracing::Span::current().record("agent", tracing::field::display(&agent));
    let mut place = hub.take_place(&agent, from).await;
    let ledger = hub.ledger.of(agent.as_str(), from);
    let joined = ledger.join(join).await;
    match joined {
        Ok((joined, frames)) => {
            tracing::info!("agent joined");
            let welcome = BrokerFrame::Welcome {
                protocol: join::VERSION,
                journal_known: joined.journal_known,
                updates: true,
                key: Some(joined.public_key),
            };
            let talk = talk(&hub, &ledger, socket, joined.session, (welcome, frames), &mut place, (&agent, &version));
            // A panic in here must not leave a disk owned by nobody.
            let left = AssertUnwindSafe(talk).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!("the session panicked");
                Left::Lost
            });
            tracing::info!(?left, "agent left");
            ledger.leave(joined.session, left).await;
            hub.leave_place(&agent, place);
        }
        Err(refusal) => {
            hub.leave_place(&agent, place);
            refuse(socket, crate::http::Refused::from(refusal).into()).await;
        }
    }
}

/// Tells an agent why it is not let in.
async fn refuse(mut socket: WebSocket, ending: Ending) {
    tracing::warn!(code = ending.code.as_str(), reason = ending.reason, "link refused");
    metrics::counter!("taxdisk_links_refused_total", "reason" => ending.code.as_str()).increment(1);
    let words = async {
        let frame = BrokerFrame::Refused { code: ending.code.as_str().to_owned(), reason: ending.reason };
        if join::send(&mut socket, &frame).await.is_ok() {
            let _ = socket.send(Message::Close(Some(closing()))).await;
            // Until the agent closes too: else its last bytes, unread here, would break the line under our words.
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _ = tokio::time::timeout(FAREWELL, words).await;
}

fn closing() -> CloseFrame {
    CloseFrame { code: close_code::POLICY, reason: "refused".into() }
}

/// What the reader asks of the writer.
enum Own {
    Frame(Box<BrokerFrame>),
    End(Ending),
}

async fn talk(
    hub: &Hub,
    ledger: &Ledger,
    socket: WebSocket,
    session: SessionId,
    (welcome, frames): (BrokerFrame, mpsc::Receiver<Box<BrokerFrame>>),
    place: &mut Place,
    who: (&AgentId, &str),
) -> Left {
    let (sink, mut stream) = socket.split();
    let (own, own_frames) = mpsc::channel(OWN_FRAMES);
    let _ = own.try_send(Own::Frame(Box::new(welcome)));
    let mut writer = tokio::spawn(write(sink, frames, own_frames, hub.times).in_current_span());
    let mut stopping = hub.stopping.clone();
    let ended = tokio::select! {
        // Of several ends at once it is always the same one that counts, so that a run can be run again.
        biased;
        ended = listen(hub, ledger, &mut stream, session, &own, who) => ended,
        never = offer(hub, who, &own) => match never {},
        Some(ending) = place.end.recv() => Ended::By(ending),
        () = stopped(&mut stopping) => {
            Ended::By(Ending { code: Code::NotReady, reason: "the broker stops".to_owned() })
        }
        // The ledger ended the session, or nothing can be written any more.
        _ = &mut writer => Ended::Broken("no more can be written".to_owned()),
    };
    let left = match ended {
        Ended::Goodbye => Left::Goodbye,
        Ended::Broken(why) => {
            tracing::info!(why, "link ended");
            Left::Lost
        }
        Ended::By(ending) => {
            tracing::warn!(code = ending.code.as_str(), reason = ending.reason, "link ended by the broker");
            let _ = own.try_send(Own::End(ending));
            Left::Lost
        }
    };
    drop(own);
    if !writer.is_finished() {
        let farewell = async {
            let _ = (&mut writer).await;
            while let Some(Ok(_)) = stream.next().await {}
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        writer.abort();
    }
    left
}

/// How reading ended.
enum Ended {
    Goodbye,
    Broken(String),
    By(Ending),
}

async fn listen(
    hub: &Hub,
    ledger: &Ledger,
    stream: &mut SplitStream<WebSocket>,
    session: SessionId,
    own: &mpsc::Sender<Own>,
    (agent, version): (&AgentId, &str),
) -> Ended {
    // With its guard taken out, for tests: as good as for ever.
    let silence = if crate::fault::planted("hub_waits_for_ever") { hub.times.silence * 1000 } else { hub.times.silence };
    let out_of_order = |reason: &str| Ended::By(Ending { code: Code::LinkOrder, reason: reason.to_owned() });
    loop {
        let message = match tokio::time::timeout(silence, stream.next()).await {
            Err(_) => return Ended::Broken(format!("silent for {:?}", hub.times.silence)),
            Ok(None) => return Ended::Broken("closed".to_owned()),
            Ok(Some(Err(error))) if is_too_long(&error) => {
                return Ended::By(Ending { code: Code::BodyTooLarge, reason: error.to_string() });
            }
            Ok(Some(Err(error))) => return Ended::Broken(error.to_string()),
            Ok(Some(Ok(message))) => message,
        };
        let text = match message {
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return Ended::Broken("closed by the agent".to_owned()),
            Message::Binary(_) => return out_of_order("binary frames are not expected"),
            Message::Text(text) => text,
        };
        metrics::counter!("taxdisk_link_frames_total", "direction" => "in").increment(1);
        let frame = match read(&text) {
            Heard::Frame(frame) => *frame,
            Heard::Unsupported { of, why } => {
                tracing::warn!(of, why, "frame not understood");
                let _ = own.try_send(Own::Frame(Box::new(BrokerFrame::Unsupported { of })));
                continue;
            }
            Heard::Garbage(why) => return out_of_order(&why),
        };
        log(&frame);
        match frame {
            AgentFrame::Hello { .. } | AgentFrame::Proof { .. } => return out_of_order("the agent has joined already"),
            AgentFrame::Goodbye => return Ended::Goodbye,
            AgentFrame::Updating { update } => {
                hub.updates.hear(agent, update);
                tell_offer(hub, (agent, version), own).await;
            }
            frame => {
                if let Err(refusal) = ledger.receive(session, frame).await {
                    return Ended::By(crate::http::Refused::from(refusal).into());
                }
            }
        }
    }
}

/// Tells an agent what it is offered, whenever that may have changed.
async fn offer(hub: &Hub, who: (&AgentId, &str), own: &mpsc::Sender<Own>) -> Infallible {
    let mut changes = hub.updates.changes();
    loop {
        if changes.changed().await.is_err() {
            // The hub is going, and with it this link.
            std::future::pending::<()>().await;
        }
        tell_offer(hub, who, own).await;
    }
}

async fn tell_offer(hub: &Hub, (agent, version): (&AgentId, &str), own: &mpsc::Sender<Own>) {
    if let Some(offer) = hub.updates.offer(agent, version).await {
        // Not taken: too many of our own frames wait. The agent asks again.
        let _ = own.try_send(Own::Frame(Box::new(BrokerFrame::Update { offer })));
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if matches!(error.downcast_ref::<Error>(), Some(Error::Capacity(_))) {
            return true;
        }
        source = error.source();
    }
    false
}

fn log(frame: &AgentFrame) {
    match frame {
        AgentFrame::Started { disk, attempt, expected, .. } => {
            tracing::info!(job = %attempt.key, attempt = attempt.attempt, %disk, %expected, "attempt began");
        }
        AgentFrame::Outcome { disk, attempt, outcome, disk_ms, .. } => {
            let result = outcome.name();
            tracing::info!(job = %attempt.key, attempt = attempt.attempt, %disk, result, disk_ms, "outcome came");
        }
        AgentFrame::Accounted { disk, entries, last, note, .. } => {
            tracing::info!(%disk, entries = entries.len(), %last, note, "numbers accounted");
        }
        AgentFrame::Disks { disks } => tracing::debug!(disks = disks.len(), "disks reported"),
        _ => {}
    }
}

/// Writes until the reader or the ledger ends the session, or a write does not end.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut frames: mpsc::Receiver<Box<BrokerFrame>>,
    mut own: mpsc::Receiver<Own>,
    times: Times,
) {
    let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + times.ping, times.ping);
    pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let frame = tokio::select! {
            biased;
            own = own.recv() => match own {
                Some(Own::Frame(frame)) => *frame,
                Some(Own::End(ending)) => {
                    let last = BrokerFrame::Refused { code: ending.code.as_str().to_owned(), reason: ending.reason };
                    return farewell(sink, Some(last)).await;
                }
                None => return farewell(sink, None).await,
            },
            frame = frames.recv() => match frame {
                Some(frame) => *frame,
                None => return farewell(sink, None).await,
            },
            _ = pings.tick() => {
                if put(&mut sink, Message::Ping(Vec::new().into()), times.silence).await.is_err() {
                    return;
                }
                continue;
            }
        };
        if let BrokerFrame::Assign { disk, epoch, assignment } = &frame {
            let (attempt, trace_id) = (&assignment.attempt, assignment.trace.map(|trace| trace.trace_id()));
            tracing::info!(job = %attempt.key, attempt = attempt.attempt, %disk, epoch, trace_id, "assigned");
        }
        let Ok(text) = serde_json::to_string(&frame) else {
            tracing::error!("a frame could not be written as JSON");
            return;
        };
        if put(&mut sink, Message::Text(text.into()), times.silence).await.is_err() {
            return;
        }
        metrics::counter!("taxdisk_link_frames_total", "direction" => "out").increment(1);
    }
}

async fn put(sink: &mut SplitSink<WebSocket, Message>, message: Message, bound: Duration) -> Result<(), ()> {
    match tokio::time::timeout(bound, sink.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}

async fn farewell(mut sink: SplitSink<WebSocket, Message>, last: Option<BrokerFrame>) {
    if let Some(text) = last.and_then(|frame| serde_json::to_string(&frame).ok()) {
        let _ = put(&mut sink, Message::Text(text.into()), FAREWELL).await;
    }
    let _ = put(&mut sink, Message::Close(None), FAREWELL).await;
}
