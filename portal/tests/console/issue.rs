//! The issue screen: a draft has its serial number when it is opened, so whatever is sent twice is one invoice.

use taxdisk_portal::core::request::{Phase, Request};

use crate::browser::{Browser, Page, Place};
use crate::codes::draft;
use crate::platform::{SELLER, Said};

const CLERK: &[&str] = &["clerk"];
const BUYER: [(&str, &str); 4] =
    [("type", "企业"), ("GMF_MC", "示例采购有限公司"), ("GMF_NSRSBH", "91110000MA0000001L"), ("EMAIL", "a@b.example")];

pub(crate) async fn requests(place: &Place) -> Vec<Request> {
    let query = taxdisk_portal::store::Query {
        tenant: "shop".to_owned(),
        from: 0,
        before: (i64::MAX, String::new()),
        phases: Vec::new(),
        orgcode: String::new(),
        fplx: None,
        word: None,
        limit: 200,
    };
    place.platform.portal.readers.get().await.unwrap().list_requests(&query).await.unwrap()
}

/// Presses a button of the draft with a buyer and a line.
async fn press(browser: &mut Browser<'_>, at: &str, more: &[(&str, &str)]) -> Page {
    let org = format!("{SELLER}/A");
    let mut fields = draft(&org, &BUYER);
    fields.extend(more);
    browser.post(at, &fields).await
}

#[tokio::test]
async fn a_draft_is_checked_and_issued_once_whoever_presses_however_often() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let at = browser.get("/console/issue").await.location;
    let form = browser.get(&at).await;
    assert!(form.body.contains("企业开票") && form.body.contains("预约开票信息"), "{}", form.body);
    let check = press(&mut browser, &at, &[("step", "check")]).await;
    for text in ["53.77", "3.23", "57.00", "示例采购有限公司", "91110000MA0000001L", "6%"] {
        assert!(check.body.contains(text), "{text}: {}", check.body);
    }
    assert!(requests(&place).await.is_empty(), "looking issues nothing");
    let changed = press(&mut browser, &at, &[("step", "edit")]).await;
    assert!(changed.body.contains("value=\"示例采购有限公司\""), "back from the check nothing is lost");
    let (mut one, mut two) = (browser.tab(), browser.tab());
    let make: [(&str, &str); 1] = [("step", "make")];
    let (first, second) = tokio::join!(press(&mut one, &at, &make), press(&mut two, &at, &make));
    let places: Vec<&str> = [&first, &second].iter().map(|page| page.location.split('?').next().unwrap()).collect();
    assert_eq!(places[0], places[1], "a double click is one invoice: {}", first.body);
    let mut done: Vec<&str> = [&first, &second].iter().map(|page| page.location.rsplit('=').next().unwrap()).collect();
    done.sort_unstable();
    assert_eq!(done, ["asked", "known"]);
    assert!(form.body.contains(places[0].rsplit('/').next().unwrap()), "the serial number was fixed before the form was shown");
    let back = browser.get(&at).await;
    assert_eq!(back.location, format!("{}?done=known", places[0]), "the back button");
    assert!(browser.get(&first.location).await.status == 200);
    let other = press(&mut browser, &at, &[("step", "make"), ("BZ", "另一张")]).await;
    assert_eq!(other.status, 409, "other content under the same serial number is no second invoice");
    let found = requests(&place).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].phase, found[0].delivery.emails.as_slice()), (Phase::Forwarding, ["a@b.example".to_owned()].as_slice()));
    let notes = place.platform.portal.readers.get().await.unwrap().notes("shop", &found[0].serial).await.unwrap();
    assert!(notes.iter().any(|note| note.by == "console"), "{notes:?}");
}

