//! The own second factor: set up with the password, confirmed by a first code, ended with both. Who lost telephone and recovery
//! codes asks an administrator of his tenant (`settings/users.rs`) or the operator, and that stands in the history.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{Response, StatusCode};
use axum::routing::post;
use taxdisk_web::signin::Refused;
use taxdisk_web::signin::factor::Enrolment;
use taxdisk_web::signin::setting_up::{self, Begun, Confirmed};

use super::shell::Shell;
use super::shell::{Page, either};
use super::sign::{own, why, with_cookie};
use super::{Console, Posted, Shared, Visitor, Who, see_other, shell, with_status, words};

/// What apps call this program.
const ISSUER: &str = "taxdisk";
/// Where whoever has no session is sent; the guard has sent him there before.
const SIGN_IN: &str = "/console/sign-in";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/account/factor", post(begin))
        .route("/console/account/factor/confirm", post(confirm))
        .route("/console/account/factor/end", post(end))
}

#[derive(Template)]
#[template(path = "../../web/templates/signin/factor.html")]
struct FactorPage {
    shell: Shell,
    /// How to set up the app; none: it is done.
    enrolment: Option<Enrolment>,
    /// Recovery codes, once.
    codes: Vec<String>,
}

/// His page again, with why not.
async fn not_done(console: &Console, visitor: &Visitor, refused: Refused) -> Response<Body> {
    let (status, text) = why(visitor, refused);
    own(console, visitor, status, Some(text), false).await
}

async fn begin(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step: Page = async {
        let Some((_, signed)) = visitor.signed.clone() else { return Err(see_other(SIGN_IN)) };
        match setting_up::begin(&console.gate, &signed, form.get("password").unwrap_or_default(), ISSUER).await {
            Begun::SetUp(enrolment) => Ok(set_up(&console, &visitor, StatusCode::OK, enrolment, None)),
            Begun::There => Err(shell::notice(&console, &visitor, StatusCode::CONFLICT, "factor_there")),
            Begun::Refused(refused) => Err(not_done(&console, &visitor, refused).await),
        }
    }
    .await;
    either(step)
}

fn set_up(
    console: &Console,
    visitor: &Visitor,
    status: StatusCode,
    enrolment: Enrolment,
    notice: Option<String>,
) -> Response<Body> {
    let shell = Shell::new(console, visitor, "factor").with_notice(notice, false);
    with_status(status, &FactorPage { shell, enrolment: Some(enrolment), codes: Vec::new() })
}

async fn confirm(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step: Page = async {
        let Some((user, signed)) = visitor.signed.clone() else { return Err(see_other(SIGN_IN)) };
        let code = form.get("code").unwrap_or_default();
        match setting_up::confirm(&console.gate, &signed, code, ISSUER, (console.portal.clock)()).await {
            Confirmed::Done(signed, codes) => {
                let cookie = console.cookie.begin(&signed.token);
                let visitor = Visitor { signed: Some((user, signed)), ..visitor.clone() };
                let notice = words::text(visitor.language, "factor_set").to_owned();
                let shell = Shell::new(&console, &visitor, "factor").with_notice(Some(notice), true);
                let page = with_status(StatusCode::OK, &FactorPage { shell, enrolment: None, codes });
                Ok(with_cookie(page, &cookie))
            }
            Confirmed::Again(enrolment, refused) => {
                let (status, text) = why(&visitor, refused);
                Err(set_up(&console, &visitor, status, enrolment, Some(text)))
            }
            Confirmed::Refused(refused) => Err(not_done(&console, &visitor, refused).await),
            Confirmed::Unavailable => Err(shell::busy(&console, &visitor)),
        }
    }
    .await;
    either(step)
}

async fn end(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step: Page = async {
        let Some((_, signed)) = visitor.signed.clone() else { return Err(see_other(SIGN_IN)) };
        let field = |name: &str| form.get(name).unwrap_or_default();
        let now = (console.portal.clock)();
        let ended = console.gate.end_factor(&signed, field("password"), field("code"), now).await;
        let signed = match ended {
            Ok(signed) => signed,
            Err(refused) => return Err(not_done(&console, &visitor, refused).await),
        };
        Ok(with_cookie(see_other("/console/account?done=factor_ended"), &console.cookie.begin(&signed.token)))
    }
    .await;
    either(step)
}
