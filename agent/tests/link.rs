//! The shipped binary against a broker that does what brokers do on bad days.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod pc;

use broker::{Broker, LEDGER};
use pc::Pc;
use taxdisk_protocol::link::{AgentFrame, BrokerFrame, MAX_FRAME_BYTES};
use tokio_tungstenite::tungstenite::Message;

fn joined() -> (Broker, Pc, pc::Running, broker::Link, String) {
    let broker = Broker::start();
    let pc = Pc::new("");
    let key = pc.enrol(&broker);
    let agent = pc.start();
    let link = broker.link();
    link.welcome(&key);
    assert_eq!(link.frame(), AgentFrame::Disks { disks: Vec::new() });
    (broker, pc, agent, link, key)
}

#[test]
fn it_joins_comes_back_with_a_higher_join_and_says_goodbye() {
    let (broker, pc, agent, link, key) = joined();
    drop(link);
    let link = broker.link();
    let AgentFrame::Hello { join, journal, .. } = link.welcome(&key) else { panic!() };
    assert!(join >= 2, "the join counter rises: {join}");
    link.until(|frame| matches!(frame, AgentFrame::Disks { .. }));
    assert_eq!(agent.stop(), Some(0));
    link.until(|frame| *frame == AgentFrame::Goodbye);
    link.ends();

    // The counter and the journal outlive the process.
    let agent = pc.start();
    let link = broker.link();
    let AgentFrame::Hello { join: later, journal: same, .. } = link.welcome(&key) else { panic!() };
    assert!(later > join, "{later} after {join}");
    assert_eq!(same.id, journal.id);
    assert!(same.sequence >= journal.sequence);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn a_foreign_ledger_gets_no_proof_and_is_not_hammered() {
    let broker = Broker::start();
    let pc = Pc::new("");
    pc.enrol(&broker);
    let agent = pc.start();
    let link = broker.link();
    assert!(matches!(link.frame(), AgentFrame::Hello { .. }));
    link.say(&BrokerFrame::Challenge { nonce: "x".into(), ledger: "lg_other".into(), ancestors: Vec::new() });
    assert_eq!(link.text(), None, "the agent hangs up without a word");
    let status = pc.ends(0, &["status"]);
    assert!(status.contains("lg_other") && status.contains(LEDGER), "{status}");
    assert_eq!(agent.stop(), Some(0));
    assert!(broker.seen.try_iter().next().is_none(), "it waits for a person");
}

#[test]
fn frames_of_the_future_are_answered_and_the_link_stays() {
    let (_broker, pc, agent, link, _) = joined();
    link.raw(Message::text(r#"{"type":"dance","steps":3}"#));
    assert_eq!(link.frame(), AgentFrame::Unsupported { of: "dance".into() });
    link.raw(Message::text("{"));
    assert_eq!(link.frame(), AgentFrame::Unsupported { of: "no type".into() });
    let status = pc.ends(0, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["link"]["up"], true, "{status}");
    assert_eq!(status["outbox"], 0);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn an_oversized_or_binary_frame_ends_the_link_and_nothing_more() {
    let (broker, _pc, agent, link, key) = joined();
    link.raw(Message::text("x".repeat(MAX_FRAME_BYTES + 1)));
    link.ends();
    let link = broker.link();
    link.welcome(&key);
    link.raw(Message::binary(vec![1, 2, 3]));
    link.ends();
    let link = broker.link();
    link.welcome(&key);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn a_refused_agent_shows_why() {
    let broker = Broker::start();
    let pc = Pc::new("");
    pc.enrol(&broker);
    let agent = pc.start();
    let link = broker.link();
    link.frame();
    link.say(&BrokerFrame::Refused { code: "agent_revoked".into(), reason: "The key of this agent was revoked.".into() });
    link.ends();
    pc::until("status tells", || pc.ends(0, &["status"]).contains("agent_revoked"));
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn sigterm_ends_it_while_the_broker_is_away() {
    let broker = Broker::start();
    let pc = Pc::new("");
    pc.enrol(&broker);
    pc.configure("[broker]\nurl = \"http://127.0.0.1:1\"", "");
    let agent = pc.start();
    pc::until("status tells", || pc.ends(0, &["status"]).contains("Nothing listens at 127.0.0.1:1"));
    assert_eq!(agent.stop(), Some(0));
    assert!(!pc.state().join("agent.sock").exists());
}