#[tokio::test]
async fn the_buyer_comes_from_the_customer_file() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    browser.get("/console/customers").await;
    let file = "类型,购方名称,纳税人识别号,地址、电话,开户行及账号,邮箱,手机\r\n\
                企业,示例采购有限公司,91110000MA0000001L,北京 010-1,银行 1,a@b.example,13800000000\r\n个人,李四,,,,,\r\n";
    browser.upload("/console/customers/import", &[("step", "import")], file.as_bytes()).await;
    let at = browser.get("/console/issue").await.location;
    let found = browser.post(&at, &[("customer_word", "91110000"), ("step", "find_customer")]).await;
    assert!(found.body.contains("示例采购有限公司") && !found.body.contains("李四"), "{}", found.body);
    let id = found.body.split_once("name=\"customer\" value=\"").expect("a hit").1.split('"').next().unwrap().to_owned();
    let form = browser.post(&at, &[("customer", &id)]).await;
    for value in ["91110000MA0000001L", "北京 010-1", "银行 1", "a@b.example", "13800000000"] {
        assert!(form.body.contains(&format!("value=\"{value}\"")), "{value}");
    }
    assert!(form.body.contains("value=\"企业\" selected"));
}

#[tokio::test]
async fn a_buyer_that_no_invoice_can_have_is_named() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let at = browser.get("/console/issue").await.location;
    let org = format!("{SELLER}/A");
    for step in ["check", "make"] {
        let wrong =
            [("type", "企业"), ("GMF_MC", ""), ("GMF_NSRSBH", "91110000MA00000019"), ("EMAIL", "no mail"), ("step", step)];
        let page = browser.post(&at, &draft(&org, &wrong)).await;
        assert_eq!(page.status, 422);
        for text in ["购方名称", "校验码", "邮箱"] {
            assert!(page.body.contains(text), "{text}");
        }
    }
    assert!(requests(&place).await.is_empty());
}

#[tokio::test]
async fn a_remark_has_so_many_characters_and_all_of_them_can_be_printed() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let at = browser.get("/console/issue").await.location;
    browser.get(&at).await;
    for (remark, status) in [("x".repeat(200), 200), ("x".repeat(201), 422), ("a\u{1f600}".to_owned(), 422)] {
        let page = press(&mut browser, &at, &[("BZ", &remark), ("step", "check")]).await;
        assert_eq!((page.status, page.body.contains("备注：")), (status, status == 422), "{}", page.body);
    }
    assert!(requests(&place).await.is_empty());
}

#[tokio::test]
async fn what_was_sent_back_is_corrected_under_its_serial_number() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    let at = browser.get("/console/issue").await.location;
    let asked = press(&mut browser, &at, &[("step", "make")]).await;
    let serial = asked.location.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    place.platform.broker_says(&serial, &Said::Failed { fault: "request", code: "X", text: "单位不正确" }).await;
    browser.get(&asked.location).await;
    let returned = browser.post(&format!("/console/invoices/{serial}/return"), &[("confirm", "yes")]).await;
    assert!(returned.location.ends_with("done=returned"), "{}", returned.body);
    let form = browser.get(&at).await;
    assert!(form.status == 200 && form.body.contains("value=\"*餐饮服务*咖啡\""), "what was written is there: {}", form.body);
    let again = press(&mut browser, &at, &[("step", "make"), ("BZ", "已更正")]).await;
    assert_eq!(again.location, format!("/console/invoices/{serial}?done=asked"), "{}", again.body);
    assert_eq!(requests(&place).await.len(), 1, "under the same serial number");
}

/// The first character that is no English, where it is none of `but`.
pub(crate) fn foreign<'a>(html: &'a str, but: &[&str]) -> Option<&'a str> {
    let main = html.split_once("<main").map_or(html, |(_, main)| main);
    let at = main.char_indices().find(|(at, c)| {
        matches!(c, '\u{3000}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}')
            && !but.iter().any(|but| {
                main[..*at + c.len_utf8()]
                    .char_indices()
                    .rev()
                    .take(but.chars().count())
                    .any(|(from, _)| main[from..].starts_with(but))
            })
    });
    at.map(|(at, _)| main.get(at.saturating_sub(60)..).unwrap_or(&main[at..]))
}

