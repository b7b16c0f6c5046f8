//! A portal with people, and a browser that keeps cookies.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use serde_json::json;
use taxdisk_portal::application::{Algorithm, System, User};
use taxdisk_portal::console;
use taxdisk_portal::console::accounts::PortalAccounts;
use taxdisk_portal::core::task::Task;
use taxdisk_portal::pages;
use tower::ServiceExt as _;

use crate::platform::{NOW_S, Platform, form};

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A portal and its console.
pub(crate) struct Place {
    pub(crate) platform: Platform,
    pub(crate) router: Router,
}

/// What a browser got.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) cookies: Vec<String>,
    pub(crate) policy: String,
    pub(crate) kind: String,
    pub(crate) disposition: String,
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
}

/// A browser: one address, cookies, and pages of `fp.example`.
pub(crate) struct Browser<'a> {
    place: &'a Place,
    pub(crate) cookie: String,
    csrf: String,
}

impl Place {
    pub(crate) async fn start() -> Place {
        Place::of(Platform::start().await)
    }

    /// The console of this portal.
    pub(crate) fn of(platform: Platform) -> Place {
        let other = json!({ "id": "other", "name": "别家", "sellers": [] });
        let directory = platform.portal.directory().with_tenant(serde_json::from_value(other).unwrap()).unwrap();
        platform.portal.set_directory(directory);
        let router = console::router(platform.portal.clone());
        Place { platform, router }
    }

    /// A user of a tenant; the link by which he sets his password.
    pub(crate) async fn invite(&self, tenant: &str, login: &str, roles: &[&str]) -> String {
        let user = json!({ "id": format!("us_{tenant}_{login}"), "tenant": tenant, "name": login,
            "key_hash": "", "login": login, "roles": roles });
        let user: User = serde_json::from_value(user).unwrap();
        let portal = &self.platform.portal;
        portal.set_directory(portal.directory().with_user(user).unwrap());
        PortalAccounts(portal.clone()).invite(&format!("{tenant}/{login}")).await.unwrap()
    }

    /// A user who has his password.
    pub(crate) async fn user(&self, tenant: &str, login: &str, roles: &[&str]) {
        let token = self.invite(tenant, login, roles).await;
        let path = format!("/console/password/{token}");
        let page = self.browser().post(&path, &[("new", PASSWORD), ("again", PASSWORD)]).await;
        assert_eq!((page.status, page.location.as_str()), (303, "/console/sign-in?ready=1"), "{}", page.body);
    }

    /// With a user who is signed in.
    pub(crate) async fn signed_in(&self, tenant: &str, login: &str, roles: &[&str]) -> Browser<'_> {
        self.user(tenant, login, roles).await;
        let mut browser = self.browser();
        let page = browser.sign_in(tenant, login, PASSWORD).await;
        assert_eq!(page.status, 303, "{}", page.body);
        browser
    }

    /// A syscode of `shop` with one order key.
    pub(crate) fn system(&self, syscode: &str) {
        let system = json!({ "syscode": syscode, "tenant": "shop", "query_url": "https://merchant.example/order",
            "decrypts": "platform", "keys": [] });
        let mut system: System = serde_json::from_value(system).unwrap();
        system.rotate(Algorithm::Aes256Gcm, 0, NOW_S).unwrap();
        let portal = &self.platform.portal;
        portal.set_directory(portal.directory().with_system(system).unwrap());
    }

    /// An open correction of an invoice of `shop`.
    pub(crate) async fn task(&self, id: &str, serial: &str) {
        let task = json!({ "id": id, "tenant": "shop", "serial": serial, "kind": "correction", "state": "open",
            "text": "抬头写错了 <b>", "contact": "13800000000", "created_at": NOW_S * 1000 });
        let task: Task = serde_json::from_value(task).unwrap();
        let work = self.platform.portal.ledger.run(move |session| Box::pin(async move { session.db.put_task(&task).await }));
        work.await.unwrap();
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser { place: self, cookie: String::new(), csrf: String::new() }
    }

    /// Somebody with a telephone and without an account.
    pub(crate) async fn guest(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = Request::builder().method(method).uri(path).header("accept", "text/html").header("accept-language", "zh");
        let request = request.body(Body::from(form(fields))).unwrap();
        Place::read(pages::answer(self.platform.portal.clone(), request).await).await
    }

    /// A guest's page that goes on: its head is there, its body still comes.
    pub(crate) async fn open(&self, path: &str) -> Response<Body> {
        pages::answer(self.platform.portal.clone(), Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Page {
        Place::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub(crate) async fn read(response: Response<Body>) -> Page {
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let (status, location, policy) = (response.status().as_u16(), header("location"), header("content-security-policy"));
        let cookies = response.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
        let (kind, disposition) = (header("content-type"), header("content-disposition"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        // A workbook and a picture are no text; every other answer says that it is UTF-8, and is.
        let is_text = !kind.starts_with("application/vnd.openxmlformats") && kind != "image/png";
        assert!(!is_text || std::str::from_utf8(&body).is_ok(), "{status}: text that is no UTF-8");
        let (body, bytes) = (String::from_utf8_lossy(&body).into_owned(), body.to_vec());
        Page { status, location, cookies, policy, kind, disposition, body, bytes }
    }
}

impl Browser<'_> {
    fn request(&self, method: &Method, path: &str) -> axum::http::request::Builder {
        let request = Request::builder().method(method).uri(path).header("host", "fp.example").header("cookie", &self.cookie);
        request.header("sec-fetch-site", "same-origin")
    }

    async fn sent(&mut self, request: Request<Body>) -> Page {
        let page = self.place.send(request).await;
        for cookie in &page.cookies {
            if cookie.starts_with("__Host-taxdisk=") {
                self.cookie = cookie.split(';').next().unwrap().to_owned();
            }
        }
        if let Some((_, after)) = page.body.split_once("name=\"csrf\" value=\"") {
            self.csrf = after.split('"').next().unwrap().to_owned();
        }
        page
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.sent(self.request(&Method::GET, path).body(Body::empty()).unwrap()).await
    }

    /// A form of a page of ours, with the session's token.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let csrf = self.csrf.clone();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(fields);
        let body = form(&all);
        self.sent(self.request(&Method::POST, path).body(Body::from(body)).unwrap()).await
    }

    /// A form with a file, as browsers send one.
    pub(crate) async fn upload(&mut self, path: &str, fields: &[(&str, &str)], file: &[u8]) -> Page {
        let mut body = Vec::new();
        for (name, value) in [("csrf", self.csrf.as_str())].iter().chain(fields) {
            body.extend(format!("--limit\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
        }
        body.extend(b"--limit\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\r\n");
        body.extend(file);
        body.extend(b"\r\n--limit--\r\n");
        let request = self.request(&Method::POST, path).header("content-type", "multipart/form-data; boundary=limit");
        self.sent(request.body(Body::from(body)).unwrap()).await
    }

    /// Another tab of it.
    pub(crate) fn tab(&self) -> Self {
        Browser { place: self.place, cookie: self.cookie.clone(), csrf: self.csrf.clone() }
    }

    pub(crate) async fn sign_in(&mut self, tenant: &str, login: &str, password: &str) -> Page {
        let page = self.post("/console/sign-in", &[("tenant", tenant), ("login", login), ("password", password)]).await;
        if page.status == 303 {
            self.get("/console/account").await;
        }
        page
    }
}
