//! Retention, holds and approvals over HTTP: who is asked for what, what waits for another person, and what is on record of it.

use attestore_engine::credentials::CredentialSpec;
use attestore_engine::{Principal, Role, Scope};
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use hyper::service::Service;
use serde_json::{Value, json};

use super::World;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl World {
    fn one_who_is(&self, roles: &[Role]) -> String {
        let spec = CredentialSpec {
            name: "one".into(),
            roles: roles.to_vec(),
            tenants: Scope::one("acme"),
            networks: Vec::new(),
            expires_at_ms: None,
        };
        let made = self.engine.create_credential(spec, &Principal::internal());
        made.unwrap().1.expose().to_owned()
    }

    async fn send(
        &self,
        secret: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1/tenants/acme/{path}"))
            .header("authorization", format!("Bearer {secret}"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let response = self
            .service
            .call(request.body(Body::from(bytes)).unwrap())
            .await
            .unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }
}

const DAY_MS: u64 = 86_400_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_weakened_with_the_header_the_permission_and_a_second_person() {
    let world = World::new(41);
    let manager = world.one_who_is(&[Role::RetentionManager, Role::RetentionBypass]);
    let plain = world.one_who_is(&[Role::RetentionManager]);
    let officer = world.one_who_is(&[Role::PrivacyOfficer]);
    let policy = |days: u64, mode: &str| json!({ "name": "cards", "keep_min_ms": days * DAY_MS, "mode": mode, "basis": "PCI DSS", "select": { "actions": ["card.*"] } });
    let set = world
        .send(&plain, "PUT", "retention/2", &[], policy(90, "governance"))
        .await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(
        (&set.body["class"], &set.body["warnings"][0]["code"]),
        (&json!(2), &json!("kept_for_ever"))
    );
    let header = [("attestore-bypass-governance", "true")];
    let weaker = || policy(1, "none");
    for (who, headers) in [(&manager, &[][..]), (&plain, &header[..])] {
        let refused = world.send(who, "PUT", "retention/2", headers, weaker()).await;
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (409, &json!("retention_locked"))
        );
    }
    let waits = world
        .send(&manager, "PUT", "retention/2", &header, weaker())
        .await;
    assert_eq!(
        (waits.status, &waits.body["kind"]),
        (202, &json!("retention_bypass")),
        "{}",
        waits.body
    );
    let id = waits.body["id"].as_str().unwrap().to_owned();
    let location = waits.headers["location"].to_str().unwrap();
    assert_eq!(location, format!("/v1/tenants/acme/approvals/{id}"));
    let own = world
        .send(
            &manager,
            "POST",
            &format!("approvals/{id}/approve"),
            &[],
            Value::Null,
        )
        .await;
    assert_eq!((own.status, &own.body["code"]), (409, &json!("own_request")));
    let approved = world
        .send(
            &officer,
            "POST",
            &format!("approvals/{id}/approve"),
            &[],
            Value::Null,
        )
        .await;
    assert_eq!(
        (approved.status, &approved.body["state"]),
        (200, &json!("approved")),
        "{}",
        approved.body
    );
    let set = world
        .send(&manager, "PUT", "retention/2", &header, weaker())
        .await;
    assert_eq!(
        (set.status, set.body["approved_by"].as_array().unwrap().len()),
        (200, 2),
        "{}",
        set.body
    );
    let list = world.send(&officer, "GET", "retention", &[], Value::Null).await;
    assert_eq!(list.body["items"][0]["keep_min_ms"], json!(DAY_MS));
    let wrong = world
        .send(
            &manager,
            "PUT",
            "retention/2",
            &[("attestore-bypass-governance", "yes")],
            weaker(),
        )
        .await;
    assert_eq!(wrong.status, 400);
    let odd = world.send(&manager, "PUT", "retention/0", &[], weaker()).await;
    assert_eq!(
        (odd.status, &odd.body["code"]),
        (400, &json!("invalid_retention"))
    );
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_placed_explained_and_released() {
    let world = World::new(42);
    let manager = world.one_who_is(&[Role::RetentionManager]);
    let reader = world.one_who_is(&[Role::Reader]);
    let event = json!({ "action": "doc.open", "actor": { "type": "user", "id": "u_1" } });
    let ingest = world.one_who_is(&[Role::Ingest]);
    assert_eq!(
        world
            .send(&ingest, "POST", "events", &[], json!([event, event]))
            .await
            .status,
        201
    );
    let spec = json!({
        "matter": "case 7", "reason": "Bob is suing", "query": "actor.id:u_1", "ranges": [[0, 1]], "review_at": "2027-01-01",
    });
    assert_eq!(
        world
            .send(&reader, "POST", "holds", &[], spec.clone())
            .await
            .status,
        403
    );
    let placed = world.send(&manager, "POST", "holds", &[], spec).await;
    assert_eq!(
        (placed.status, &placed.body["records"]),
        (201, &json!(2)),
        "{}",
        placed.body
    );
    let id = placed.body["id"].as_str().unwrap().to_owned();
    assert_eq!(
        placed.headers["location"].to_str().unwrap(),
        format!("/v1/tenants/acme/holds/{id}")
    );
    let seen = world
        .send(&reader, "GET", &format!("holds/{id}"), &[], Value::Null)
        .await;
    assert_eq!(
        (&seen.body["matter"], &seen.body["reason"], &seen.body["query"]),
        (&json!("case 7"), &Value::Null, &Value::Null)
    );
    let own = world
        .send(&manager, "GET", &format!("holds/{id}"), &[], Value::Null)
        .await;
    assert_eq!(
        (&own.body["reason"], &own.body["query"]),
        (&json!("Bob is suing"), &json!("actor.id:u_1"))
    );
    let verdict = world
        .send(&reader, "GET", "events/1/retention", &[], Value::Null)
        .await;
    assert_eq!(
        (&verdict.body["standing"], &verdict.body["held_by"][0]["id"]),
        (&json!("held"), &json!(id))
    );
    assert!(verdict.body["explanation"].as_str().unwrap().contains("case 7"));
    let release = json!({ "reason": "settled" });
    let path = format!("holds/{id}/release");
    let released = world.send(&manager, "POST", &path, &[], release.clone()).await;
    assert_eq!(
        (released.status, &released.body["state"]),
        (200, &json!("released")),
        "{}",
        released.body
    );
    let again = world.send(&manager, "POST", &path, &[], release).await;
    assert_eq!(
        (again.status, &again.body["code"]),
        (409, &json!("hold_released"))
    );
    let verdict = world
        .send(&reader, "GET", "events/1/retention", &[], Value::Null)
        .await;
    assert_eq!(verdict.body["standing"], "kept");
    for (path, code) in [
        ("holds/00", 404),
        ("events/99/retention", 404),
        ("retention/preview?at=x", 400),
    ] {
        assert_eq!(
            world.send(&manager, "GET", path, &[], Value::Null).await.status,
            code,
            "{path}"
        );
    }
    world.engine.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn which_acts_take_two_is_set_by_one_and_relaxed_by_two() {
    let world = World::new(43);
    let admin = world.one_who_is(&[Role::TenantAdmin]);
    let other = world.one_who_is(&[Role::TenantAdmin]);
    let policy = |kinds: &[&str]| json!({ "kinds": kinds, "expires_in_s": 3600 });
    let set = world
        .send(
            &admin,
            "PUT",
            "approvals/policy",
            &[],
            policy(&["erase", "hold_release"]),
        )
        .await;
    assert_eq!((set.status, set.body), (200, policy(&["erase", "hold_release"])));
    let waits = world
        .send(&admin, "PUT", "approvals/policy", &[], policy(&["erase"]))
        .await;
    assert_eq!((waits.status, &waits.body["kind"]), (202, &json!("one_person")));
    let id = waits.body["id"].as_str().unwrap().to_owned();
    let shown = world
        .send(&other, "GET", &format!("approvals/{id}"), &[], Value::Null)
        .await;
    assert_eq!(shown.body["parameters"]["kinds"], json!(["erase"]));
    let refused = world
        .send(
            &other,
            "POST",
            &format!("approvals/{id}/refuse"),
            &[],
            Value::Null,
        )
        .await;
    assert_eq!(refused.body["state"], "refused");
    let kept = world
        .send(&admin, "GET", "approvals/policy", &[], Value::Null)
        .await;
    assert_eq!(kept.body["kinds"], json!(["erase", "hold_release"]));
    let unknown = world
        .send(&admin, "PUT", "approvals/policy", &[], policy(&["everything"]))
        .await;
    assert_eq!(unknown.status, 400);
    let list = world.send(&other, "GET", "approvals", &[], Value::Null).await;
    assert_eq!(list.body["items"].as_array().unwrap().len(), 1);
    world.engine.close().unwrap();
}
