//! What is around every page: menu, person, language, sign-out.

use std::sync::LazyLock;

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use taxdisk_protocol::error::{Issued, Problem, Retry, Who};
use taxdisk_web::pages::{Asset, STYLE};

use super::roles::Action;
use super::words::{self, Lang};
use super::{Console, Visitor, with_status};
use crate::http::Refused;
use crate::ledger::Refusal;

/// Key of the text, path, and what the page is.
pub type MenuRow = (&'static str, &'static str, Action);

/// The menu: groups with their entries. Whoever may not see a page does not see its entry.
pub const MENU: &[(&str, &[MenuRow])] = &[
    (
        "menu_work",
        &[
            ("menu_overview", "/console", Action::See),
            ("menu_jobs", "/console/jobs", Action::See),
            ("menu_bulk", "/console/bulk", Action::Operate),
            ("menu_proposals", "/console/proposals", Action::See),
            ("menu_audit", "/console/audit", Action::Audit),
        ],
    ),
    (
        "menu_machines",
        &[
            ("menu_disks", "/console/disks", Action::See),
            ("menu_agents", "/console/agents", Action::See),
            ("menu_operations", "/console/operations", Action::See),
            ("menu_pauses", "/console/pauses", Action::See),
        ],
    ),
    (
        "menu_settings",
        &[
            ("menu_users", "/console/users", Action::Manage),
            ("menu_keys", "/console/keys", Action::Manage),
            ("menu_webhooks", "/console/webhooks", Action::See),
        ],
    ),
];

static SHEET: LazyLock<Asset> = LazyLock::new(|| Asset::new("style", "css", "text/css;charset=UTF-8", STYLE));

const SCRIPT: &str = "text/javascript;charset=UTF-8";
static HTMX: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("htmx", "js", SCRIPT, include_str!("../../assets/htmx-2.0.11.min.js")));
static SSE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("htmx-sse", "js", SCRIPT, include_str!("../../assets/htmx-sse-2.2.4.min.js")));

/// A group of the menu.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub label: String,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// An entry of the menu.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub label: String,
    /// Where it leads.
    pub path: &'static str,
    /// It is this page.
    pub current: bool,
}

/// What every template of the console holds as `shell`.
#[derive(Debug, Clone)]
pub struct Shell {
    /// Language.
    pub lang: Lang,
    /// Heading of the page.
    pub title: String,
    /// What forms hold as `csrf`.
    pub csrf: String,
    /// Name of the person; empty: nobody is signed in.
    pub user: String,
    /// The menu, as far as he may.
    pub menu: Vec<Group>,
    /// What a link to the page in another language begins with.
    pub here: String,
    /// Address of the style sheet.
    pub style: String,
    /// Address of htmx.
    pub htmx: String,
    /// Address of its events.
    pub sse: String,
    /// What was just done, or why not.
    pub notice: Option<Notice>,
}

/// A sentence above a page.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The sentence.
    pub text: String,
    /// What was asked for was done.
    pub good: bool,
}

impl Shell {
    /// Around a page with this heading, a key of [`words`].
    pub fn new(visitor: &Visitor, title: &str) -> Shell {
        let lang = visitor.language;
        let t = |key: &str| words::text(lang, key).to_owned();
        let group = |(label, entries): &(&str, &'static [MenuRow])| Group {
            label: t(label),
            entries: entries
                .iter()
                .filter(|(_, _, action)| visitor.may(*action))
                .map(|(label, path, _)| Entry { label: t(label), path, current: visitor.path == *path })
                .collect(),
        };
        let signed = visitor.signed.as_ref();
        // What a form has done is said on the page that it leads to; a key that is none says nothing.
        let done = visitor.query.get("done").filter(|key| key.starts_with("done_") && words::is_known(key));
        Shell {
            lang,
            title: t(title),
            csrf: signed.map(|(_, session)| session.csrf()).unwrap_or_default(),
            user: signed.map(|(user, _)| user.name.clone()).unwrap_or_default(),
            menu: MENU.iter().map(group).filter(|group| signed.is_some() && !group.entries.is_empty()).collect(),
            here: visitor.here.clone(),
            style: format!("/console/assets/{}", SHEET.name()),
            htmx: format!("/console/assets/{}", HTMX.name()),
            sse: format!("/console/assets/{}", SSE.name()),
            notice: done.map(|key| Notice { text: t(key), good: true }),
        }
    }

