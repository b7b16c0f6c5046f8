//! `/kiosk`: a terminal with a scanner shows invoices of this portal, and leaves nothing behind.

use serde_json::json;
use taxdisk_portal::core::links::{self, Kind};

use crate::offline::{Scheme, path as offline_path};
use crate::platform::{Said, blue, form};
use crate::rig::{Page, Rig};

async fn scan(rig: &Rig, text: &str) -> Page {
    rig.browse("192.0.2.5", "POST", "/kiosk", &form(&[("scan", text)])).await
}

fn clears(page: &Page) -> bool {
    page.text.contains("<meta http-equiv=\"refresh\" content=\"60;url=/kiosk\">")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kiosk_shows_the_invoice_of_a_scan_and_clears_it() {
    let rig = Rig::start(|_| {}).await;
    let empty = rig.browse("192.0.2.5", "GET", "/kiosk", "").await;
    assert!(empty.status == 200 && empty.text.contains("autofocus") && !clears(&empty), "{}", empty.text);
    let mut document = blue("KIOSK1");
    document["GMF_MC"] = "欧阳<b>小明".into();
    rig.issue(&document, &[], &[]).await;
    let link = rig.platform.portal.link(&rig.request("KIOSK1").await).await.unwrap().unwrap();
    let page = scan(&rig, &format!("{link}\r\n")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let path = link.strip_prefix("https://fp.example").unwrap();
    for shown in [
        "购方名称",
        "欧",
        "¥100.00",
        "¥13.00",
        "¥113.00",
        "示例商贸有限公司",
        "北京市示例路1号 010-12345678",
        "011002000111",
        "00000001",
        "PDF 下载",
        "PDF 打印",
        &format!("href=\"{path}/pdf\" download"),
        &format!("href=\"{path}/pdf\" data-print-file"),
    ] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert!(clears(&page) && page.text.contains("autofocus"), "the next one scans at once: {}", page.text);
    assert!(!page.text.contains("欧阳") && !page.text.contains("<b>小"), "{}", page.text);
    assert_eq!((page.headers["cache-control"].to_str().unwrap(), page.location()), ("no-store", String::new()));
    // The other language shows the same, and the machine does not keep it.
    assert!(page.text.contains("action=\"/kiosk?lang=en\""), "{}", page.text);
    let english = rig.browse("192.0.2.5", "POST", "/kiosk?lang=en", &form(&[("scan", &link)])).await;
    assert!(english.text.contains("Print PDF") && english.text.contains("Seller&#39;s address"), "{}", english.text);
    assert!(english.text.contains(&format!("name=\"scan\" value=\"{link}\"")), "{}", english.text);
    assert!(english.headers.get("set-cookie").is_none());
    // Its PDF may be framed by this origin alone, and only this page frames something.
    let policy = |page: &Page| page.headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy(&page).contains("frame-src 'self'") && policy(&page).contains("frame-ancestors 'none'"));
    let file = rig.browse("192.0.2.5", "GET", &format!("{path}/pdf"), "").await;
    assert!(policy(&file).contains("frame-ancestors 'self'") && file.headers["x-frame-options"] == "SAMEORIGIN");
    let whole = rig.browse("192.0.2.5", "GET", path, "").await;
    assert!(policy(&whole).contains("frame-ancestors 'none'") && !policy(&whole).contains("frame-src"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kiosk_says_where_a_scan_stands_and_issues_nothing() {
    let rig = Rig::start(|_| {}).await;
    let path = rig.code("KIOSK2", &json!({})).await;
    let url = format!("https://fp.example{path}");
    let page = scan(&rig, &url).await;
    assert!(page.status == 200 && page.text.contains("尚未填写发票抬头") && clears(&page), "{}", page.text);
    rig.fill(&path, &[]).await;
    rig.platform.broker_says("KIOSK2", &Said::Waits("disk_offline")).await;
    let page = scan(&rig, &url).await;
    assert!(page.text.contains("税控设备暂时不可用") && clears(&page) && !page.text.contains("/pdf"), "{}", page.text);
    rig.platform.broker_says("KIOSK2", &Said::Issued).await;
    let page = scan(&rig, &url).await;
    assert!(page.text.contains("/pdf\" download") && page.text.contains("欧＊＊明"), "{}", page.text);
    let ledger = &rig.platform.portal.ledger;
    let revoked =
        ledger.run(|session| Box::pin(async move { links::revoke(session, Kind::Code, "shop", "KIOSK2", "test").await }));
    assert_eq!(revoked.await.unwrap(), 1);
    let page = scan(&rig, &url).await;
    assert!(page.status == 410 && clears(&page) && !page.text.contains("示例"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kiosk_follows_no_address_of_others() {
    let rig = Rig::start(|_| {}).await;
    let path = rig.code("KIOSK3", &json!({})).await;
    for foreign in [
        "",
        "6901234567892",
        "https://evil.example/q/abc",
        &format!("https://evil.example{path}"),
        &format!("http://fp.example{path}"),
        &format!("//evil.example{path}"),
        &format!("https://fp.example@evil.example{path}"),
        "https://fp.example/console/invoices",
        "javascript:alert(1)",
        "\"><script>alert(1)</script>",
    ] {
        let page = scan(&rig, foreign).await;
        assert_eq!((page.status, page.location()), (422, String::new()), "{foreign}");
        assert!(page.text.contains("这不是本平台的发票二维码") && clears(&page), "{foreign}: {}", page.text);
        assert!(!page.text.contains("evil.example") && !page.text.contains("alert"), "{foreign}: {}", page.text);
    }
    let page = scan(&rig, "https://fp.example/q/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    assert!(page.status == 404 && page.text.contains("二维码无效"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_terminal_scans_so_often() {
    let rig = Rig::start(|config| config.limits.scans_per_min = 5).await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(scan(&rig, "https://fp.example/q/AAAA").await.status);
    }
    assert!(statuses[..5] == [404; 5] && statuses.contains(&429), "{statuses:?}");
    assert_eq!(rig.browse("192.0.2.5", "GET", "/kiosk", "").await.status, 200, "the empty page costs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_s_code_at_a_kiosk_shows_what_became_of_its_order_and_asks_nobody() {
    let scheme = Scheme::start(Vec::new()).await;
    let code = offline_path(&scheme.token("KIOSK4", None));
    let url = format!("https://fp.example{code}");
    let page = scan(&scheme.rig, &url).await;
    assert!(page.status == 200 && page.text.contains("尚未填写发票抬头"), "{}", page.text);
    assert_eq!(scheme.asked(), 0, "the merchant is asked by a consumer's telephone");
    let serial = scheme.issue("KIOSK4", &[]).await;
    scheme.rig.platform.broker_says(&serial, &Said::Issued).await;
    let page = scan(&scheme.rig, &url).await;
    assert!(page.text.contains("/pdf\" download") && page.text.contains("¥113.00"), "{}", page.text);
    let page = scan(&scheme.rig, "https://fp.example/qrcode-connector?syscode=TOLL&order=AAAA").await;
    assert_eq!(page.status, 404, "{}", page.text);
    // Whoever revokes the code of the request ends the till's code with it, at a kiosk as on a telephone.
    let ledger = &scheme.rig.platform.portal.ledger;
    let revoke =
        ledger.run(move |session| Box::pin(async move { links::revoke(session, Kind::Code, "shop", &serial, "operator").await }));
    assert_eq!(revoke.await.unwrap(), 1);
    assert_eq!(scheme.sent("GET", &code, "").await.0, 410);
    let page = scan(&scheme.rig, &url).await;
    assert!(page.status == 410 && !page.text.contains("/pdf") && !page.text.contains("¥113.00"), "{}", page.text);
}
