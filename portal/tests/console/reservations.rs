//! 预约二维码: set up by the merchant, filled in by guests, made an invoice by a clerk and by nobody else.

use serde_json::json;
use taxdisk_portal::core::request::Phase;

use crate::browser::{Browser, Page, Place};
use crate::issue::requests;
use crate::platform::{SELLER, Said};

const CLERK: &[&str] = &["clerk"];
const GOODS: &str = "商品名称,规格型号,单位,含税单价,税率,税收分类编码\r\n\
                     *住宿服务*房费,,晚,,0.06,3070402000000000000\r\n*餐饮服务*早餐,,份,30,0.06,3070401000000000000\r\n";

/// An administrator who also keeps the goods file; the address of a code that he set up, as in the source: fixed items, an amount
/// by the guest, a fixed amount, a remark, a number, a field of his own.
pub(crate) async fn hung_up(place: &Place) -> (Browser<'_>, String) {
    let mut admin = place.signed_in("shop", "adam", &["admin", "clerk"]).await;
    admin.get("/console/goods").await;
    admin.upload("/console/goods/import", &[("step", "import")], GOODS.as_bytes()).await;
    let at = admin.get("/console/organisations/A/codes/new").await.location;
    assert_eq!(admin.get(&at).await.status, 200);
    let mut ids = Vec::new();
    for word in ["房费", "早餐"] {
        let found = admin.post(&at, &[("goods_word", word), ("step", "find")]).await;
        ids.push(found.body.split_once("name=\"add\" value=\"").expect("a hit").1.split('"').next().unwrap().to_owned());
    }
    let added = admin.post(&at, &[("name", "前台"), ("item.0", &ids[0]), ("by.0", "amount"), ("add", &ids[1])]).await;
    assert!(added.body.contains("item.1") && added.body.contains("*餐饮服务*早餐"), "{}", added.body);
    let fields = [
        ("name", "前台"),
        ("limit", "2000"),
        ("BZ", "谢谢惠顾"),
        ("numbered", "yes"),
        ("item.0", ids[0].as_str()),
        ("by.0", "amount"),
        ("item.1", ids[1].as_str()),
        ("by.1", "fixed"),
        ("gross.1", "30.00"),
        ("field.0", "房号"),
        ("required.0", "yes"),
        ("step", "save"),
    ];
    for _ in 0..2 {
        let page = admin.post(&at, &fields).await;
        assert_eq!(page.location, format!("{at}?done=saved"), "{}", page.body);
    }
    (admin, at)
}

/// What a guest opens by the code.
pub(crate) fn public(at: &str) -> String {
    format!("/r/{}", at.rsplit('/').next().unwrap())
}

pub(crate) fn guest_fields<'a>(name: &'a str, phone: &'a str, room: &'a str) -> [(&'a str, &'a str); 5] {
    [("kind", "person"), ("GMF_MC", name), ("phone", phone), ("money.0", "888.00"), ("answer.0", room)]
}

/// A guest scans, fills in and submits; where he sees it.
pub(crate) async fn reserved(place: &Place, at: &str, fields: &[(&str, &str)]) -> String {
    let form = place.guest("GET", &public(at), &[]).await;
    assert_eq!(form.status, 303, "{}", form.body);
    let page = confirmed(place, &form.location, fields).await;
    assert_eq!((page.status, page.location.as_str()), (303, form.location.as_str()), "{}", page.body);
    form.location
}

/// What a guest sends by the last button, once he has seen what he would reserve.
pub(crate) async fn last_step<'a>(place: &Place, form: &str, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, String)> {
    let check = place.guest("POST", form, &[fields, &[("step", "check")]].concat()).await;
    let terms = check.body.split("name=\"terms\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let terms = terms.unwrap_or_else(|| panic!("it asks once more: {}", check.body)).to_owned();
    let mut last: Vec<(&str, String)> = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    last.extend([("step", "issue".to_owned()), ("terms", terms)]);
    last
}

/// Both steps of a guest.
pub(crate) async fn confirmed(place: &Place, form: &str, fields: &[(&str, &str)]) -> Page {
    let last = last_step(place, form, fields).await;
    let last: Vec<(&str, &str)> = last.iter().map(|(name, value)| (*name, value.as_str())).collect();
    place.guest("POST", form, &last).await
}

/// The one reservation's page at the console.
pub(crate) async fn only(browser: &mut Browser<'_>, query: &str) -> String {
    let page = browser.get(&format!("/console/reservations?{query}")).await;
    let found: Vec<&str> = page.body.split("<a href=\"/console/reservations/").skip(1).collect();
    assert_eq!(found.len(), 1, "{query}: {}", page.body);
    format!("/console/reservations/{}", found[0].split('"').next().unwrap())
}

/// The hidden fields of a page on which a draft is checked, with another button.
fn hidden(page: &Page, step: &str) -> Vec<(String, String)> {
    let unescaped = |text: &str| text.replace("&#38;", "&").replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<");
    let inputs = page.body.split("<input type=\"hidden\" name=\"").skip(1);
    let pair = |rest: &str| {
        let (name, rest) = rest.split_once("\" value=\"").unwrap();
        (name.to_owned(), unescaped(rest.split_once('"').unwrap().0))
    };
    let mut fields: Vec<(String, String)> = inputs.map(pair).filter(|(name, _)| name != "csrf").collect();
    fields.push(("step".to_owned(), step.to_owned()));
    fields
}

