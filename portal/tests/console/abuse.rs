//! What somebody sends who wants to be run, to act in another's name, or to be quicker than a page: every field of every form,
//! every POST of the table of routes, and one form a hundred times at once.

use std::collections::BTreeSet;
use std::path::Path;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;
use taxdisk_portal::console::roles::{Action, ROUTES};
use taxdisk_portal::core::request::Phase;
use taxdisk_web::signin::csrf;
use tokio::task::JoinSet;

use crate::browser::{Browser, Page, Place};
use crate::issue::requests;
use crate::platform::{SELLER, blue, form};
use crate::rights::Things;
use crate::{codes, reservations};

const EVERYBODY: &[&str] = &["viewer", "clerk", "manager", "admin"];
/// Words that want to be run. A disk can print each of them, so that they get as far as words can.
const PAYLOADS: [&str; 3] = ["<script>x7()</script>", "\"><img src=x7 onerror=x7()>", "javascript:x7()"];
/// What ends the walk.
const APART: &str = "/console/sign-out";
/// Routes that hash a password take their time: once each is enough.
const SLOW: [&str; 3] = ["/console/sign-in", "/console/password/{token}", "/console/account"];

/// Everything that a form can be asked by: names of fields in these templates, names of fields and of queries that these handlers
/// read.
fn names(folders: [&str; 2]) -> BTreeSet<String> {
    fn files(folder: &Path, all: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                files(&entry.path(), all);
            } else {
                all.push(std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for folder in folders {
        files(&root.join(folder), &mut texts);
    }
    let mut names = BTreeSet::new();
    for before in [" name=\"", "get(\"", "field(\"", "text(\""] {
        for after in texts.iter().flat_map(|text| text.split(before).skip(1)) {
            let name = after.split('"').next().unwrap();
            // A number stands where a template counts.
            let name = name.split("{{").enumerate().map(|(place, part)| match (place, part.split_once("}}")) {
                (0, _) => part.to_owned(),
                (_, Some((_, rest))) => format!("0{rest}"),
                _ => String::new(),
            });
            let name: String = name.collect();
            if !name.is_empty() && name.len() < 40 && name.is_ascii() && !name.contains([' ', '/', '<', ':', '{']) {
                names.insert(name);
            }
        }
    }
    // What says which button was pressed is said by the walk.
    names.retain(|name| !["csrf", "step", "add", "drop", "customer", "lang", "confirm"].contains(&name.as_str()));
    names
}

/// Nothing of a payload stands in the page as anything but text.
fn harmless(page: &Page, what: &str) {
    if !page.kind.starts_with("text/html") && !page.kind.starts_with("image/svg") {
        return;
    }
    let body = page.body.to_lowercase();
    for raw in ["<script>x7", "<img src=x7", "href=\"javascript:", "src=\"javascript:", "action=\"javascript:", "url=javascript:"]
    {
        assert!(!body.contains(raw), "{what}: {raw} in {}", page.body);
    }
    // And if it did, the browser would not run it.
    assert!(page.policy.contains("default-src 'none'") && !page.policy.contains("unsafe"), "{what}: {}", page.policy);
}

/// How often a payload stands in a page, as text.
fn told(page: &Page) -> usize {
    page.body.matches("&#60;script&#62;x7()").count() + page.body.matches("&#34;&#62;&#60;img src=x7").count()
}

async fn follow(browser: &mut Browser<'_>, page: Page, what: &str) -> usize {
    harmless(&page, what);
    let mut seen = told(&page);
    if page.location.starts_with("/console") {
        let next = browser.get(&page.location).await;
        harmless(&next, what);
        seen += told(&next);
    }
    seen
}

#[tokio::test]
async fn what_is_written_into_any_field_of_the_console_is_text() {
    let place = Place::start().await;
    place.platform.issued(&blue("S-1")).await;
    let things = Things::of(&place).await;
    let names = names(["templates/console", "src/console"]);
    assert!(names.len() > 80 && names.contains("GMF_MC") && names.contains("XMMC.0") && names.contains("word"), "{names:?}");
    let mut browser = place.signed_in("shop", "eve", EVERYBODY).await;
    let mut seen = 0;
    for (method, route, _) in ROUTES.iter().filter(|(_, route, _)| *route != APART) {
        let path = things.path(route);
        for (turn, payload) in PAYLOADS.into_iter().enumerate() {
            if turn > 0 && SLOW.contains(route) {
                continue;
            }
            let mut fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), payload)).collect();
            fields.push(("confirm", "yes"));
            if *method == Method::GET {
                let page = browser.get(&format!("{path}?{}", form(&fields))).await;
                assert!(page.status < 500, "{route}: {}", page.status);
                seen += follow(&mut browser, page, route).await;
                continue;
            }
            let steps: &[&str] =
                if SLOW.contains(route) { &[""] } else { &["", "check", "make", "save", "find", "find_customer"] };
            for step in steps {
                fields.push(("step", step));
                let what = format!("{route} {step} {payload}");
                let page = browser.post(&path, &fields).await;
                assert!(page.status < 500, "{what}: {}", page.status);
                seen += follow(&mut browser, page, &what).await;
                fields.pop();
            }
        }
    }
    assert!(seen > 500, "what was written comes back as text, wherever it comes back: {seen}");
    let file = format!("商品名称,税率,税收分类编码\r\n{0},{0},{0}\r\n", PAYLOADS[0]);
    for path in ["/console/goods", "/console/customers"] {
        let page = browser.upload(&format!("{path}/import"), &[("step", "import")], file.as_bytes()).await;
        assert_eq!(page.status, 422);
        harmless(&page, path);
    }
    for path in ["/console/invoices/", "/console/codes/", "/console/tasks/", "/console/"] {
        let page = browser.get(&format!("{path}%22%3E%3Cimg%20src=x7%20onerror=x7()%3E")).await;
        assert_eq!(page.status, 404);
        harmless(&page, path);
    }
}

