//! The pages of a draft: its form, and the page on which it is looked at before anything is made.

use askama::Template;
use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::{Computed, Draft, Hits, LineText, computed, kind_choices, org_choices, type_choices, type_text};
use crate::console::invoices::Choice;
use crate::console::reservations::Offer;
use crate::console::shell::Shell;
use crate::console::{with_status, words};
use crate::core::insert::{Content, Incoming};
use crate::model::Tenant;

/// What differs between the screens that show a draft.
pub(in crate::console) struct Screen {
    /// Around it.
    pub(in crate::console) shell: Shell,
    /// Where its form goes.
    pub(in crate::console) action: String,
    /// Serial number of what it becomes.
    pub(in crate::console) serial: String,
    /// The clerk names the buyer.
    pub(in crate::console) buyer: bool,
    /// It is looked at before it is made.
    pub(in crate::console) checked: bool,
    /// Key of the text on the last button.
    pub(in crate::console) make: &'static str,
    /// The organisation is given, and cannot be changed.
    pub(in crate::console) only: Option<String>,
    /// What else the clerk should see: label and value.
    pub(in crate::console) facts: Vec<(String, String)>,
    /// 开票信息: where guests' reservations are attached.
    pub(in crate::console) panel: Option<Panel>,
    /// The form by which a reservation is given back goes there.
    pub(in crate::console) release: Option<String>,
}

/// 开票信息: reservations of the chosen organisation.
#[derive(Default)]
pub(in crate::console) struct Panel {
    /// Those that were looked for; none: nobody did.
    pub(in crate::console) offers: Option<Vec<Offer>>,
    /// There may be more of them than are shown.
    pub(in crate::console) more: bool,
}

#[derive(Template)]
#[template(path = "console/draft.html")]
struct FormPage<'a> {
    screen: &'a Screen,
    shell: &'a Shell,
    draft: &'a Draft,
    lines: Vec<(usize, &'a LineText)>,
    orgs: Vec<Choice>,
    kinds: Vec<Choice>,
    types: Vec<Choice>,
    hits: Hits,
    faults: Vec<String>,
    /// What names characters that no disk prints, while they are typed.
    script: &'static str,
}

#[derive(Template)]
#[template(path = "console/draft_check.html")]
struct CheckPage<'a> {
    screen: &'a Screen,
    shell: &'a Shell,
    hidden: Vec<(String, String)>,
    facts: Vec<(String, String)>,
    lines: Vec<Computed>,
    sums: [String; 3],
}

/// The form; with faults it says that nothing was made.
pub(in crate::console) fn form(screen: &Screen, tenant: &Tenant, draft: &Draft, hits: Hits, faults: &[String]) -> Response<Body> {
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = FormPage {
        screen,
        shell: &screen.shell,
        draft,
        lines: draft.lines.iter().enumerate().collect(),
        orgs: org_choices(tenant, &draft.org, screen.only.as_deref()),
        kinds: kind_choices(screen.shell.lang, &draft.kind),
        types: type_choices(screen.shell.lang, &draft.buyer[0]),
        hits,
        faults: faults.iter().map(|fault| words::said(screen.shell.lang, fault)).collect(),
        script: &crate::assets::SCRIPT,
    };
    with_status(status, &page)
}

/// What would be issued.
pub(in crate::console) fn check(screen: &Screen, draft: &Draft, incoming: &Incoming) -> Response<Body> {
    let (lines, sums) = match &incoming.content {
        Content::Blue(Ok(parts)) => parts.first().map(|part| computed(&part.document)).unwrap_or_default(),
        Content::Blue(Err(_)) | Content::Red(_) => Default::default(),
    };
    let shell = &screen.shell;
    let kind =
        kind_choices(shell.lang, &draft.kind).into_iter().find(|kind| kind.chosen).map(|kind| kind.label).unwrap_or_default();
    let mut facts = vec![(shell.t("kind").to_owned(), kind), (shell.t("org").to_owned(), draft.org.clone())];
    let labels = ["buyer_type", "buyer", "buyer_number", "buyer_address", "buyer_bank", "mail", "telephone"];
    let mut buyer = draft.buyer.clone();
    buyer[0] = type_text(shell.lang, &buyer[0]);
    facts.extend(labels.iter().zip(buyer).map(|(label, value)| (shell.t(label).to_owned(), value)));
    facts.push((shell.t("remark").to_owned(), draft.remark.clone()));
    facts.retain(|(_, value)| !value.is_empty());
    with_status(StatusCode::OK, &CheckPage { screen, shell, hidden: draft.hidden(), facts, lines, sums })
}
