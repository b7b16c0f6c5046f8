//! The form in which a consumer names the buyer, its check, and the step in which he confirms it.
//!
//! The serial number of the sale is fixed before the form is shown: whatever is sent twice is the same request twice. Nothing is
//! stored before it is confirmed.

use askama::Template;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use taxdisk_protocol::gbk;

use super::sale::Sale;
use super::shell::Shell;
use super::words::Lang;
use crate::core::claim::Buyer;
use crate::core::outbox::{self, Channel};
use crate::wire::form::Form;

/// A form at most, bytes.
const MAX_FORM_BYTES: usize = 16 * 1024;
/// Characters of a field of the buyer at most, as the interface has it (yonyou-open-api.md, section 1.3).
const FIELD_MAX: usize = 100;

/// 开票类型 (yonyou-open-api.md, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// 企业性单位: has a taxpayer number.
    Enterprise,
    /// 非企业性单位: may have one.
    Institution,
    /// 个人.
    Person,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Enterprise, Kind::Institution, Kind::Person];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Enterprise => "enterprise",
            Kind::Institution => "institution",
            Kind::Person => "person",
        }
    }

    pub(super) fn text(self, lang: Lang) -> &'static str {
        lang.text(self.name())
    }

    /// Was this one chosen?
    pub(super) fn is_of(self, filled: &Filled) -> bool {
        filled.kind == Some(self)
    }
}

/// Whether a field of the form is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Need {
    /// No.
    #[default]
    No,
    /// It may be left empty.
    Offered,
    /// It must be filled.
    Needed,
}

impl Need {
    pub(super) fn is_offered(self) -> bool {
        self != Need::No
    }

    pub(super) fn is_needed(self) -> bool {
        self == Need::Needed
    }
}

/// Which addresses the form asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Asks {
    pub(super) email: Need,
    pub(super) phone: Need,
}

/// A form as it was filled.
#[derive(Debug, Clone)]
pub(super) struct Filled {
    pub(super) kind: Option<Kind>,
    pub(super) buyer: Buyer,
    pub(super) email: String,
    pub(super) phone: String,
    /// Which button was pressed.
    step: String,
    /// What the consumer saw of the sale when he confirmed.
    pub(super) terms: String,
}

/// What the consumer wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Change,
    Check,
    Issue,
}

impl Filled {
    /// Nothing is filled in.
    pub(super) fn empty() -> Filled {
        Filled::of(&Form::default())
    }

    pub(super) fn of(form: &Form) -> Filled {
        let field = |name: &str| form.get(name).unwrap_or_default().trim().to_owned();
        Filled {
            kind: Kind::ALL.into_iter().find(|kind| form.get("kind") == Some(kind.name())),
            buyer: Buyer {
                name: field("GMF_MC"),
                taxpayer_number: field("GMF_NSRSBH").to_ascii_uppercase(),
                address_phone: field("GMF_DZDH"),
                bank_account: field("GMF_YHZH"),
            },
            email: field("email"),
            phone: field("phone").chars().filter(|c| !matches!(c, ' ' | '-')).collect(),
            step: field("step"),
            terms: field("terms"),
        }
    }

    pub(super) fn step(&self) -> Step {
        match self.step.as_str() {
            "issue" => Step::Issue,
            "change" => Step::Change,
            _ => Step::Check,
        }
    }

    pub(super) fn has_more(&self) -> bool {
        !self.buyer.address_phone.is_empty() || !self.buyer.bank_account.is_empty()
    }

