//! Every route, every role, and a stranger's tenant.

use axum::http::Method;
use serde_json::json;
use taxdisk_portal::console::roles::{Action, ROUTES, Role};

use crate::browser::Place;
use crate::platform::{APPID, blue};
use crate::{codes, reservations};

/// What the places of routes stand for in the walks: each is something of the tenant `shop` that exists.
pub(crate) struct Things(Vec<(&'static str, String)>);

impl Things {
    /// Besides the request S-1: a code, a code on the wall, a reservation, a correction, a syscode and a user.
    pub(crate) async fn of(place: &Place) -> Things {
        place.user("shop", "dora", &["admin"]).await;
        place.system("TOLL");
        place.task("tk_1", "S-1").await;
        let (mut admin, wall) = reservations::hung_up(place).await;
        let (_, code) = codes::made(&mut admin).await;
        reservations::reserved(place, &wall, &reservations::guest_fields("张三丰", "13800000001", "808")).await;
        let reservation = reservations::only(&mut admin, "org=A").await.rsplit('/').next().unwrap().to_owned();
        let token = wall.rsplit('/').next().unwrap().to_owned();
        Things(vec![
            ("{serial}", "S-1".to_owned()),
            ("{code}", code),
            ("{reservation}", reservation),
            ("{org}", "A".to_owned()),
            ("{token}", token),
            ("{id}", "tk_1".to_owned()),
            ("{syscode}", "TOLL".to_owned()),
            ("{appid}", APPID.to_owned()),
            ("{login}", "dora".to_owned()),
            // A form that is new: it is nobody's yet.
            ("{key}", "AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
        ])
    }

    pub(crate) fn path(&self, route: &str) -> String {
        let path = self.0.iter().fold(route.to_owned(), |path, (place, thing)| path.replace(place, thing));
        assert!(!path.contains('{'), "{path} has a place that this walk knows nothing for");
        path
    }

    /// Does the route lead to something that is the tenant's?
    fn names_one(route: &str) -> bool {
        route.contains('{') && !route.contains("{key}")
    }
}

#[tokio::test]
async fn every_route_obeys_the_table_for_every_role() {
    let place = Place::start().await;
    let answer = place
        .platform
        .form("insertWithArray", &[("requestdatas", &json!([blue("S-1")]).to_string()), ("autoAudit", "true")])
        .await;
    assert_eq!(answer.code(), "0000");
    let things = Things::of(&place).await;
    for role in Role::ALL {
        let mut browser = place.signed_in("shop", role.as_str(), &[role.as_str()]).await;
        // Signing out comes last: it ends the walk.
        let mut routes: Vec<_> = ROUTES.iter().filter(|(_, _, action)| *action != Action::Enter).collect();
        routes.sort_by_key(|(_, path, _)| *path == "/console/sign-out");
        for (method, route, action) in routes {
            let path = things.path(route);
            let page = match *method {
                Method::GET => browser.get(&path).await,
                _ => browser.post(&path, &[]).await,
            };
            let refused = page.status == 403 && page.body.contains("您的角色无权执行此操作");
            assert_eq!(refused, !role.may(*action), "{role:?} {method} {route}: {}", page.status);
            assert_ne!(page.status, 404, "{role:?} {method} {route}");
        }
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_session_and_nobody_into_another_tenant() {
    let place = Place::start().await;
    place.platform.issued(&blue("S-1")).await;
    let things = Things::of(&place).await;
    let known = place.platform.portal.directory();
    let mut outside = place.browser();
    let mut stranger = place.signed_in("other", "boss", &["viewer", "clerk", "manager", "admin"]).await;
    for (method, route, action) in ROUTES.iter().filter(|(_, _, action)| *action != Action::Enter) {
        let path = things.path(route);
        let page = match *method {
            Method::GET => outside.get(&path).await,
            _ => outside.post(&path, &[]).await,
        };
        assert!(page.status == 403 || page.location == "/console/sign-in", "{method} {route}: {}", page.status);
        assert!(!page.body.contains("S-1"), "{method} {route}");
        if *action == Action::Own {
            continue;
        }
        let page = match *method {
            Method::GET => stranger.get(&path).await,
            _ => stranger.post(&path, &[("confirm", "yes"), ("address", "a@b.example")]).await,
        };
        if Things::names_one(route) {
            assert_eq!(page.status, 404, "{method} {route}");
        }
        for theirs in ["虚构购方", "张三丰", "*咖啡", "tk_1", "TOLL", APPID, "示例商贸", "dora"] {
            assert!(!page.body.contains(theirs), "{method} {route}: {theirs}");
        }
    }
    let now = place.platform.portal.directory();
    assert_eq!(now.user_by_login("shop", "dora"), known.user_by_login("shop", "dora"));
    assert_eq!(now.system("TOLL"), known.system("TOLL"));
    assert_eq!(now.caller(APPID).unwrap().caller, known.caller(APPID).unwrap().caller);
    let request = place.platform.portal.readers.get().await.unwrap().request("shop", "S-1").await.unwrap().unwrap();
    assert!(request.issued.is_some() && request.reversed.is_zero(), "nothing happened to it");
}

#[tokio::test]
async fn a_user_who_is_disabled_is_out_at_once() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["viewer"]).await;
    let portal = &place.platform.portal;
    let mut user = portal.directory().user_by_login("shop", "anna").unwrap().as_ref().clone();
    user.disabled = true;
    portal.set_directory(portal.directory().with_user(user).unwrap());
    assert_eq!(browser.get("/console/invoices").await.status, 303);
    assert_eq!(place.browser().sign_in("shop", "anna", crate::browser::PASSWORD).await.status, 403);
}

/// Before any route under `/admin/v1` and `/tenant/v1` stands its key.
#[tokio::test]
async fn no_call_with_a_key_is_made_without_it() {
    use axum::body::Body;
    use axum::http::Request;
    use taxdisk_portal::admin::{self, OperatorKey};
    use taxdisk_portal::surface::{CALLS, Needs};
    use tower::ServiceExt as _;

    let place = Place::start().await;
    let router = admin::router(place.platform.portal.clone(), OperatorKey::of("tpo_production_right"));
    let mut walked = 0;
    for (method, route, needs) in CALLS {
        if !matches!(needs, Needs::Operator | Needs::User) {
            continue;
        }
        walked += 1;
        for key in [None, Some("Bearer tpo_production_wrong"), Some("Basic tpo_production_right"), Some("Bearer ")] {
            let mut request = Request::builder().method(*method).uri(route.replace(['{', '}'], ""));
            if let Some(key) = key {
                request = request.header("authorization", key);
            }
            let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), 401, "{method} {route} with {key:?}");
        }
        // The one's key is none of the other's.
        let right = Request::builder().method(*method).uri(route.replace(['{', '}'], ""));
        let right = right.header("authorization", "Bearer tpo_production_right").body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(right).await.unwrap();
        assert_eq!(answer.status() == 401, *needs == Needs::User, "{method} {route}: {}", answer.status());
    }
    assert_eq!(walked, 31);
}
