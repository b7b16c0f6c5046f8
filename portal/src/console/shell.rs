//! What is around every page: menu, tenant, user, language, sign-out.

use askama::Template;
use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::roles::Action;
use super::words::{self, Lang};
use super::{Console, Visitor, with_status};

/// Key of the text, path, and what the page is.
pub type MenuRow = (&'static str, &'static str, Action);

/// The menu: groups with their entries. Whoever may not see a page does not see its entry.
pub const MENU: &[(&str, &[MenuRow])] = &[
    (
        "menu_issue",
        &[
            ("menu_issue_screen", "/console/issue", Action::Issue),
            ("menu_codes", "/console/codes", Action::See),
            ("menu_reservations", "/console/reservations", Action::See),
            ("menu_approval", "/console/approval", Action::See),
            ("menu_goods", "/console/goods", Action::See),
            ("menu_customers", "/console/customers", Action::See),
        ],
    ),
    (
        "menu_invoices",
        &[
            ("menu_list", "/console/invoices", Action::See),
            ("menu_tasks", "/console/tasks", Action::See),
            ("menu_deliveries", "/console/deliveries", Action::See),
        ],
    ),
    ("menu_statistics", &[("menu_reports", "/console/reports", Action::See)]),
    (
        "menu_settings",
        &[
            ("menu_organisations", "/console/organisations", Action::See),
            ("menu_disks", "/console/settings/organisations", Action::Settings),
            ("menu_callbacks", "/console/settings/callbacks", Action::Settings),
            ("menu_wishes", "/console/settings/wishes", Action::Settings),
            ("menu_keys", "/console/settings/keys", Action::Settings),
            ("menu_users", "/console/settings/users", Action::Settings),
            ("menu_history", "/console/settings/history", Action::Settings),
        ],
    ),
];

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
    /// Name of the user; empty: nobody is signed in.
    pub user: String,
    /// Name of his tenant.
    pub tenant: String,
    /// The menu, as far as he may.
    pub menu: Vec<Group>,
    /// Simulated disks stand behind this portal.
    pub sample: bool,
    /// Path of this page.
    pub path: String,
    /// What a link to it in another language begins with; empty: there is none.
    pub here: String,
    /// Address of the style sheet.
    pub style: &'static str,
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
    /// Around a page with this heading.
    pub fn new(console: &Console, visitor: &Visitor, title: &str) -> Shell {
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
        let directory = console.portal.directory();
        let tenant = directory.tenant(visitor.tenant()).map(|tenant| tenant.name.clone()).unwrap_or_default();
        Shell {
            lang,
            title: words::text(lang, title).to_owned(),
            csrf: signed.map(|(_, session)| session.csrf()).unwrap_or_default(),
            user: signed.map(|(user, _)| user.name.clone()).unwrap_or_default(),
            tenant,
            menu: MENU.iter().map(group).filter(|group| signed.is_some() && !group.entries.is_empty()).collect(),
            sample: console.portal.is_sample(),
            path: visitor.path.clone(),
            here: visitor.here.clone(),
            style: &crate::assets::STYLE,
            notice: None,
        }
    }

    /// A text of [`words`].
    pub fn t<'a>(&self, key: &'a str) -> &'a str {
        words::text(self.lang, key)
    }

    /// What is said in Chinese, in the language of the page.
    pub fn said(&self, text: &str) -> String {
        words::said(self.lang, text)
    }

    /// With a sentence above it.
    #[must_use]
    pub fn with_notice(mut self, text: Option<String>, good: bool) -> Shell {
        self.notice = text.map(|text| Notice { text, good });
        self
    }
}

#[derive(Template)]
#[template(path = "console/notice.html")]
struct NoticePage {
    shell: Shell,
}

/// A page that says one thing.
pub(super) fn notice(console: &Console, visitor: &Visitor, status: StatusCode, key: &str) -> Response<Body> {
    with_status(status, &NoticePage { shell: Shell::new(console, visitor, key) })
}

/// What a step answers: what was asked for, or a page that says why not. Both are sent.
pub(super) type Page = Result<Response<Body>, Response<Body>>;

/// Whichever it is.
pub(super) fn either(page: Page) -> Response<Body> {
    match page {
        Ok(page) | Err(page) => page,
    }
}

/// There is no such thing, or it is another tenant's.
pub(super) fn not_found(console: &Console, visitor: &Visitor) -> Response<Body> {
    notice(console, visitor, StatusCode::NOT_FOUND, "not_found")
}

/// The store does not answer. The same again is safe.
pub(super) fn busy(console: &Console, visitor: &Visitor) -> Response<Body> {
    notice(console, visitor, StatusCode::SERVICE_UNAVAILABLE, "busy")
}

/// The confirmation is missing; nothing was done.
pub(super) fn unconfirmed(console: &Console, visitor: &Visitor) -> Response<Body> {
    notice(console, visitor, StatusCode::UNPROCESSABLE_ENTITY, "unconfirmed")
}

/// A page that says what the core refused with.
pub(super) fn refused(console: &Console, visitor: &Visitor, text: String) -> Response<Body> {
    told(console, visitor, StatusCode::CONFLICT, text)
}

/// A page that says what is wrong with what was sent; nothing was done.
pub(super) fn wrong(console: &Console, visitor: &Visitor, text: String) -> Response<Body> {
    told(console, visitor, StatusCode::UNPROCESSABLE_ENTITY, text)
}

/// A page that says one sentence.
pub(super) fn told(console: &Console, visitor: &Visitor, status: StatusCode, text: String) -> Response<Body> {
    let mut shell = Shell::new(console, visitor, "back");
    shell.title = words::said(visitor.language, &text);
    with_status(status, &NoticePage { shell })
}