    pub(super) fn kind_text(&self, lang: Lang) -> &'static str {
        self.kind.map_or("", |kind| kind.text(lang))
    }

    /// What was filled in beside kind and title, for the step of confirming.
    pub(super) fn given(&self, lang: Lang) -> Vec<(&'static str, &str)> {
        let rows = [
            (lang.text("taxpayer_number"), self.buyer.taxpayer_number.as_str()),
            (lang.text("address_phone"), &self.buyer.address_phone),
            (lang.text("bank_account"), &self.buyer.bank_account),
            (lang.text("email"), &self.email),
            (lang.text("phone"), &self.phone),
        ];
        rows.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    pub(super) fn hidden(&self) -> [(&'static str, &str); 7] {
        [
            ("kind", self.kind.map_or("", Kind::name)),
            ("GMF_MC", &self.buyer.name),
            ("GMF_NSRSBH", &self.buyer.taxpayer_number),
            ("GMF_DZDH", &self.buyer.address_phone),
            ("GMF_YHZH", &self.buyer.bank_account),
            ("email", &self.email),
            ("phone", &self.phone),
        ]
    }

    /// What is wrong with it, in the reader's language; each fault says of which field.
    pub(super) fn faults(&self, asks: Asks, lang: Lang) -> Vec<String> {
        let mut faults = Vec::new();
        let buyer = &self.buyer;
        if self.kind.is_none() {
            faults.push(lang.text("need_kind").to_owned());
        }
        if buyer.name.is_empty() {
            faults.push(lang.text("need_title").to_owned());
        }
        let number = &buyer.taxpayer_number;
        if number.is_empty() && self.kind == Some(Kind::Enterprise) {
            faults.push(lang.text("need_number").to_owned());
        }
        let shaped = (15..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !number.is_empty() && !shaped {
            faults.push(lang.text("bad_number").to_owned());
        }
        let printed = [
            (lang.text("title"), &buyer.name),
            (lang.text("address_phone"), &buyer.address_phone),
            (lang.text("bank_account"), &buyer.bank_account),
        ];
        for (label, value) in printed {
            if value.chars().count() > FIELD_MAX {
                faults.push(format!("{label}: {}", lang.text("too_long")));
            }
            let mut wrong: Vec<char> = gbk::unencodable(value).into_iter().map(|(_, c)| c).collect();
            wrong.extend(value.chars().filter(|c| c.is_control()));
            wrong.dedup();
            if !wrong.is_empty() {
                let named: Vec<String> = wrong.iter().take(10).map(|c| format!("“{c}”")).collect();
                faults.push(format!("{label}: {} {}", lang.text("characters_bad"), named.join(" ")));
            }
        }
        for (need, channel, value, text) in [
            (asks.email, Channel::Mail, &self.email, lang.text("need_email")),
            (asks.phone, Channel::Sms, &self.phone, lang.text("need_phone")),
        ] {
            let missing = value.is_empty() && need.is_needed();
            if missing || !value.is_empty() && (!need.is_offered() || outbox::checked(channel, value).is_err()) {
                faults.push(text.to_owned());
            }
        }
        faults
    }

    /// Addresses to which the invoice is sent: mail, messages.
    pub(super) fn addresses(&self) -> (Vec<String>, Vec<String>) {
        let list = |text: &String| if text.is_empty() { Vec::new() } else { vec![text.clone()] };
        (list(&self.email), list(&self.phone))
    }
}

/// Reads a form out of a request.
///
/// # Errors
/// The page that says why not.
pub(super) async fn read(shell: &Shell, request: Request<Body>) -> Result<Form, Box<Response<Body>>> {
    let Ok(body) = Limited::new(request.into_body(), MAX_FORM_BYTES).collect().await else {
        return Err(Box::new(shell.notice(StatusCode::PAYLOAD_TOO_LARGE, "form_large", "nothing_issued")));
    };
    let form = Form::parse(&body.to_bytes());
    form.map_err(|_| Box::new(shell.notice(StatusCode::BAD_REQUEST, "form_encoding", "nothing_issued")))
}

#[derive(Template)]
#[template(path = "pages/form.html")]
struct FormPage<'a> {
    shell: &'a Shell,
    sale: &'a Sale,
    filled: &'a Filled,
    asks: Asks,
    faults: &'a [String],
}

#[derive(Template)]
#[template(path = "pages/confirm.html")]
struct ConfirmPage<'a> {
    shell: &'a Shell,
    sale: &'a Sale,
    filled: &'a Filled,
    terms: String,
}

/// What is shown before something may be stored: the form, what is wrong with it, or the step of confirming. `None`: the
/// consumer has confirmed exactly this sale.
pub(super) fn before_issuing(shell: &Shell, sale: &Sale, filled: &Filled, asks: Asks) -> Option<Response<Body>> {
    if filled.step() == Step::Change {
        return Some(empty(shell, sale, filled, asks, &[], StatusCode::OK));
    }
    let faults = filled.faults(asks, shell.lang);
    if !faults.is_empty() {
        return Some(empty(shell, sale, filled, asks, &faults, StatusCode::UNPROCESSABLE_ENTITY));
    }
    let terms = sale.terms();
    if filled.step() == Step::Issue && filled.terms == terms {
        return None;
    }
    if filled.step() == Step::Issue {
        let changed = [shell.t("terms_changed").to_owned()];
        return Some(empty(shell, sale, filled, asks, &changed, StatusCode::CONFLICT));
    }
    Some(shell.page(StatusCode::OK, &ConfirmPage { shell, sale, filled, terms }))
}

/// The form.
pub(super) fn empty(
    shell: &Shell,
    sale: &Sale,
    filled: &Filled,
    asks: Asks,
    faults: &[String],
    status: StatusCode,
) -> Response<Body> {
    shell.page(status, &FormPage { shell, sale, filled, asks, faults })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn faults(text: &str, asks: Asks) -> Vec<String> {
        Filled::of(&Form::parse(text.as_bytes()).unwrap()).faults(asks, Lang::En)
    }

    #[test]
    fn each_kind_needs_its_own_fields_and_what_cannot_be_printed_is_named() {
        let none = Asks::default();
        assert_eq!(faults("kind=person&GMF_MC=A", none), Vec::<String>::new());
        assert_eq!(faults("kind=institution&GMF_MC=A", none), Vec::<String>::new());
        assert_eq!(faults("kind=enterprise&GMF_MC=A", none).len(), 1);
        assert_eq!(faults("kind=enterprise&GMF_MC=A&GMF_NSRSBH=91310000MA00000025", none), Vec::<String>::new());
        assert_eq!(faults("kind=person&GMF_MC=A&GMF_NSRSBH=12", none).len(), 1);
        assert_eq!(faults("GMF_MC=", none).len(), 2, "kind and title");
        let named = faults("kind=person&GMF_MC=A%F0%9F%98%80%E2%98%82", none);
        assert!(named.len() == 1 && named[0].contains("😀") && named[0].contains('☂'), "{named:?}");
        assert_eq!(faults(&format!("kind=person&GMF_MC={}", "A".repeat(101)), none).len(), 1);
        assert_eq!(faults("kind=person&GMF_MC=A%07B", none).len(), 1, "no bell on paper");
        let asked = Asks { email: Need::Needed, phone: Need::Offered };
        assert_eq!(faults("kind=person&GMF_MC=A", asked).len(), 1);
        assert_eq!(faults("kind=person&GMF_MC=A&email=a%40b.example&phone=x", asked).len(), 1);
        assert_eq!(faults("kind=person&GMF_MC=A&email=a%40b.example", asked), Vec::<String>::new());
        assert_eq!(faults("kind=person&GMF_MC=A&email=a%40b.example", none).len(), 1, "nobody asked for it");
    }
}
