//! Batches: streamed both ways, one answer a line, bounded whatever the caller does.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::{Answer, BOUND, Broker, job, until};

async fn send(broker: &Broker, text: &str) -> Vec<Value> {
    let head = format!(
        "authorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n",
        broker.platform,
        text.len()
    );
    let answer: Answer = broker.raw("POST", "/v1/jobs:batch", &head, text.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8(answer.body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_thousand_lines_are_answered_in_their_order() {
    let broker = Broker::start().await;
    let text: String = (0..1000).map(|index| format!("{}\n", job(&format!("N{index}")))).collect();
    let answers = send(&broker, &text).await;
    assert_eq!(answers.len(), 1000);
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!((answer["line"].as_u64(), answer["status"].as_u64()), (Some(index as u64 + 1), Some(201)), "{answer}");
        assert_eq!(answer["job"]["serial"], format!("N{index}"));
    }
    let again = send(&broker, &text).await;
    assert!(again.iter().all(|answer| answer["status"] == 200 && answer["job"]["repeated"] == true));
}

#[tokio::test]
async fn each_line_has_its_own_answer() {
    let broker = Broker::start().await;
    let mut other = job("A1");
    other["invoice"]["clerk"] = json!("赵六");
    let mut unknown = job("A2");
    unknown["colour"] = json!("red");
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(70_000));
    let text = format!("{}\n{}\n{}\nnonsense\n\n{unknown}\n{long}\n{}", job("A1"), job("A1"), other, job("A3"));
    let answers = send(&broker, &text).await;
    let codes: Vec<(u64, u64, &str)> = answers
        .iter()
        .map(|answer| {
            (
                answer["line"].as_u64().unwrap(),
                answer["status"].as_u64().unwrap(),
                answer["problem"]["code"].as_str().unwrap_or(""),
            )
        })
        .collect();
    let expected = [
        (1, 201, ""),
        (2, 200, ""),
        (3, 409, "duplicate_in_batch"),
        (4, 400, "malformed_json"),
        (6, 422, "unknown_field"),
        (7, 413, "body_too_large"),
        (8, 201, ""),
    ];
    assert_eq!(codes, expected);
    assert_eq!(answers[2]["problem"]["differences"], json!([{ "pointer": "/invoice/clerk" }]));
    assert!(answers[2]["problem"]["detail"].as_str().unwrap().contains("line 1"), "{}", answers[2]);
    let later = send(&broker, &other.to_string()).await;
    assert_eq!(later[0]["problem"]["code"], "conflict", "in a batch of its own it is a plain conflict");
    assert_eq!(broker.stored().await, 2);
}

#[tokio::test]
async fn answers_come_while_lines_are_still_being_sent() {
    let broker = Broker::start().await;
    let mut stream = TcpStream::connect(broker.address).await.unwrap();
    let head = format!(
        "POST /v1/jobs:batch HTTP/1.1\r\nhost: b\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n",
        broker.platform
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    for index in 0..5 {
        let line = format!("{}\n", job(&format!("S{index}")));
        writer.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await.unwrap();
        let answer = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the answer goes on");
                if line.starts_with('{') {
                    return serde_json::from_str::<Value>(&line).unwrap();
                }
            }
        };
        let answer = tokio::time::timeout(BOUND, answer).await.expect("each line is answered before the next is sent");
        assert_eq!((answer["line"].as_u64(), answer["status"].as_u64()), (Some(index + 1), Some(201)));
    }
    drop(stream);
    assert_eq!(broker.stored().await, 5, "what was accepted before the caller hung up stays accepted");
}

#[tokio::test]
async fn batches_have_room_for_so_many() {
    let broker = Broker::start_with(|config| config.limits.batches = 1).await;
    let _held = broker.edge.batches.clone().try_acquire_owned().unwrap();
    let head =
        format!("authorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: 0\r\n", broker.platform);
    broker.raw("POST", "/v1/jobs:batch", &head, b"").await.problem(503, "not_ready");
}

#[tokio::test]
async fn a_broker_that_stops_says_so_in_the_batch() {
    let broker = Broker::start().await;
    let room = broker.edge.batches.available_permits();
    let line = format!("{}\n", job("A1"));
    let head = format!(
        "POST /v1/jobs:batch HTTP/1.1\r\nhost: b\r\nauthorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\n\
         content-length: 100000\r\n\r\n{line}",
        broker.platform
    );
    let mut stream = TcpStream::connect(broker.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    until("the batch runs", || async { broker.edge.batches.available_permits() < room }).await;
    until("its line is accepted", || async { broker.stored().await == 1 }).await;
    broker.stop.send(true).unwrap();
    let answer = Answer::read(stream).await;
    let lines: Vec<Value> =
        String::from_utf8(answer.body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["status"], &lines[1]["problem"]["code"]), (&json!(201), &json!("not_ready")));
}
