//! Which of mail, short message and callback the merchant wishes for the offline codes of a syscode, for each organisation. The
//! form of a code asks for an address exactly where it is wished and the platform can send.
//!
//! An organisation without a wish of its own offers what the platform can; that is a choice of its own here.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::{failed, note};
use crate::admin::{change, written};
use crate::application::{OrgWish, System};
use crate::console::actions::unavailable;
use crate::console::draft;
use crate::console::invoices::encoded;
use crate::console::shell::{Shell, either};
use crate::console::{Console, Posted, Shared, Who, page, see_other, shell, words};
use crate::model::Tenant;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console/settings/wishes", get(show)).route("/console/settings/wishes/{syscode}", post(save))
}

struct OrgRow {
    orgcode: String,
    seller: String,
    /// It has a wish of its own.
    own: bool,
    mail: bool,
    sms: bool,
    callback: bool,
}

struct SystemRow {
    syscode: String,
    url: String,
    orgs: Vec<OrgRow>,
}

#[derive(Template)]
#[template(path = "console/settings/wishes.html")]
struct Page {
    shell: Shell,
    systems: Vec<SystemRow>,
    /// Channels that this platform does not have; a wish for them asks nobody for an address.
    missing: Vec<String>,
}

async fn show(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let (directory, lang) = (console.portal.directory(), visitor.language);
    let t = |key: &str| words::text(lang, key).to_owned();
    let Some(tenant) = draft::tenant_of(&console, visitor.tenant()) else { return shell::not_found(&console, &visitor) };
    let org = |system: &System, orgcode: &str, seller: &str| {
        let wish = system.wish_of(orgcode);
        let is = |pick: fn(&OrgWish) -> bool| wish.as_ref().is_some_and(pick);
        OrgRow {
            orgcode: orgcode.to_owned(),
            seller: seller.to_owned(),
            own: wish.is_some(),
            mail: is(|wish| wish.mail),
            sms: is(|wish| wish.sms),
            callback: is(|wish| wish.callback),
        }
    };
    let system = |system: &Arc<System>| SystemRow {
        syscode: system.syscode.clone(),
        url: format!("/console/settings/wishes/{}", encoded(&system.syscode)),
        orgs: organisations(&tenant).iter().map(|(orgcode, seller)| org(system, orgcode, seller)).collect(),
    };
    let config = &console.portal.config;
    let channels = [("mail", config.mail.is_some()), ("sms", config.sms.is_some())];
    let done = visitor.query.get("done").filter(|done| *done == "saved");
    let page_of = Page {
        shell: Shell::new(&console, &visitor, "menu_wishes").with_notice(done.map(|_| t("wish_saved")), true),
        systems: directory.systems().filter(|system| system.tenant == visitor.tenant()).map(system).collect(),
        missing: channels.iter().filter(|(_, there)| !there).map(|(key, _)| t(key)).collect(),
    };
    page(&page_of)
}

/// Organisations of a tenant with the name of their seller, each code once.
fn organisations(tenant: &Tenant) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (seller, point) in draft::orgs(tenant) {
        if all.iter().all(|(known, _)| *known != point.orgcode) {
            all.push((point.orgcode.clone(), seller.name.clone()));
        }
    }
    all
}

/// What a form wishes: organisations in the order of the page, by number, because a code may hold any character.
fn wished(form: &crate::wire::form::Form, orgcodes: &[String]) -> Option<Vec<OrgWish>> {
    let mut wishes = Vec::new();
    for (index, orgcode) in orgcodes.iter().enumerate() {
        // Another page than this one, or organisations that changed meanwhile: nothing is guessed.
        if form.get(&format!("org.{index}")) != Some(orgcode) {
            return None;
        }
        let ticked = |what: &str| form.get(&format!("{what}.{index}")) == Some("yes");
        if ticked("own") {
            wishes.push(OrgWish {
                orgcode: orgcode.clone(),
                mail: ticked("mail"),
                sms: ticked("sms"),
                callback: ticked("callback"),
            });
        }
    }
    Some(wishes)
}

async fn save(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(syscode): Path<String>,
) -> Response<Body> {
    either(
        async {
            let unknown = || shell::not_found(&console, &visitor);
            let tenant = draft::tenant_of(&console, visitor.tenant()).ok_or_else(unknown)?;
            let own = |system: &Arc<System>| system.tenant == visitor.tenant();
            console.portal.directory().system(&syscode).filter(|system| own(system)).ok_or_else(unknown)?;
            let orgcodes: Vec<String> = organisations(&tenant).into_iter().map(|(orgcode, _)| orgcode).collect();
            let wishes = wished(&form, &orgcodes)
                .ok_or_else(|| shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, "wish_form"))?;
            let (name, text) = (syscode.clone(), told(&syscode, &wishes));
            change(&console.portal, move |directory, _| {
                let system = directory.system(&name).ok_or("not_found")?;
                let system = system.wishing(wishes.clone(), |orgcode| orgcodes.iter().any(|known| known == orgcode))?;
                let row = written("system", &name, &system);
                Ok((directory.with_system(system)?, vec![row]))
            })
            .await
            .map_err(|refused| failed(&console, &visitor, &refused))?;
            let who = visitor.clone();
            let noted = console.portal.ledger.run(move |session| {
                let (who, text) = (who.clone(), text.clone());
                Box::pin(async move { note(session, &who, "wishes", &text).await })
            });
            noted.await.map_err(unavailable(&console, &visitor))?;
            Ok(see_other("/console/settings/wishes?done=saved"))
        }
        .await,
    )
}

/// For the history: `TOLL: A mail callback; B -`.
fn told(syscode: &str, wishes: &[OrgWish]) -> String {
    let one = |wish: &OrgWish| {
        let named = [(wish.mail, "mail"), (wish.sms, "sms"), (wish.callback, "callback")];
        let named: Vec<&str> = named.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
        format!("{} {}", wish.orgcode, if named.is_empty() { "-".to_owned() } else { named.join(" ") })
    };
    format!("{syscode}: {}", wishes.iter().map(one).collect::<Vec<_>>().join("; "))
}