#[tokio::test]
async fn whoever_reads_english_reads_what_is_wrong_in_english() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", &["clerk", "manager", "admin"]).await;
    // The organisation's name and a person's own words are as they are.
    let own = ["示例商贸有限公司", "示例餐饮有限公司", "示例", "企业", "非企业性单位", "个人", "中文"];
    let at = browser.get("/console/issue?lang=en").await.location;
    browser.cookie += "; lang=en";
    let org = format!("{SELLER}/A");
    let all_wrong = [
        ("org", "nobody"),
        ("FPLX", "99"),
        ("type", "x"),
        ("GMF_NSRSBH", "1"),
        ("EMAIL", "x"),
        ("PHONE", "x"),
        ("BZ", "a\u{1f600}"),
        ("XMMC.0", "a\tb"),
        ("price.0", "0"),
        ("SL.0", "6"),
        ("SPBM.0", "12"),
        ("XMSL.0", "-1"),
        ("XMJSHJ.0", "x"),
        ("LSLBS.0", "9"),
        ("ZZSTSGL.0", "a"),
        ("step", "check"),
    ];
    let page = browser.post(&at, &all_wrong).await;
    assert!(page.status == 422 && page.body.contains("Line 1, Rate: must be a fraction"), "{}", page.body);
    assert_eq!(foreign(&page.body, &own), None);
    let mut kind = draft(&org, &BUYER);
    kind[1].1 = "12";
    kind.push(("step", "check"));
    let page = browser.post(&at, &kind).await;
    assert!(page.status == 422 && page.body.contains("No disk of the seller is licensed for"), "{}", page.body);
    let file = "商品名称,税率,税收分类编码,没有\r\na,6,1,\r\n";
    browser.get("/console/goods").await;
    let page = browser.upload("/console/goods/import", &[("step", "try")], file.as_bytes()).await;
    assert!(page.status == 422 && page.body.contains("There is no such column"), "{}", page.body);
    assert_eq!(foreign(&page.body, &["没有"]), None);
    let page =
        browser.upload("/console/goods/import", &[("step", "try")], "商品名称,税率,税收分类编码\r\na,6,1\r\n".as_bytes()).await;
    assert!(page.body.contains("must have 19 digits") && page.body.contains("The author"), "{}", page.body);
    assert_eq!(foreign(&page.body, &[]), None);
    let page = browser.post("/console/customers", &[("c0", "x"), ("c2", "1"), ("c5", "x")]).await;
    assert!(page.status == 422 && foreign(&page.body, &own).is_none(), "{}", page.body);
    let wall = browser.get("/console/organisations/A/codes/new").await.location;
    browser.get(&wall).await;
    let page = browser.post(&wall, &[("limit", "1.005"), ("field.0", "a"), ("field.1", "a"), ("step", "save")]).await;
    assert!(page.status == 422 && foreign(&page.body, &own).is_none(), "{}", page.body);
    for path in ["/console/invoices", &at, "/console/reports"] {
        let page = browser.get(path).await;
        assert_eq!(foreign(&page.body, &own), None, "{path}");
    }
    let disks = browser.get("/console/settings/organisations").await.body;
    assert!(disks.contains("Electronic ordinary invoice: 100") && !disks.contains("增值税"), "{disks}");
}

#[tokio::test]
async fn why_nothing_is_issued_is_said_in_the_readers_language() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let at = browser.get("/console/issue").await.location;
    browser.get(&at).await;
    let asked = press(&mut browser, &at, &[("step", "make")]).await;
    let path = asked.location.split('?').next().unwrap().to_owned();
    let serial = path.rsplit('/').next().unwrap();
    place.platform.broker_says(serial, &Said::Waits("no_stock")).await;
    for (lang, said) in [("zh", "税控设备没有空白发票"), ("en", "The disk has no blank invoice left")] {
        let page = browser.get(&format!("{path}?lang={lang}")).await;
        assert!(page.body.contains(said), "{lang}: {}", page.body);
    }
    place
        .platform
        .broker_says(serial, &Said::Failed { fault: "disk", code: "disk_trouble", text: "disk 661545600001 rests" })
        .await;
    for (lang, said) in [("zh", "税控设备暂时不能开票 (disk_trouble)"), ("en", "The disk cannot issue now (disk_trouble)")]
    {
        let page = browser.get(&format!("{path}?lang={lang}")).await;
        assert!(page.body.contains(said) && page.body.contains("disk 661545600001 rests"), "{lang}: {}", page.body);
    }
}
