//! Codes for consumers: told again while they are good, stored as a hash, ended by time, revoked.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use taxdisk_portal::admin::{self, OperatorKey};
use taxdisk_portal::core::request::Phase;
use taxdisk_portal::pages;
use tower::ServiceExt as _;

use crate::platform::{SELLER, Said, blue};
use crate::rig::Rig;

const DAY_S: i64 = 24 * 3600;

async fn rig() -> Rig {
    Rig::start(|config| config.links.code_valid_days = 10).await
}

/// Asks for the code of a sale without a buyer.
async fn asked(rig: &Rig, serial: &str) -> Value {
    let document = json!({ "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "orgcode": "A", "SHMC": "示例商店", "JSHJ": "11.30",
        "RQSJ": "2027-01-15",
        "items": [{ "XMMC": "*纸制品*打印纸", "XMJSHJ": "11.30", "SL": "0.13", "SPBM": "1060105" }] });
    let answer = rig.platform.json("insertForQRInvoice", &document.to_string()).await;
    assert_eq!(answer.code(), "0000", "{}", answer.body);
    answer.json()
}

/// The path of the code that is told.
async fn code(rig: &Rig, serial: &str) -> String {
    let answer = asked(rig, serial).await;
    let url = answer["data"]["qrcode"].as_str().unwrap();
    url.strip_prefix("https://fp.example").unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Opens a page, or fills its form and confirms; status and text of what a browser then shows.
async fn page(rig: &Rig, method: &str, path: &str) -> (u16, String) {
    if method == "GET" {
        let (status, _, text) = sent(rig, "GET", path, "").await;
        return (status, text);
    }
    let form = "kind=person&GMF_MC=%E5%BC%A0%E4%B8%89";
    let (status, there, text) = sent(rig, "POST", path, &format!("{form}&step=check")).await;
    if let Some(there) = there {
        return Box::pin(page(rig, "GET", &there)).await;
    }
    if status != 200 {
        return (status, text);
    }
    let terms = text.split("name=\"terms\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it asks once more");
    let (status, there, text) = sent(rig, "POST", path, &format!("{form}&step=issue&terms={terms}")).await;
    match there {
        Some(there) => Box::pin(page(rig, "GET", &there)).await,
        None => (status, text),
    }
}

/// One request: status, where it leads, text.
async fn sent(rig: &Rig, method: &str, path: &str, form: &str) -> (u16, Option<String>, String) {
    let request = Request::builder().method(method).uri(path).header("accept", "text/html");
    let request = request.body(Body::from(form.to_owned())).unwrap();
    let (parts, body) = pages::answer(rig.platform.portal.clone(), request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let there = parts.headers.get("location").map(|value| value.to_str().unwrap().to_owned());
    (parts.status.as_u16(), there, String::from_utf8_lossy(&body).into_owned())
}

/// A call of the operator.
async fn operator(rig: &Rig, method: &str, path: &str) -> (u16, Value) {
    let router = admin::router(rig.platform.portal.clone(), OperatorKey::of("tpo_old"));
    let request = Request::builder().method(method).uri(path).header("authorization", "Bearer tpo_old");
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_told_again_and_ends_by_time_while_its_sale_stays_one() {
    let rig = rig().await;
    let path = code(&rig, "CODE1").await;
    assert!(path.len() >= "/q/".len() + 22, "at least 128 bits");
    rig.platform.pass(10 * DAY_S - 1);
    assert_eq!(code(&rig, "CODE1").await, path, "the same while it is good");
    assert_eq!(page(&rig, "GET", &path).await.0, 200);
    rig.platform.pass(1);
    for method in ["GET", "POST"] {
        let (status, text) = page(&rig, method, &path).await;
        assert_eq!(status, 410, "{method}: {text}");
        assert!(!text.contains("示例"), "an old code tells nothing");
    }
    assert_eq!(rig.request("CODE1").await.phase, Phase::Buyer, "nobody named a buyer by a code that has ended");
    let next = code(&rig, "CODE1").await;
    assert_ne!(next, path);
    assert_eq!(page(&rig, "GET", &path).await.0, 410, "the old one stays dead");
    assert_eq!(page(&rig, "POST", &next).await.0, 200);
    assert_eq!(rig.request("CODE1").await.phase, Phase::Forwarding);
    assert_eq!(page(&rig, "POST", &next).await.0, 200, "a second scan shows the first");
    let (status, there, _) = sent(&rig, "POST", &next, "").await;
    assert_eq!((status, there.as_ref()), (303, Some(&next)), "nobody is asked to fill in what is filled in");
    assert_eq!(rig.request("CODE1").await.document.text("GMF_MC"), "张三");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_has_so_many_bytes() {
    let rig = rig().await;
    let path = code(&rig, "CODE6").await;
    let (status, _, text) = sent(&rig, "POST", &path, &format!("kind=person&GMF_MC={}", "A".repeat(16 * 1024))).await;
    assert!(status == 413 && text.contains("<h1>"), "{status}: {text}");
    assert_eq!(rig.request("CODE6").await.phase, Phase::Buyer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_code_opens_nothing_and_only_the_operator_makes_another_one() {
    let rig = rig().await;
    let path = code(&rig, "CODE2").await;
    let calls = "/admin/v1/requests/shop/CODE2/codes";
    let (status, shown) = operator(&rig, "GET", calls).await;
    assert_eq!((status, &shown["links"][0]["kind"]), (200, &json!("code")), "{shown}");
    let (_, revoked) = operator(&rig, "POST", &format!("{calls}/revoke")).await;
    assert_eq!(revoked["revoked"], 1);
    for method in ["GET", "POST"] {
        assert_eq!(page(&rig, method, &path).await.0, 410, "{method}");
    }
    let again = asked(&rig, "CODE2").await;
    assert_eq!((&again["data"]["qrcode"], &again["subcode"]), (&json!(""), &json!("CODE_REVOKED")), "{again}");
    let (status, renewed) = operator(&rig, "POST", calls).await;
    assert_eq!(status, 201, "{renewed}");
    let url = format!("https://fp.example{}", code(&rig, "CODE2").await);
    assert_eq!(renewed["url"], url, "what the operator made is what is told from then on");
    assert_eq!(page(&rig, "GET", url.strip_prefix("https://fp.example").unwrap()).await.0, 200);
    assert_eq!(page(&rig, "GET", &path).await.0, 410);
    // What never had a code gets none.
    rig.issue(&blue("CODE3"), &[], &[]).await;
    assert_eq!(operator(&rig, "POST", "/admin/v1/requests/shop/CODE3/codes").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_opens_no_file_and_an_invoices_link_names_no_buyer() {
    let rig = rig().await;
    let path = code(&rig, "CODE4").await;
    assert_eq!(page(&rig, "POST", &path).await.0, 200);
    rig.platform.broker_says("CODE4", &Said::Issued).await;
    let link = rig.platform.portal.link(&rig.request("CODE4").await).await.unwrap().unwrap();
    let link = link.strip_prefix("https://fp.example/i/").unwrap();
    let token = path.strip_prefix("/q/").unwrap();
    assert_ne!(link, token);
    assert_eq!(page(&rig, "GET", &format!("/i/{token}")).await.0, 404, "whoever holds a receipt's code goes by its page");
    assert_eq!(page(&rig, "GET", &format!("/q/{link}")).await.0, 404);
    assert_eq!(page(&rig, "POST", &format!("/q/{link}")).await.0, 404);
    assert!(page(&rig, "GET", &path).await.1.contains(&format!("/i/{link}")), "there the link is");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_does_not_hold_what_opens_a_code() {
    let rig = rig().await;
    let path = code(&rig, "CODE5").await;
    let token = path.strip_prefix("/q/").unwrap().to_owned();
    let file = rig.platform.portal.config.store.url.strip_prefix("sqlite:").unwrap().to_owned();
    let holds = |what: &str| {
        [file.clone(), format!("{file}-wal")]
            .iter()
            .any(|file| std::fs::read(file).unwrap_or_default().windows(what.len()).any(|window| window == what.as_bytes()))
    };
    assert!(holds(&taxdisk_portal::core::links::hash(&token)), "the files are the right ones");
    assert!(!holds(&token));
}

#[tokio::test]
async fn a_code_is_given_as_a_picture_too() {
    let rig = Rig::start(|_| {}).await;
    let path = rig.code("PICTURE1", &json!({})).await;
    let link = format!("https://fp.example{path}");
    let svg = rig.browse("192.0.2.1", "GET", &format!("{path}/qr.svg"), "").await;
    assert_eq!((svg.status, svg.text), (200, taxdisk_portal::qr::svg(&link).unwrap()), "of the link and nothing else");
    let png = rig.browse("192.0.2.1", "GET", &format!("{path}/qr.png"), "").await;
    assert_eq!((png.status, png.headers["content-type"].to_str().unwrap()), (200, "image/png"));
    assert_eq!(png.text, String::from_utf8_lossy(&taxdisk_portal::qr::png(&link).unwrap()));
    for other in ["/q/nobody/qr.svg", "/q/nobody/qr.png"] {
        assert_eq!(rig.browse("192.0.2.1", "GET", other, "").await.status, 404, "no picture of what is no code");
    }
    assert_eq!(rig.browse("192.0.2.1", "POST", &format!("{path}/qr.png"), "").await.status, 405);
}
