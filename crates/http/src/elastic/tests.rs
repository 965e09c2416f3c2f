use super::*;

#[test]
fn other_paths_are_not_taken_for_these() {
    for (path, ours) in [
        ("/es", true),
        ("/es/acme/_doc", true),
        ("/api/v1/x", true),
        ("/v1/tenants", false),
        ("/est", false),
    ] {
        assert_eq!(is_ours(&path.parse().unwrap_or_default()), ours, "{path}");
    }
    assert_eq!(elsewhere(&Method::GET).status(), StatusCode::BAD_REQUEST);
    assert_eq!(elsewhere(&Method::POST).status(), StatusCode::METHOD_NOT_ALLOWED);
    let said = elsewhere(&Method::PUT)
        .headers()
        .get("x-elastic-product")
        .cloned();
    assert_eq!(said, Some(axum::http::HeaderValue::from_static("Elasticsearch")));
}
