use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use super::{Arc, Json, Refusal, Response, Router, Seal, Service, StatusCode, TowerToHyperService, to_bytes};

/// A seal that "right" opens, and how often it was tried.
fn seal() -> (Seal, Arc<AtomicU32>) {
    let tried = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tried);
    let opener = move |secret: zeroize::Zeroizing<String>, _: &super::Opening| {
        count.fetch_add(1, Ordering::Relaxed);
        match secret.as_str() {
            "right" => Ok(()),
            "away" => Err(Refusal::Unavailable("no token".into())),
            _ => Err(Refusal::Wrong),
        }
    };
    (Seal::new(Box::new(opener), false), tried)
}

async fn ask(seal: &Seal, request: Request<Body>) -> (StatusCode, Response, Value) {
    let answer = TowerToHyperService::new(seal.router())
        .call(request)
        .await
        .unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = to_bytes(body, 1 << 16).await.unwrap();
    let json = serde_json::from_slice(&bytes).unwrap_or_default();
    (parts.status, Response::from_parts(parts, Body::empty()), json)
}

async fn unseal(seal: &Seal, secret: &str) -> (StatusCode, Response, Value) {
    let body = serde_json::json!({ "passphrase": secret }).to_string();
    ask(seal, Request::post("/v1/unseal").body(Body::from(body)).unwrap()).await
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_sealed_server_lives_and_does_nothing_else() {
    let (seal, tried) = seal();
    assert_eq!(ask(&seal, get("/livez")).await.0, StatusCode::OK);
    for path in ["/readyz", "/metrics", "/v1/tenants", "/openapi.json", "/nowhere"] {
        let (status, response, body) = ask(&seal, get(path)).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::SERVICE_UNAVAILABLE, &"sealed".into())
        );
        assert!(response.headers().contains_key("retry-after"), "{path}");
    }
    let post = Request::post("/v1/tenants/a/events")
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(ask(&seal, post).await.2["code"], "sealed");
    assert_eq!(tried.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_the_next_try_has_to_wait() {
    let (seal, tried) = seal();
    let (status, _, body) = unseal(&seal, "wrong").await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::FORBIDDEN, &"wrong_passphrase".into())
    );
    for secret in ["right", "wrong"] {
        let (status, response, body) = unseal(&seal, secret).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::TOO_MANY_REQUESTS, &"too_many_attempts".into())
        );
        assert!(response.headers().contains_key("retry-after"));
    }
    assert_eq!(tried.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_away_counts_as_no_wrong_secret_and_the_right_one_opens_once() {
    let (seal, _) = seal();
    let (status, _, body) = unseal(&seal, "away").await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"root_unavailable".into())
    );
    let (status, _, body) = unseal(&seal, "right").await;
    assert_eq!(
        (status, &body["state"]),
        (StatusCode::ACCEPTED, &"opening".into())
    );
    assert_eq!(unseal(&seal, "right").await.2["code"], "not_sealed");
    assert_eq!(ask(&seal, get("/v1/tenants")).await.2["code"], "sealed");
    let behind = Router::new().fallback(|| async { Json("behind") });
    seal.open(behind);
    assert_eq!(ask(&seal, get("/v1/tenants")).await.2, "behind");
}

#[tokio::test]
async fn nobody_unseals_through_a_proxy_and_nothing_but_one_secret_is_taken() {
    let (seal, tried) = seal();
    for name in super::FORWARDED {
        let body = Body::from(r#"{"passphrase":"right"}"#);
        let request = Request::post("/v1/unseal")
            .header(name, "203.0.113.9")
            .body(body)
            .unwrap();
        assert_eq!(
            ask(&seal, request).await.2["code"],
            "unseal_not_allowed",
            "{name}"
        );
    }
    for body in [
        "",
        "[]",
        "{}",
        r#"{"passphrase":"a","pin":"b"}"#,
        r#"{"passphrase":7}"#,
        r#"{"word":"right"}"#,
    ] {
        let request = Request::post("/v1/unseal").body(Body::from(body)).unwrap();
        assert_eq!(ask(&seal, request).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    let long = Request::post("/v1/unseal")
        .body(Body::from(" ".repeat(10_000)))
        .unwrap();
    assert_eq!(ask(&seal, long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(tried.load(Ordering::Relaxed), 0);
}
