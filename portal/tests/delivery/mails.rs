//! Mail, through a real SMTP server.

use serde_json::json;
use taxdisk_portal::config::Security;
use taxdisk_portal::core::outbox::{Delivered, Standing};
use taxdisk_portal::core::request::Request;

use crate::platform::{Said, blue};
use crate::rig::{Rig, Smtp};

async fn rig(smtp: &Smtp) -> Rig {
    Rig::start(|config| config.mail = Some(smtp.config())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_taken_with_its_texts_its_file_its_link_and_its_bounce_address() {
    let smtp = Smtp::start(Some("127.0.0.1"), &json!({}));
    let rig = rig(&smtp).await;
    rig.issue(&blue("MAIL1"), &["a@buyer.example,b@buyer.example", "a@buyer.example"], &[]).await;
    assert_eq!(rig.state("MAIL1", "emailState").await, "0");
    assert_eq!(rig.send_due().await, 2, "one mail for each address, however often it was named");
    assert_eq!(rig.state("MAIL1", "emailState").await, "2");
    assert_eq!(rig.send_due().await, 0);
    let mails = smtp.saw("data");
    assert_eq!(mails.len(), 2);
    let mail = &mails[0];
    assert_eq!((&mail["mail_from"], &mail["tls"]), (&json!("bounce@platform.example"), &json!(true)));
    assert_eq!(mail["to"].as_array().unwrap().len(), 1, "nobody sees the others");
    assert_eq!(mail["headers"]["Auto-Submitted"], "auto-generated");
    assert_eq!(mail["headers"]["Subject"], "【样票 SAMPLE】您收到一张电子发票：示例商贸有限公司，¥113.00");
    let messages = rig.messages("MAIL1").await;
    let ids: Vec<String> = mails.iter().map(|mail| mail["headers"]["Message-ID"].as_str().unwrap().to_owned()).collect();
    for message in &messages {
        assert!(ids.contains(&format!("<{}@platform.example>", message.id)), "{ids:?}");
    }
    let parts = mail["parts"].as_array().unwrap();
    let kinds: Vec<&str> = parts.iter().map(|part| part["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text/plain", "text/html", "application/pdf"]);
    assert_eq!((&parts[2]["name"], &parts[2]["start"]), (&json!("011002000111-00000001.pdf"), &json!("%PDF-")));
    let link = rig.platform.portal.link(&rig.request("MAIL1").await).await.unwrap().unwrap();
    for part in &parts[..2] {
        let text = part["text"].as_str().unwrap();
        assert!(text.contains(&link) && text.contains("虚构购方") && text.contains("Invoice number"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let smtp = Smtp::start(Some("127.0.0.1"), &json!({}));
    let rig = rig(&smtp).await;
    rig.issue(&blue("BUSY1"), &["busy@buyer.example"], &[]).await;
    assert_eq!(rig.send_due().await, 1);
    assert_eq!((rig.standing("BUSY1").await, rig.messages("BUSY1").await[0].attempts[0].status), (Standing::Waiting, Some(451)));
    rig.platform.pass(59);
    assert_eq!(rig.send_due().await, 0, "not before its time");
    rig.platform.pass(1);
    assert_eq!(rig.send_due().await, 1);
    assert_eq!((rig.standing("BUSY1").await, smtp.saw("data").len()), (Standing::Sent, 1));

    rig.issue(&blue("GONE1"), &["gone@buyer.example"], &[]).await;
    let before = rig.request("GONE1").await;
    rig.send_due().await;
    assert_eq!((rig.standing("GONE1").await, rig.messages("GONE1").await[0].attempts[0].status), (Standing::Failed, Some(550)));
    assert_eq!(rig.state("GONE1", "emailState").await, "1");
    let after = rig.request("GONE1").await;
    assert_eq!(Request { delivered: Delivered::default(), ..after }, before, "the invoice is not touched");
    // The merchant asks for another address: a mail, and no second invoice.
    let answer = rig.platform.form("callBackByEmail", &[("fpqqlsh", "GONE1"), ("email", "c@buyer.example")]).await;
    assert_eq!(answer.code(), "0000", "{}", answer.body);
    rig.send_due().await;
    assert_eq!(smtp.saw("data").last().unwrap()["to"], json!(["c@buyer.example"]));
    let after = rig.request("GONE1").await;
    assert_eq!(Request { delivered: Delivered::default(), ..after }, before, "the invoice is not touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_whose_answer_was_lost_goes_out_again_under_the_same_id() {
    let smtp = Smtp::start(Some("127.0.0.1"), &json!({}));
    let rig = rig(&smtp).await;
    rig.issue(&blue("CUT1"), &["cut@buyer.example"], &[]).await;
    rig.send_due().await;
    let message = rig.messages("CUT1").await.remove(0);
    assert_eq!((message.standing, message.unclear), (Standing::Waiting, true), "{message:?}");
    rig.platform.pass(60);
    rig.send_due().await;
    assert_eq!(rig.standing("CUT1").await, Standing::Sent);
    let mails = smtp.saw("data");
    assert_eq!(mails.len(), 2, "twice, never not at all");
    assert_eq!(mails[0]["headers"]["Message-ID"], mails[1]["headers"]["Message-ID"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_word_of_a_mail_goes_to_a_server_without_tls_or_with_the_certificate_of_another() {
    for (name, security) in [
        (None, Security::Starttls),
        (Some("mail.other.example"), Security::Starttls),
        (Some("mail.other.example"), Security::Tls),
    ] {
        let smtp = Smtp::start(name, &json!({ "implicit": security == Security::Tls }));
        let rig = Rig::start(|config| config.mail = Some(taxdisk_portal::config::Mail { security, ..smtp.config() })).await;
        rig.issue(&blue("TLS1"), &["a@buyer.example"], &[]).await;
        rig.send_due().await;
        let message = rig.messages("TLS1").await.remove(0);
        assert_eq!(message.standing, Standing::Waiting, "{message:?}");
        assert!(smtp.saw("mail").is_empty() && smtp.saw("data").is_empty(), "{name:?} {security:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_works_over_tls_and_a_wrong_password_loses_no_mail() {
    let smtp = Smtp::start(Some("127.0.0.1"), &json!({ "implicit": true, "user": "portal", "password": "right" }));
    for (serial, password, standing) in [("AUTH1", "right\n", Standing::Sent), ("AUTH2", "wrong\n", Standing::Waiting)] {
        let rig = Rig::start(|config| {
            config.mail = Some(taxdisk_portal::config::Mail {
                security: Security::Tls,
                user: Some("portal".to_owned()),
                password_file: Some(smtp.file("password", password)),
                ..smtp.config()
            });
        })
        .await;
        rig.issue(&blue(serial), &["a@buyer.example"], &[]).await;
        rig.send_due().await;
        assert_eq!(rig.standing(serial).await, standing, "{:?}", rig.messages(serial).await);
    }
    assert_eq!(smtp.saw("data").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_says_so_and_holds_up_nothing() {
    // No mail server at all; an address that is none; a failed invoice.
    let rig = Rig::start(|_| {}).await;
    rig.issue(&blue("NONE1"), &["a@buyer.example"], &[]).await;
    rig.send_due().await;
    assert_eq!((rig.standing("NONE1").await, rig.state("NONE1", "emailState").await), (Standing::Unavailable, "0".to_owned()));
    let smtp = Smtp::start(Some("127.0.0.1"), &json!({}));
    let rig = crate::mails::rig(&smtp).await;
    rig.issue(&blue("BAD1"), &["a@b\r\nBcc: victim@elsewhere.example"], &[]).await;
    rig.send_due().await;
    assert_eq!((rig.standing("BAD1").await, smtp.saw("mail").len()), (Standing::Failed, 0));
    let failed = json!([blue("FAIL1")]).to_string();
    let to = json!([{ "fpqqlsh": "FAIL1", "address": "a@buyer.example" }]).to_string();
    rig.platform.form("insertWithArray", &[("requestdatas", &failed), ("email", &to)]).await;
    rig.platform.broker_says("FAIL1", &Said::Failed { fault: "disk", code: "disk_offline", text: "离线" }).await;
    assert!(rig.messages("FAIL1").await.is_empty(), "no invoice, no mail");
    let answer = rig.platform.form("callBackByEmail", &[("fpqqlsh", "FAIL1"), ("email", "a@buyer.example")]).await;
    assert_eq!(answer.json()["subcode"], "NOT_ISSUED");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_flooded() {
    let smtp = Smtp::start(Some("127.0.0.1"), &json!({}));
    let rig = rig(&smtp).await;
    rig.issue(&blue("MANY1"), &[], &[]).await;
    let mut refused = 0;
    for _ in 0..12 {
        let answer = rig.platform.form("callBackByEmail", &[("fpqqlsh", "MANY1"), ("email", "a@buyer.example")]).await;
        refused += usize::from(answer.json()["subcode"] == "TOO_MANY");
        rig.platform.pass(1);
        rig.send_due().await;
    }
    assert_eq!((refused, smtp.saw("data").len()), (2, 10));
    let ids: std::collections::BTreeSet<String> =
        smtp.saw("data").iter().map(|mail| mail["headers"]["Message-ID"].to_string()).collect();
    assert_eq!(ids.len(), 10, "one that was asked for is a mail of its own");
}