async fn press(browser: &mut Browser<'_>, at: &str, fields: &[(String, String)]) -> Page {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post(at, &fields).await
}

/// The clerk's draft as the form holds it, for the step of checking.
pub(crate) fn draft_fields<'a>(org: &'a str, name: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("org", org),
        ("FPLX", "1"),
        ("BZ", "谢谢惠顾"),
        ("type", "个人"),
        ("GMF_MC", name),
        ("PHONE", "13800000001"),
        ("XMMC.0", "*住宿服务*房费"),
        ("DW.0", "晚"),
        ("SL.0", "0.06"),
        ("SPBM.0", "3070402000000000000"),
        ("XMJSHJ.0", "888.00"),
        ("XMMC.1", "*餐饮服务*早餐"),
        ("DW.1", "份"),
        ("SL.1", "0.06"),
        ("SPBM.1", "3070401000000000000"),
        ("XMJSHJ.1", "30.00"),
        ("step", "check"),
    ]
}

#[tokio::test]
async fn a_code_on_the_wall_is_set_up_once_downloaded_and_disabled_for_ever() {
    let place = Place::start().await;
    let (mut admin, at) = hung_up(&place).await;
    let list = admin.get("/console/organisations").await;
    for text in ["应用设置", "组织管理", "预约二维码生成", "示例餐饮有限公司"] {
        assert!(list.body.contains(text), "{text}");
    }
    let codes = admin.get("/console/organisations/A/codes").await;
    assert_eq!(codes.body.matches("前台").count(), 1, "a form sent twice is one code");
    let text = format!("https://fp.example{}", public(&at));
    let png = admin.get(&format!("{at}/qr.png?save=1")).await;
    assert_eq!((png.kind.as_str(), png.bytes), ("image/png", taxdisk_portal::qr::png(&text).unwrap()));
    assert!(png.disposition.starts_with("attachment;"), "it is saved as a file");
    assert_eq!(admin.get(&format!("{at}/qr.svg")).await.body, taxdisk_portal::qr::svg(&text).unwrap());
    let form = place.guest("GET", &public(&at), &[]).await.location;
    let page = place.guest("GET", &form, &[]).await;
    for shown in ["*住宿服务*房费", "*餐饮服务*早餐", "¥30.00", "房号", "¥2000.00", "money.0"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    assert!(!page.body.contains("money.1"), "a fixed amount is not asked for");
    assert_eq!(admin.get(&at).await.status, 200);
    assert_eq!(admin.post(&format!("{at}/disable"), &[]).await.status, 422, "nothing happens unconfirmed");
    let there = reserved(&place, &at, &guest_fields("早来的", "13800000009", "101")).await;
    assert_eq!(admin.post(&format!("{at}/disable"), &[("confirm", "yes")]).await.location, format!("{at}?done=disabled"));
    assert_eq!(place.guest("GET", &form, &[]).await.status, 410);
    assert_eq!(place.guest("POST", &form, &guest_fields("张三", "13800000001", "808")).await.status, 410);
    assert_eq!(place.guest("GET", &there, &[]).await.status, 200, "what was reserved stays");
    assert_eq!(admin.get(&format!("{at}/qr.png")).await.status, 404, "nobody prints it any more");
    assert_eq!(admin.post(&at, &[("name", "前台"), ("limit", "1"), ("step", "save")]).await.status, 409);
    let mut clerk = place.signed_in("shop", "carl", CLERK).await;
    assert_eq!(clerk.get("/console/organisations/A/codes/new").await.status, 403, "a clerk hangs up no codes");
}

#[tokio::test]
async fn a_wall_code_that_is_wrong_is_not_hung_up() {
    let place = Place::start().await;
    let mut admin = place.signed_in("shop", "adam", &["admin"]).await;
    let at = admin.get("/console/organisations/A/codes/new").await.location;
    admin.get(&at).await;
    let page =
        admin.post(&at, &[("name", ""), ("limit", "1.005"), ("field.0", "房号"), ("field.1", "房号"), ("step", "save")]).await;
    assert_eq!(page.status, 422);
    for text in ["名称", "上限", "不重复"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert_eq!(place.guest("GET", &public(&at), &[]).await.status, 404, "nobody can open it");
    assert_eq!(admin.get("/console/organisations/Z/codes").await.status, 404, "no such organisation");
}

#[tokio::test]
async fn a_guest_reserves_once_and_sees_it_masked_and_nothing_is_issued() {
    let place = Place::start().await;
    let (_, at) = hung_up(&place).await;
    let fields = guest_fields("张三丰", "13800000001", "808");
    let there = reserved(&place, &at, &fields).await;
    for _ in 0..3 {
        assert_eq!(place.guest("POST", &there, &fields).await.location, there, "sent again, it is the same one");
    }
    let page = place.guest("GET", &there, &[]).await;
    assert!(page.body.contains("预约已提交") && page.body.contains("尚未开票"), "{}", page.body);
    assert!(page.body.contains(">1<") && page.body.contains("¥888.00"), "its number and what he wants");
    assert!(!page.body.contains("张三丰") && !page.body.contains("13800000001"), "masked: {}", page.body);
    assert!(
        place.guest("GET", &there.replace(&there[there.len() - 4..], "AAAA"), &[]).await.body.contains("GMF_MC"),
        "another key"
    );
    assert!(requests(&place).await.is_empty(), "nothing is issued without a clerk");
    // Another code's address does not show it.
    let key = there.rsplit('/').next().unwrap();
    assert_eq!(place.guest("GET", &format!("/r/AAAAAAAAAAAAAAAAAAAAAA/{key}"), &[]).await.status, 404);
}

#[tokio::test]
async fn a_guest_s_form_says_everything_that_is_wrong_in_his_language() {
    let place = Place::start().await;
    let (_, at) = hung_up(&place).await;
    let there = place.guest("GET", &public(&at), &[]).await.location;
    let wrongs: [(&[(&str, &str)], &str); 6] = [
        (&[("GMF_MC", "A"), ("phone", "13800000001"), ("money.0", "1"), ("answer.0", "1")], "Choose the type"),
        (&[("kind", "person"), ("GMF_MC", "A"), ("money.0", "1"), ("answer.0", "1")], "A telephone number or an e-mail"),
        (&[("kind", "person"), ("GMF_MC", "A"), ("phone", "13800000001"), ("money.0", "1.005"), ("answer.0", "1")], "above 0"),
        (&[("kind", "person"), ("GMF_MC", "A"), ("phone", "13800000001"), ("money.0", "2000.01"), ("answer.0", "1")], "¥2000.00"),
        (&[("kind", "person"), ("GMF_MC", "A"), ("phone", "13800000001"), ("money.0", "1")], "房号: needed"),
        (
            &[
                ("kind", "enterprise"),
                ("GMF_MC", "A"),
                ("GMF_NSRSBH", "91110000MA00000019"),
                ("phone", "13800000001"),
                ("money.0", "1"),
                ("answer.0", "1"),
            ],
            "The taxpayer number is wrong",
        ),
    ];
    for (fields, text) in wrongs {
        let page = place.guest("POST", &format!("{there}?lang=en"), fields).await;
        assert!(page.status == 422 && page.body.contains(text), "{text}: {}", page.body);
    }
    let hostile = [("kind", "person"), ("GMF_MC", "\"><script>alert(1)</script>"), ("answer.0", "<b>")];
    let page = place.guest("POST", &there, &hostile).await;
    assert!(page.status == 422 && !page.body.contains("<script>alert") && !page.body.contains("<b>"));
    let short = there.rsplit_once('/').unwrap().0;
    let page = place.guest("POST", &format!("{short}/short"), &guest_fields("张三", "13800000001", "808")).await;
    assert!(page.status == 422 && page.body.contains("重新扫码"), "a key that we did not make");
}

#[tokio::test]
async fn strangers_may_submit_only_so_often() {
    let place = Place::start().await;
    let (_, at) = hung_up(&place).await;
    let there = place.guest("GET", &public(&at), &[]).await.location;
    let mut refused = 0;
    for _ in 0..200 {
        let page = place.guest("POST", &there, &[("kind", "person")]).await;
        assert!(matches!(page.status, 422 | 429), "{}", page.status);
        refused += usize::from(page.status == 429);
    }
    assert!(refused > 0, "nobody fills the merchant's list by a loop");
    assert_eq!(place.guest("GET", &there, &[]).await.status, 200, "whoever looks is not refused");
}

#[tokio::test]
async fn a_clerk_finds_a_reservation_takes_checks_and_issues_it_once() {
    let place = Place::start().await;
    let (_, at) = hung_up(&place).await;
    let there = reserved(&place, &at, &guest_fields("张三丰", "13800000001", "808")).await;
    reserved(&place, &at, &guest_fields("李四", "13900000002", "909")).await;
    let mut clerk = place.signed_in("shop", "carl", CLERK).await;
    let all = clerk.get("/console/reservations").await;
    assert!(all.body.contains("张三丰") && all.body.contains("李四") && all.body.contains("房号 808"), "{}", all.body);
    let page = only(&mut clerk, "org=A&word=%E5%BC%A0%E4%B8%89%E4%B8%B0").await;
    for query in ["word=13800000001", "word=0000001", "org=A&word=1"] {
        if query != "org=A&word=1" {
            assert_eq!(only(&mut clerk, query).await, page, "{query}");
        }
    }
    assert!(!clerk.get("/console/reservations?org=B").await.body.contains("张三丰"), "of another organisation");
    assert!(clerk.get(&page).await.body.contains("取用并填开"));
    let serial = page.rsplit('/').next().unwrap().to_owned();
    let early = clerk.post(&page, &[("step", "make"), ("org", "x")]).await;
    assert_eq!(early.status, 422, "nothing is made of a wrong form");
    assert_eq!(clerk.post(&format!("{page}/take"), &[]).await.location, page);
    let form = clerk.get(&page).await;
    for value in ["张三丰", "888.00", "30.00", "谢谢惠顾", "13800000001", "*住宿服务*房费"] {
        assert!(form.body.contains(&format!("value=\"{value}\"")), "{value}: {}", form.body);
    }
    assert!(form.body.contains(&serial) && form.body.contains("808"));
    // A second clerk sees who has it, and can do nothing with it.
    let mut other = place.signed_in("shop", "olga", CLERK).await;
    let seen = other.get(&page).await;
    assert!(seen.body.contains("由 carl 处理中") && !seen.body.contains("取用并填开"), "{}", seen.body);
    assert!(other.get("/console/reservations").await.body.contains("由 carl 处理中"));
    let org = format!("{SELLER}/A");
    for (path, fields) in [(format!("{page}/take"), Vec::new()), (page.clone(), draft_fields(&org, "改成别人"))] {
        let refused = other.post(&path, &fields).await;
        assert!(refused.status == 409 && refused.body.contains("carl"), "{}", refused.body);
    }
    let mut make = draft_fields(&org, "改成别人");
    make.pop();
    make.push(("step", "make"));
    assert_eq!(other.post(&page, &make).await.status, 409, "nor issue it");
    assert_eq!(other.post(&format!("{page}/release"), &[]).await.location, page);
    assert!(other.get(&page).await.body.contains("由 carl 处理中"), "nor give it back");
    assert!(requests(&place).await.is_empty());
    // Edited, checked, issued; pressed twice it is one invoice.
    let check = clerk.post(&page, &draft_fields(&org, "张三丰（更正）")).await;
    assert!(check.status == 200 && check.body.contains("918.00") && check.body.contains("张三丰（更正）"), "{}", check.body);
    let fields = hidden(&check, "make");
    let (mut one, mut two) = (clerk.tab(), clerk.tab());
    let (first, second) = tokio::join!(press(&mut one, &page, &fields), press(&mut two, &page, &fields));
    let mut done = [first.location.as_str(), second.location.as_str()];
    done.sort_unstable();
    let invoice = format!("/console/invoices/{serial}");
    assert_eq!(done, [format!("{invoice}?done=asked"), format!("{invoice}?done=known")], "{} {}", first.body, second.body);
    let found = requests(&place).await;
    assert_eq!((found.len(), found[0].document.text("GMF_MC"), found[0].phase), (1, "张三丰（更正）", Phase::Forwarding));
    assert_eq!(found[0].document.text("BZ"), "谢谢惠顾");
    assert!(clerk.get(&page).await.body.contains("已使用"));
    assert!(!clerk.get("/console/reservations").await.body.contains("张三丰"), "it is not among the unused");
    assert_eq!(only(&mut clerk, "used=yes").await, page);
    // The guest sees what became of it.
    assert!(place.guest("GET", &there, &[]).await.body.contains("排队"));
    place.platform.broker_says(&serial, &Said::Issued).await;
    let page = place.guest("GET", &there, &[]).await;
    assert!(page.body.contains("开票成功") && page.body.contains("href=\"/i/"), "{}", page.body);
}

#[tokio::test]
async fn a_clerk_whose_time_is_over_takes_it_again_and_no_invoice_was_asked_for() {
    let place = Place::start().await;
    let (_, at) = hung_up(&place).await;
    reserved(&place, &at, &guest_fields("张三丰", "13800000001", "808")).await;
    let mut clerk = place.signed_in("shop", "carl", CLERK).await;
    let page = only(&mut clerk, "org=A").await;
    clerk.get(&page).await;
    clerk.post(&format!("{page}/take"), &[]).await;
    let org = format!("{SELLER}/A");
    place.platform.pass(9 * 60);
    let check = clerk.post(&page, &draft_fields(&org, "张三丰")).await;
    assert_eq!(check.status, 200, "{}", check.body);
    place.platform.pass(9 * 60);
    assert!(clerk.get(&page).await.body.contains("XMMC.0"), "working on it prolonged it");
    place.platform.pass(2 * 60);
    let late = press(&mut clerk, &page, &hidden(&check, "make")).await;
    assert!(late.status == 409 && late.body.contains("本次未开票"), "{}", late.body);
    assert!(requests(&place).await.is_empty());
    let mut other = place.signed_in("shop", "olga", CLERK).await;
    other.get(&page).await;
    assert_eq!(other.post(&format!("{page}/take"), &[]).await.status, 303, "it ended by itself");
    assert_eq!(other.post(&format!("{page}/release"), &[]).await.status, 303);
    clerk.get(&page).await;
    clerk.post(&format!("{page}/take"), &[]).await;
    let done = press(&mut clerk, &page, &hidden(&check, "make")).await;
    assert!(done.location.ends_with("?done=asked"), "{}", done.body);
}

#[tokio::test]
async fn every_way_to_price_an_item_is_on_the_guest_s_form() {
    let place = Place::start().await;
    let (mut admin, _) = hung_up(&place).await;
    let page = admin.get("/console/goods").await;
    let ids: Vec<&str> = page.body.split("name=\"id\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let at = admin.get("/console/organisations/A/codes/new").await.location;
    admin.get(&at).await;
    let items = ["item.0", "item.1", "item.2", "item.3"].map(|name| (name, ids[0]));
    let by = [("by.0", "fixed"), ("gross.0", "12.34"), ("by.1", "amount"), ("by.2", "quantity"), ("by.3", "clerk")];
    let mut fields = vec![("name", "大堂"), ("limit", "500"), ("step", "save")];
    fields.extend(items.iter().chain(&by));
    let page = admin.post(&at, &fields).await;
    assert_eq!(page.status, 303, "{}", page.body);
    let form = place.guest("GET", &public(&at), &[]).await.location;
    let page = place.guest("GET", &form, &[]).await;
    let asked = |index: usize| ["quantity", "money"].map(|what| page.body.contains(&format!("name=\"{what}.{index}\"")));
    assert_eq!([0, 1, 2, 3].map(asked), [[false, false], [false, true], [true, true], [false, false]]);
    assert!(page.body.contains("¥12.34"));
    let buyer = [("kind", "person"), ("GMF_MC", "张三"), ("phone", "13800000001")];
    let sent: Vec<(&str, &str)> =
        buyer.into_iter().chain([("money.1", "100"), ("quantity.2", "3"), ("money.2", "33.335")]).collect();
    let page = confirmed(&place, &form, &sent).await;
    assert_eq!(page.location, form, "{}", page.body);
    let page = place.guest("GET", &form, &[]).await;
    for amount in ["¥12.34", "¥100.00", "¥100.01", "由店员填写"] {
        assert!(page.body.contains(amount), "{amount}: {}", page.body);
    }
    assert!(!page.body.contains("预约序号"), "this code shows no number");
}

#[tokio::test]
async fn a_code_on_the_wall_is_of_its_tenant_and_organisation_alone() {
    let place = Place::start().await;
    let (mut admin, at) = hung_up(&place).await;
    // Another tenant with an organisation of the same name, and another organisation of the same tenant.
    let portal = &place.platform.portal;
    let other = json!({ "id": "other", "name": "别家", "sellers": [
        { "taxpayer_number": "91310000MA00000025", "name": "别家商贸有限公司", "points": [{ "orgcode": "A", "clerk": "王五" }] }] });
    portal.set_directory(portal.directory().with_tenant(serde_json::from_value(other).unwrap()).unwrap());
    let mut stranger = place.signed_in("other", "boss", &["viewer", "clerk", "manager", "admin"]).await;
    stranger.get("/console/organisations/A/codes").await;
    let token = at.rsplit('/').next().unwrap();
    let elsewhere = format!("/console/organisations/B/codes/{token}");
    let save = [("name", "改名"), ("limit", "1"), ("step", "save")];
    for (browser, at) in [(&mut stranger, &at), (&mut admin, &elsewhere)] {
        for file in ["", "/qr.svg", "/qr.png"] {
            assert_eq!(browser.get(&format!("{at}{file}")).await.status, 404, "{at}{file}");
        }
        assert_eq!(browser.post(at, &save).await.status, 404);
        assert_eq!(browser.post(&format!("{at}/disable"), &[("confirm", "yes")]).await.status, 404);
    }
    let page = admin.get(&at).await;
    assert!(page.body.contains("value=\"前台\"") && page.body.contains("qr.svg"), "it is as it was: {}", page.body);
    // Addresses that are none of ours, and organisations that are not there.
    let fresh = "AAAAAAAAAAAAAAAAAAAAAA";
    for (path, posts) in [
        ("/console/organisations/A/codes/short".to_owned(), true),
        (format!("/console/organisations/Z/codes/{fresh}"), true),
        (format!("/console/organisations/A/codes/{fresh}/qr.svg"), false),
    ] {
        assert_eq!(admin.get(&path).await.status, 404, "{path}");
        if posts {
            assert_eq!(admin.post(&path, &save).await.status, 404, "{path}");
        }
    }
    let unknown = format!("/console/organisations/A/codes/{fresh}/disable");
    assert_eq!(admin.post(&unknown, &[("confirm", "yes")]).await.status, 404, "nothing was disabled, and nothing says so");
}

#[tokio::test]
async fn whoever_may_not_hang_up_codes_sees_no_form_for_it_and_a_disabled_one_has_none() {
    let place = Place::start().await;
    let (mut admin, at) = hung_up(&place).await;
    let mut viewer = place.signed_in("shop", "vera", &["viewer"]).await;
    let saves = |page: &Page| page.body.contains("value=\"save\"");
    assert!(saves(&admin.get(&at).await) && !saves(&viewer.get(&at).await));
    assert!(admin.get("/console/organisations/A/codes").await.body.contains("codes/new\""));
    assert!(!viewer.get("/console/organisations/A/codes").await.body.contains("codes/new\""));
    assert_eq!(viewer.get("/console/organisations/A/codes/AAAAAAAAAAAAAAAAAAAAAA").await.status, 404, "there is no such code");
    for done in ["saved", "disabled", "is_disabled"] {
        let told = admin.get(&format!("{at}?done={done}")).await.body.contains("role=\"status\"");
        assert_eq!(told, done != "is_disabled", "{done}");
    }
    admin.post(&format!("{at}/disable"), &[("confirm", "yes")]).await;
    assert!(!saves(&admin.get(&at).await), "it is down for ever");
}

#[tokio::test]
async fn a_wall_code_has_so_many_items_and_none_that_the_file_lacks() {
    let place = Place::start().await;
    let (mut admin, _) = hung_up(&place).await;
    let page = admin.get("/console/goods").await;
    let id = page.body.split("name=\"id\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let at = admin.get("/console/organisations/A/codes/new").await.location;
    admin.get(&at).await;
    let names: Vec<String> = (0..25).map(|index| format!("item.{index}")).collect();
    let fields = |count: usize, last: &'static str| {
        let mut fields: Vec<(&str, &str)> = vec![("name", "大堂"), ("limit", "500")];
        fields.extend(names.iter().take(count).map(|name| (name.as_str(), id.as_str())));
        fields.push(if last == "add" { ("add", id.as_str()) } else { (last, "") });
        fields
    };
    let items = |page: &Page| page.body.matches("name=\"item.").count();
    assert_eq!(items(&admin.post(&at, &fields(19, "add")).await), 20);
    assert_eq!(items(&admin.post(&at, &fields(20, "add")).await), 20, "a form on a telephone shows no more");
    assert_eq!(items(&admin.post(&at, &fields(25, "x")).await), 20);
    // A button that is not there does nothing.
    let page = admin.post(&at, &[("name", "大堂"), ("item.0", &id), ("drop", "7")]).await;
    assert_eq!((page.status, items(&page)), (200, 1), "{}", page.body);
    let page = admin.post(&at, &[("name", "大堂"), ("limit", "5"), ("item.0", "gone"), ("step", "save")]).await;
    assert!(page.status == 422 && page.body.contains("商品档案中已没有该商品"), "{}", page.body);
    assert_eq!(place.guest("GET", &public(&at), &[]).await.status, 404, "it hangs nowhere");
}

#[tokio::test]
async fn what_a_reservation_shows_is_what_may_be_done_with_it() {
    let place = Place::start().await;
    let (_, at) = hung_up(&place).await;
    reserved(&place, &at, &guest_fields("张三丰", "13800000001", "808")).await;
    let mut clerk = place.signed_in("shop", "carl", CLERK).await;
    let mut viewer = place.signed_in("shop", "vera", &["viewer"]).await;
    let page = only(&mut clerk, "org=A").await;
    let takes = |page: &Page| page.body.contains("/take\"");
    assert!(takes(&clerk.get(&page).await) && !takes(&viewer.get(&page).await), "a viewer takes nothing");
    clerk.post(&format!("{page}/take"), &[]).await;
    // The organisation is the reservation's own.
    let form = clerk.get(&page).await;
    assert!(form.body.contains(&format!("value=\"{SELLER}/A\"")) && !form.body.contains("/B\""), "{}", form.body);
    assert!(viewer.get("/console/reservations").await.body.contains("由 carl 处理中"));
    place.platform.pass(10 * 60);
    let list = viewer.get("/console/reservations").await;
    assert!(
        !list.body.contains("由 carl 处理中") && list.body.contains("未使用"),
        "a hold that has ended is none: {}",
        list.body
    );
    clerk.post(&format!("{page}/take"), &[]).await;
    let org = format!("{SELLER}/A");
    let mut make = draft_fields(&org, "张三丰");
    make.pop();
    make.push(("step", "make"));
    assert!(clerk.post(&page, &make).await.location.ends_with("?done=asked"));
    assert!(!takes(&clerk.get(&page).await), "what is used is not taken");
    // Sent back, it is corrected under its serial number by whoever issues, and looked at by others.
    let serial = page.rsplit('/').next().unwrap();
    place.platform.broker_says(serial, &Said::Failed { fault: "request", code: "X", text: "单位不正确" }).await;
    let mut boss = place.signed_in("shop", "anna", &["manager"]).await;
    boss.get(&page).await;
    let returned = boss.post(&format!("/console/invoices/{serial}/return"), &[("confirm", "yes")]).await;
    assert!(returned.location.ends_with("done=returned"), "{}", returned.body);
    assert!(clerk.get(&page).await.body.contains("name=\"XMMC.0\""));
    let seen = viewer.get(&page).await;
    assert!(seen.status == 200 && !seen.body.contains("name=\"XMMC.0\""), "{}", seen.body);
}

#[tokio::test]
async fn a_search_and_a_draft_have_their_bounds() {
    let place = Place::start().await;
    let mut clerk = place.signed_in("shop", "carl", CLERK).await;
    clerk.get("/console/goods").await;
    let row = |index: usize| format!("茶{index:02},0.06,3070401000000000000\r\n");
    let goods = "商品名称,税率,税收分类编码\r\n".to_owned() + &(0..30).map(row).collect::<String>();
    assert_eq!(clerk.upload("/console/goods/import", &[("step", "import")], goods.as_bytes()).await.status, 303);
    let customers = "类型,购方名称\r\n".to_owned() + &(0..30).map(|index| format!("个人,李{index:02}\r\n")).collect::<String>();
    assert_eq!(clerk.upload("/console/customers/import", &[("step", "import")], customers.as_bytes()).await.status, 303);
    let at = clerk.get("/console/issue").await.location;
    let found = clerk.post(&at, &[("goods_word", "茶"), ("step", "find")]).await;
    assert_eq!(found.body.matches("name=\"add\"").count(), 20);
    let id = found.body.split_once("name=\"add\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let found = clerk.post(&at, &[("customer_word", "李"), ("step", "find_customer")]).await;
    assert_eq!(found.body.matches("name=\"customer\"").count(), 20);
    let names: Vec<String> = (0..100).map(|index| format!("XMMC.{index}")).collect();
    let full: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "茶")).collect();
    for more in [("add", id.as_str()), ("step", "blank"), ("drop", "100"), ("drop", "-1")] {
        let page = clerk.post(&at, &[full.as_slice(), &[more]].concat()).await;
        assert_eq!((page.status, page.body.matches("name=\"XMMC.").count()), (200, 100), "{more:?}");
    }
    for path in ["/console/issue/short", "/console/issue/AAAAAAAAAAAAAAAAAAAAA%2F"] {
        assert_eq!(clerk.get(path).await.status, 404, "{path}");
        assert_eq!(clerk.post(path, &[("step", "edit")]).await.status, 404, "{path}");
    }
}

/// The serial number of the only reservation that a panel offers.
fn offered(page: &Page) -> String {
    let offers: Vec<&str> = page.body.split("name=\"attach\" value=\"").skip(1).collect();
    assert_eq!(offers.len(), 1, "{}", page.body);
    offers[0].split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_reservation_is_attached_to_the_draft_that_is_open_and_no_line_is_lost() {
    let place = Place::start().await;
    let (_, at) = hung_up(&place).await;
    let there = reserved(&place, &at, &guest_fields("张三丰", "13800000001", "808")).await;
    reserved(&place, &at, &guest_fields("李四", "13900000002", "909")).await;
    let mut clerk = place.signed_in("shop", "carl", CLERK).await;
    let draft = clerk.get("/console/issue").await.location;
    let shown = clerk.get(&draft).await;
    let serial = shown.body.split_once("流水号: <strong>").unwrap().1.split('<').next().unwrap().to_owned();
    assert!(shown.body.contains("开票信息") && !shown.body.contains("张三丰"), "listed when it is asked for");
    let org = format!("{SELLER}/A");
    let written = |more: &[(&'static str, &str)]| {
        let line = [("org", org.as_str()), ("FPLX", "1"), ("BZ", "店员的备注"), ("XMMC.0", "*餐饮服务*洗衣"), ("DW.0", "件")];
        let rest = [("SL.0", "0.06"), ("SPBM.0", "3070401000000000000"), ("XMJSHJ.0", "12.00")];
        let all = line.iter().chain(&rest).chain(more);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    let all = press(&mut clerk, &draft, &written(&[("step", "find_reservation")])).await;
    for text in ["张三丰", "李四", "13800000001", "房号 808", "¥918.00", "value=\"*餐饮服务*洗衣\""] {
        assert!(all.body.contains(text), "{text}: {}", all.body);
    }
    let elsewhere = written(&[("step", "find_reservation"), ("org", "other/B")]);
    assert!(!press(&mut clerk, &draft, &elsewhere[1..]).await.body.contains("张三丰"), "of the chosen organisation alone");
    let found = press(&mut clerk, &draft, &written(&[("step", "find_reservation"), ("reservation_word", "13800000001")])).await;
    let reservation = offered(&found);
    let form = press(&mut clerk, &draft, &written(&[("attach", &reservation)])).await;
    for value in ["*餐饮服务*洗衣", "12.00", "*住宿服务*房费", "888.00", "30.00", "张三丰", "13800000001", "店员的备注"]
    {
        assert!(form.body.contains(&format!("value=\"{value}\"")), "{value}: {}", form.body);
    }
    assert!(
        form.body.contains(&serial) && form.body.contains("808"),
        "the draft's own serial number, and what the guest answered"
    );
    // A second clerk sees who has it and cannot attach it.
    let mut other = place.signed_in("shop", "olga", CLERK).await;
    let second = other.get("/console/issue").await.location;
    other.get(&second).await;
    let seen = press(&mut other, &second, &written(&[("step", "find_reservation")])).await;
    assert!(seen.body.contains("由 carl 处理中") && !offered(&seen).contains(&reservation), "{}", seen.body);
    let refused = press(&mut other, &second, &written(&[("attach", &reservation)])).await;
    assert!(refused.status == 422 && refused.body.contains("carl") && refused.body.contains("洗衣"), "{}", refused.body);
    // Checked and issued, twice at once: one invoice, under the draft's serial number.
    let lines = [("type", "个人"), ("GMF_MC", "张三丰"), ("reservation", reservation.as_str()), ("step", "check")];
    let check = press(&mut clerk, &draft, &written(&lines)).await;
    assert!(check.status == 200 && check.body.contains("12.00"), "{}", check.body);
    let fields = hidden(&check, "make");
    let (mut one, mut two) = (clerk.tab(), clerk.tab());
    let (first, second_time) = tokio::join!(press(&mut one, &draft, &fields), press(&mut two, &draft, &fields));
    let mut done = [first.location, second_time.location];
    done.sort_unstable();
    assert_eq!(done, ["asked", "known"].map(|what| format!("/console/invoices/{serial}?done={what}")));
    assert_eq!(requests(&place).await.len(), 1);
    // Whoever has it open still makes no second one of it, and its pages lead to the invoice.
    let late = press(&mut other, &second, &written(&[lines[0], lines[1], lines[2], ("step", "make")])).await;
    assert!(late.status == 409 && late.body.contains("已用于另一张发票"), "{}", late.body);
    let desk = clerk.get(&format!("/console/reservations/{reservation}")).await;
    assert!(desk.body.contains(&format!("/console/invoices/{serial}")) && desk.body.contains("已使用"), "{}", desk.body);
    place.platform.broker_says(&serial, &Said::Issued).await;
    assert!(place.guest("GET", &there, &[]).await.body.contains("开票成功"));
    assert_eq!(requests(&place).await.len(), 1);
}

#[tokio::test]
async fn a_reservation_is_taken_off_a_draft_for_others() {
    let place = Place::start().await;
    let (_, at) = hung_up(&place).await;
    reserved(&place, &at, &guest_fields("张三丰", "13800000001", "808")).await;
    let mut clerk = place.signed_in("shop", "carl", CLERK).await;
    let draft = clerk.get("/console/issue").await.location;
    clerk.get(&draft).await;
    let org = format!("{SELLER}/A");
    let reservation = offered(&clerk.post(&draft, &[("org", &org), ("step", "find_reservation")]).await);
    clerk.post(&draft, &[("org", &org), ("attach", &reservation)]).await;
    let off = clerk.post(&draft, &[("org", &org), ("XMMC.0", "留下的行"), ("detach", "x"), ("reservation", &reservation)]).await;
    assert!(off.body.contains("name=\"reservation\" value=\"\"") && off.body.contains("留下的行"), "{}", off.body);
    let mut other = place.signed_in("shop", "olga", CLERK).await;
    let second = other.get("/console/issue").await.location;
    other.get(&second).await;
    let taken = other.post(&second, &[("org", &org), ("attach", &reservation)]).await;
    assert!(taken.status == 200 && taken.body.contains("张三丰"), "{}", taken.body);
    // Carl's tab of before has it no longer: he is told, and his lines stay.
    let stale = [("org", org.as_str()), ("XMMC.0", "留下的行"), ("reservation", &reservation), ("step", "check")];
    let told = clerk.post(&draft, &stale).await;
    assert!(told.status == 422 && told.body.contains("olga") && told.body.contains("留下的行"), "{}", told.body);
    let nobodys = clerk.post(&draft, &[("org", &org), ("attach", "NOBODYS")]).await;
    assert!(nobodys.status == 422 && nobodys.body.contains("没有这条预约"), "{}", nobodys.body);
}

#[tokio::test]
async fn a_guest_confirms_what_he_reserves_and_nothing_is_stored_before() {
    let place = Place::start().await;
    let (mut admin, at) = hung_up(&place).await;
    let there = place.guest("GET", &public(&at), &[]).await.location;
    let fields = guest_fields("张三丰", "13800000001", "808");
    let last = last_step(&place, &there, &fields).await;
    let check = place.guest("POST", &there, &[fields.as_slice(), &[("step", "check")]].concat()).await;
    for shown in ["请核对后提交申请", "张三丰", "13800000001", "¥888.00", "¥30.00", "房号", "808", "示例商贸有限公司", "提交申请"]
    {
        assert!(check.body.contains(shown), "{shown}: {}", check.body);
    }
    let changed = place.guest("POST", &there, &[fields.as_slice(), &[("step", "change")]].concat()).await;
    for kept in ["张三丰", "888.00", "808"] {
        assert!(changed.status == 200 && changed.body.contains(&format!("value=\"{kept}\"")), "{kept}: {}", changed.body);
    }
    assert!(place.guest("GET", &there, &[]).await.body.contains("name=\"GMF_MC\""), "nothing is reserved yet");
    // The merchant changes what he offers: who has confirmed the old one looks again.
    admin.get(&at).await;
    let ids: Vec<String> = {
        let page = admin.get(&at).await;
        (0..2)
            .map(|index| {
                page.body.split(&format!("name=\"item.{index}\" value=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
            })
            .collect()
    };
    let dearer = [
        ("name", "前台"),
        ("limit", "2000"),
        ("item.0", ids[0].as_str()),
        ("by.0", "amount"),
        ("item.1", ids[1].as_str()),
        ("by.1", "fixed"),
        ("gross.1", "40.00"),
        ("field.0", "房号"),
        ("step", "save"),
    ];
    assert_eq!(admin.post(&at, &dearer).await.status, 303);
    let last: Vec<(&str, &str)> = last.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let page = place.guest("POST", &there, &last).await;
    assert!(page.status == 409 && page.body.contains("请重新核对") && page.body.contains("¥40.00"), "{}", page.body);
    let page = place.guest("POST", &there, &[fields.as_slice(), &[("step", "issue"), ("terms", "")]].concat()).await;
    assert_eq!(page.status, 409, "whoever leaves the step out reserves nothing");
    assert_eq!(confirmed(&place, &there, &fields).await.location, there);
    assert!(place.guest("GET", &there, &[]).await.body.contains("预约已提交"));
}

#[tokio::test]
async fn a_guest_s_open_page_hears_of_his_invoice() {
    let place = Place::start().await;
    let (mut clerk, at) = hung_up(&place).await;
    let there = reserved(&place, &at, &guest_fields("张三丰", "13800000001", "808")).await;
    let page = place.guest("GET", &there, &[]).await;
    assert!(page.body.contains(&format!("data-live=\"{there}\" data-state=\"reserved\"")), "{}", page.body);
    assert_eq!(place.guest("GET", &format!("{there}/state"), &[]).await.body, "reserved");
    let stream = place.open(&format!("{there}/events")).await;
    let at_desk = only(&mut clerk, "org=A").await;
    clerk.get(&at_desk).await;
    clerk.post(&format!("{at_desk}/take"), &[]).await;
    let org = format!("{SELLER}/A");
    let mut make = draft_fields(&org, "张三丰");
    make.pop();
    make.push(("step", "make"));
    let made = clerk.post(&at_desk, &make).await;
    assert!(made.location.ends_with("?done=asked"), "{}", made.body);
    place.platform.broker_says(at_desk.rsplit('/').next().unwrap(), &Said::Issued).await;
    let told = Place::read(stream).await.body;
    let told: Vec<&str> = told.split("event: state\ndata: ").map(str::trim).skip(1).collect();
    assert_eq!((told.first(), told.last()), (Some(&"reserved"), Some(&"issued")), "it ends with the invoice");
    let page = place.guest("GET", &there, &[]).await;
    assert!(!page.body.contains("data-live") && page.body.contains("/i/"), "{}", page.body);
    let nobodys = there.replace(&there[there.len() - 4..], "AAAA");
    for part in ["state", "events", "card?part=1"] {
        assert_eq!(place.guest("GET", &format!("{nobodys}/{part}"), &[]).await.status, 404, "{part}");
    }
}