#[tokio::test]
async fn what_is_kept_is_text_wherever_it_is_shown() {
    let place = Place::start().await;
    place.platform.issued(&blue("S-1")).await;
    let things = Things::of(&place).await;
    let mut browser = place.signed_in("shop", "eve", EVERYBODY).await;
    browser.get("/console/account").await;
    let payload = PAYLOADS[0];
    let org = format!("{SELLER}/A");
    let goods = [("c0", payload), ("c1", payload), ("c2", "<b>x7</b>"), ("c4", "0.06"), ("c5", "3070402000000000000")];
    let customer = [("c0", "个人"), ("c1", payload), ("c3", payload), ("c4", payload)];
    let line =
        [("XMMC.0", payload), ("GGXH.0", payload), ("XMJSHJ.0", "1.00"), ("SL.0", "0.06"), ("SPBM.0", "3070402000000000000")];
    let buyer = [("type", "个人"), ("GMF_MC", payload), ("GMF_DZDH", payload), ("GMF_YHZH", payload), ("BZ", payload)];
    let draft: Vec<_> = [("org", org.as_str()), ("FPLX", "1"), ("step", "make")].into_iter().chain(line).chain(buyer).collect();
    let wall =
        [("name", payload), ("limit", "10"), ("BZ", payload), ("field.0", payload), ("required.0", "yes"), ("step", "save")];
    let hung = browser.get("/console/organisations/A/codes/new").await.location;
    let code = browser.get("/console/codes/new").await.location;
    let issue = browser.get("/console/issue").await.location;
    let task = things.path("/console/tasks/{id}");
    let user = [("name", payload), ("login", "xavier"), ("role", "viewer")];
    for (path, fields) in [
        ("/console/goods", goods.as_slice()),
        ("/console/customers", &customer),
        (issue.as_str(), &draft),
        (code.as_str(), &draft[..8]),
        (hung.as_str(), &wall),
        ("/console/settings/users", &user),
        (&format!("{task}/take"), &[]),
        (&format!("{task}/end"), &[("answer", payload), ("how", "refused")]),
    ] {
        let page = browser.post(path, fields).await;
        assert!(page.status == 303 || path.ends_with("/users"), "{path}: {} {}", page.status, page.body);
        follow(&mut browser, page, path).await;
    }
    let receipt = things.path("/console/codes/{code}/receipt");
    assert_eq!(browser.post(&receipt, &[("heading", payload), ("footer", payload), ("lines", "yes")]).await.status, 303);
    // A guest writes too.
    let guest = [("kind", "person"), ("GMF_MC", payload), ("GMF_DZDH", payload), ("phone", "13800000000"), ("answer.0", payload)];
    let there = reservations::reserved(&place, &hung, &guest).await;
    let kept = place.guest("GET", &there, &[]).await;
    harmless(&kept, "a reservation");
    let kept = reservations::only(&mut browser, "word=%3Cscript").await;
    // Where it is shown, as text.
    for path in [
        "/console/goods",
        "/console/customers",
        "/console/invoices",
        "/console/organisations/A/codes",
        &hung,
        "/console/reservations?word=%3Cscript",
        &kept,
        "/console/settings/users",
        "/console/tasks?state=refused",
        &task,
        &receipt,
    ] {
        let page = browser.get(path).await;
        assert!(page.status == 200 && told(&page) > 0, "{path}: {} {}", page.status, page.body);
        harmless(&page, path);
    }
    let page = place.guest("GET", &place.guest("GET", &reservations::public(&hung), &[]).await.location, &[]).await;
    assert!(told(&page) > 0, "{}", page.body);
    harmless(&page, "the guest's form");
}