    /// A text of [`words`].
    pub fn t<'a>(&self, key: &'a str) -> &'a str {
        words::text(self.lang, key)
    }

    /// With a sentence above it.
    #[must_use]
    pub fn with_notice(mut self, text: Option<String>, good: bool) -> Shell {
        self.notice = text.map(|text| Notice { text, good }).or(self.notice);
        self
    }

    /// With this heading.
    #[must_use]
    pub fn titled(mut self, title: String) -> Shell {
        self.title = title;
        self
    }
}

#[derive(Template)]
#[template(path = "console/notice.html")]
struct NoticePage {
    shell: Shell,
    facts: Vec<(String, String)>,
}

/// A page that says one thing.
pub(super) fn notice(_: &Console, visitor: &Visitor, status: StatusCode, key: &str) -> Response<Body> {
    with_status(status, &NoticePage { shell: Shell::new(visitor, key), facts: Vec::new() })
}

/// There is no such thing.
pub(super) fn not_found(console: &Console, visitor: &Visitor) -> Response<Body> {
    notice(console, visitor, StatusCode::NOT_FOUND, "not_found")
}

/// The ledger does not answer. The same again is safe.
pub(super) fn busy(console: &Console, visitor: &Visitor) -> Response<Body> {
    notice(console, visitor, StatusCode::SERVICE_UNAVAILABLE, "busy")
}

/// The confirmation is missing; nothing was done.
pub(super) fn unconfirmed(console: &Console, visitor: &Visitor) -> Response<Body> {
    notice(console, visitor, StatusCode::UNPROCESSABLE_ENTITY, "unconfirmed")
}

/// A page that says why something about people or settings was not done. No invoice is touched by it.
pub(super) fn told(_: &Console, visitor: &Visitor, refusal: &Refusal) -> Response<Body> {
    let status = match refusal.code {
        "not_found" => StatusCode::NOT_FOUND,
        "conflict" => StatusCode::CONFLICT,
        "not_ready" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let shell = Shell::new(visitor, "refused").titled(refusal.to_string());
    with_status(status, &NoticePage { shell, facts: Vec::new() })
}

/// What the API would answer as a problem document.
pub(super) fn problem(_: &Console, visitor: &Visitor, Refused(problem): Refused) -> Response<Body> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let t = |key: &str| words::text(visitor.language, key).to_owned();
    let shell = Shell::new(visitor, "refused").titled(problem.detail.clone());
    with_status(status, &NoticePage { shell, facts: facts(&problem, is_about_jobs(&visitor.path), t) })
}

/// Whether what was asked for concerns jobs, one or many. Whoever makes a key is not to wonder about an invoice.
fn is_about_jobs(path: &str) -> bool {
    ["/console/jobs", "/console/bulk", "/console/proposals"].iter().any(|begin| {
        let rest = path.strip_prefix(begin);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn facts(problem: &Problem, of_jobs: bool, t: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let issued = match problem.issued {
        Issued::Yes => "issued_yes",
        Issued::No => "issued_no",
        Issued::Unknown => "issued_unknown",
    };
    let retry = match problem.retry {
        Retry::Safe if of_jobs => "retry_safe",
        Retry::Safe => "retry_any_time",
        Retry::After => "retry_after",
        Retry::Never => "retry_never",
    };
    let who = match problem.who {
        Who::Caller => "who_caller",
        Who::Merchant => "who_merchant",
        Who::Administrator => "who_administrator",
        Who::TaxOffice => "who_tax_office",
    };
    let facts = [
        Some((t("problem_code"), problem.code.clone())),
        of_jobs.then(|| (t("problem_issued"), t(issued))),
        Some((t("problem_retry"), t(retry))),
        Some((t("problem_who"), t(who))),
    ];
    facts.into_iter().flatten().collect()
}

/// Files that pages name. Their names hold their digests.
pub(super) async fn asset(Path(name): Path<String>) -> Response<Body> {
    Asset::answer(&name, &[&SHEET, &HTMX, &SSE])
}
