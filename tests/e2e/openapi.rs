//! The committed API description is the served one.

use crate::harness::Server;

#[test]
fn docs_openapi_json_is_what_the_server_serves() {
    let served = Server::start().client().get("/openapi.json").text();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    if std::env::var_os("ATTESTORE_UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &served).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == served,
        "docs/openapi.json is stale: run this test with ATTESTORE_UPDATE_OPENAPI=1"
    );
}

#[test]
fn every_route_documents_its_problems() {
    let api: serde_json::Value = Server::start().client().get("/openapi.json").json();
    assert!(
        api["openapi"].as_str().unwrap().starts_with("3.1"),
        "{}",
        api["openapi"]
    );
    let paths = api["paths"].as_object().unwrap();
    assert!(paths.len() >= 14, "{:?}", paths.keys());
    // Who unseals a server has no credential: those are behind the seal.
    let asks = |path: &str| path.starts_with("/v1/") && path != "/v1/unseal";
    for (path, methods) in paths.iter().filter(|(path, _)| asks(path)) {
        for (method, operation) in methods.as_object().unwrap() {
            let as_problems = operation["responses"]["4XX"]["$ref"].is_string();
            let statuses = ["401", "400", "403", "429", "503"];
            for status in statuses.into_iter().take(if as_problems { 5 } else { 1 }) {
                assert!(
                    operation["responses"][status].is_object(),
                    "{method} {path} does not say what {status} looks like"
                );
            }
            assert!(
                operation["security"].is_array(),
                "{method} {path} needs no credential?"
            );
        }
    }
}