#[tokio::test]
async fn what_strangers_write_is_text() {
    let place = Place::start().await;
    let names = names(["templates/pages", "src/pages"]);
    assert!(names.len() > 15 && names.contains("GMF_MC") && names.contains("scan"), "{names:?}");
    let (mut clerk, wall) = reservations::hung_up(&place).await;
    let (url, _) = codes::made(&mut clerk).await;
    let code = codes::link(&mut clerk, &url).await;
    let reservation = place.guest("GET", &reservations::public(&wall), &[]).await.location;
    let mut seen = 0;
    for payload in PAYLOADS {
        for (path, steps) in [
            (code.as_str(), ["check", "issue", "change"].as_slice()),
            (&reservation, &["check", "issue", "change"]),
            ("/find", &[""]),
            ("/kiosk", &[""]),
            ("/qrcode-connector", &["check"]),
        ] {
            let mut fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), payload)).collect();
            let page = place.guest("GET", &format!("{path}?{}", form(&fields)), &[]).await;
            harmless(&page, path);
            for step in steps {
                fields.extend([("step", *step), ("kind", "person")]);
                let page = place.guest("POST", path, &fields).await;
                assert!(page.status < 500, "{path}: {}", page.status);
                harmless(&page, path);
                seen += told(&page);
                fields.truncate(fields.len() - 2);
            }
        }
        let page = place.guest("GET", &format!("/q/{}", form(&[("", payload)])), &[]).await;
        harmless(&page, "an address");
    }
    assert!(seen > 20, "{seen}");
    assert!(requests(&place).await.iter().all(|request| request.phase == Phase::Buyer), "nothing was asked for");
}

#[tokio::test]
async fn no_post_of_another_site_does_anything() {
    let place = Place::start().await;
    place.platform.issued(&blue("S-1")).await;
    let things = Things::of(&place).await;
    let browser = place.signed_in("shop", "eve", EVERYBODY).await;
    let good = csrf::token(browser.cookie.split_once('=').unwrap().1);
    let before = (place.platform.portal.directory(), requests(&place).await);
    let mut posts = 0;
    for (_, route, action) in ROUTES.iter().filter(|(method, _, _)| *method == Method::POST) {
        let path = things.path(route);
        let send = |site: &'static str, origin: &'static str, csrf: &str, multipart: bool| {
            let request = Request::post(&path).header("host", "fp.example").header("cookie", &browser.cookie);
            let request = request.header("sec-fetch-site", site).header("origin", origin);
            let fields = [("csrf", csrf), ("confirm", "yes"), ("step", "make"), ("address", "a@b.example"), ("role", "viewer")];
            if !multipart {
                return place.send(request.body(Body::from(form(&fields))).unwrap());
            }
            let part = |(name, value): &(&str, &str)| {
                format!("--limit\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            };
            let body = fields.iter().map(part).collect::<String>() + "--limit--\r\n";
            place.send(request.header("content-type", "multipart/form-data; boundary=limit").body(Body::from(body)).unwrap())
        };
        for multipart in [false, true] {
            let mut forged = vec![
                ("cross-site", "https://evil.example", good.clone()),
                ("same-site", "https://evil.fp.example", good.clone()),
                ("none", "null", good.clone()),
            ];
            if *action != Action::Enter {
                forged.extend([
                    ("same-origin", "https://fp.example", String::new()),
                    ("same-origin", "https://fp.example", csrf::token("another session")),
                ]);
            }
            for (site, origin, csrf) in forged {
                let page = send(site, origin, &csrf, multipart).await;
                assert_eq!(page.status, 403, "{route} from {origin} ({site}): {}", page.body);
                posts += 1;
            }
        }
    }
    assert!(posts > 300, "{posts}");
    let after = (place.platform.portal.directory(), requests(&place).await);
    assert_eq!(format!("{:?}", before.1), format!("{:?}", after.1), "no request was made or changed");
    assert_eq!(before.0.user_by_login("shop", "dora"), after.0.user_by_login("shop", "dora"));
    let page = browser.tab().get("/console/account").await;
    assert_eq!(page.status, 200, "nobody was signed out");
}

/// As many as come at once.
const AT_ONCE: usize = 100;

/// Sends one form from so many tabs at once; where each was led, or its status.
async fn storm(browser: &Browser<'_>, at: &str, fields: &[(&str, &str)]) -> BTreeSet<String> {
    let sends = (0..AT_ONCE).map(|_| {
        let mut tab = browser.tab();
        async move {
            let page = tab.post(at, fields).await;
            if page.status == 303 { page.location } else { format!("{} {}", page.status, page.body) }
        }
    });
    futures_util::future::join_all(sends).await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_submissions_of_a_code_s_form_are_one_code_and_one_invoice() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", &["clerk"]).await;
    let at = browser.get("/console/codes/new").await.location;
    browser.get(&at).await;
    let org = format!("{SELLER}/A");
    let led = storm(&browser, &at, &codes::draft(&org, &[("step", "make")])).await;
    assert_eq!(led.len(), 1, "{led:?}");
    let url = led.first().unwrap().strip_suffix("?done=made").unwrap().to_owned();
    let path = codes::link(&mut browser, &url).await;
    // A hundred telephones, each with its own buyer, all at the step of confirming.
    let page = place.guest("POST", &path, &[("kind", "person"), ("GMF_MC", "张三"), ("step", "check")]).await;
    let terms = page.body.split_once("name=\"terms\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let mut guests = JoinSet::new();
    for number in 0..AT_ONCE {
        let (path, terms, portal) = (path.clone(), terms.clone(), place.platform.portal.clone());
        guests.spawn(async move {
            let name = format!("张{number}");
            let body = form(&[("kind", "person"), ("GMF_MC", &name), ("step", "issue"), ("terms", &terms)]);
            let request = Request::post(&path).header("accept", "text/html").body(Body::from(body)).unwrap();
            taxdisk_portal::pages::answer(portal, request).await.status().as_u16()
        });
    }
    let answers = guests.join_all().await;
    assert!(answers.iter().all(|status| *status == 303), "everybody is led to what became of it: {answers:?}");
    let all = requests(&place).await;
    assert_eq!((all.len(), all[0].phase), (1, Phase::Forwarding), "one code, one invoice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_submissions_of_a_draft_are_one_invoice() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", &["clerk"]).await;
    let at = browser.get("/console/issue").await.location;
    browser.get(&at).await;
    let org = format!("{SELLER}/A");
    let fields = codes::draft(&org, &[("type", "个人"), ("GMF_MC", "张三"), ("step", "make")]);
    let led = storm(&browser, &at, &fields).await;
    let serial = led.first().unwrap().split('?').next().unwrap().to_owned();
    assert_eq!(led, BTreeSet::from([format!("{serial}?done=asked"), format!("{serial}?done=known")]));
    assert_eq!(requests(&place).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_submissions_of_a_reservation_are_one_reservation_and_one_invoice() {
    let place = Place::start().await;
    let (mut clerk, wall) = reservations::hung_up(&place).await;
    let there = place.guest("GET", &reservations::public(&wall), &[]).await.location;
    let fields = reservations::last_step(&place, &there, &reservations::guest_fields("张三", "13800000001", "808")).await;
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let sends = (0..AT_ONCE).map(|_| place.guest("POST", &there, &fields));
    let answers: Vec<u16> = futures_util::future::join_all(sends).await.iter().map(|page| page.status).collect();
    assert!(answers.contains(&303) && answers.iter().all(|status| [303, 429].contains(status)), "{answers:?}");
    // One is listed, and a hundred clicks of the clerk's last button are one invoice.
    let page = reservations::only(&mut clerk, "org=A").await;
    clerk.get(&page).await;
    clerk.post(&format!("{page}/take"), &[]).await;
    let org = format!("{SELLER}/A");
    let mut draft = reservations::draft_fields(&org, "张三");
    draft.pop();
    draft.push(("step", "make"));
    let led = storm(&clerk, &page, &draft).await;
    let serial = page.rsplit('/').next().unwrap();
    let invoice = format!("/console/invoices/{serial}");
    assert_eq!(led, BTreeSet::from([format!("{invoice}?done=asked"), format!("{invoice}?done=known")]));
    assert_eq!(requests(&place).await.len(), 1, "{}", json!({ "serial": serial }));
}
