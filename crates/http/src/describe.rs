//! What holds for all operations of the API description, said once: how they refuse, which bodies may be left out, and the
//! routes that it only lists.

use serde_json::{Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{OpenApi, Ref, RefOr, Required, Response, ResponseBuilder};

use crate::guard::{Need, Reach, Row, Tongue};

/// Completes the description of the routes in `rows`.
pub fn complete(api: &mut OpenApi, rows: &[Row]) {
    let schema = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    let problem = ResponseBuilder::new()
        .description("A problem document; `code` is stable")
        .content("application/problem+json", schema.build());
    let components = api.components.get_or_insert_default();
    let responses = &mut components.responses;
    responses.insert("Problem".to_owned(), RefOr::T(problem.build()));
    for row in rows {
        let item = api.paths.paths.get_mut(&row.path.replace("{*", "{"));
        if let Some(operation) = item.and_then(|item| operation(item, row.method.as_str())) {
            refuses(operation, row);
            let reach = ExtensionsBuilder::new().add("x-attestore-reach", reach(row.entry.reach));
            operation.extensions.get_or_insert_default().merge(reach.build());
            if NEEDS_NO_BODY.contains(&(row.method.as_str(), row.path.as_str()))
                && let Some(RefOr::T(body)) = &mut operation.request_body
            {
                body.required = Some(Required::False);
            }
        }
    }
    let others: Vec<Value> = rows.iter().filter(|row| !row.described).map(listed).collect();
    let others = ExtensionsBuilder::new().add("x-attestore-other-routes", others);
    api.extensions.get_or_insert_default().merge(others.build());
}

fn operation<'i>(item: &'i mut PathItem, method: &str) -> Option<&'i mut Operation> {
    match method {
        "GET" => item.get.as_mut(),
        "PUT" => item.put.as_mut(),
        "POST" => item.post.as_mut(),
        "DELETE" => item.delete.as_mut(),
        "PATCH" => item.patch.as_mut(),
        _ => None,
    }
}

/// Every route may refuse a request for what is wrong with it, with its sender, or with the server: in one form.
fn refuses(operation: &mut Operation, row: &Row) {
    let mut also = |status: &str, answer: RefOr<Response>| {
        let all = &mut operation.responses.responses;
        all.entry(status.to_owned()).or_insert(answer);
    };
    if row.entry.tongue == Tongue::Problem && row.entry.need != Need::Public {
        let mut statuses = vec!["400", "401", "403", "429", "503"];
        if row.path.contains('{') {
            statuses.push("404");
        }
        if operation.request_body.is_some() {
            statuses.extend(["408", "413", "415"]);
        }
        for status in statuses {
            also(status, problem());
        }
    }
    for status in ["4XX", "5XX"] {
        also(status, refusal(row.entry.tongue));
    }
}

/// A refusal, which the components hold.
fn problem() -> RefOr<Response> {
    RefOr::Ref(Ref::from_response_name("Problem"))
}

fn refusal(tongue: Tongue) -> RefOr<Response> {
    let answer = ResponseBuilder::new();
    let json = |answer: ResponseBuilder| answer.content("application/json", ContentBuilder::new().build());
    RefOr::T(match tongue {
        Tongue::Problem => return problem(),
        Tongue::Elastic => json(answer.description("As Elasticsearch writes errors")).build(),
        Tongue::Otlp => json(answer.description("google.rpc.Status"))
            .content("application/x-protobuf", ContentBuilder::new().build())
            .build(),
    })
}

fn listed(row: &Row) -> Value {
    json!({
        "method": row.method.as_str(),
        "path": row.path,
        "permission": row.entry.permission_name(),
        "reach": reach(row.entry.reach),
    })
}

fn reach(reach: Reach) -> &'static str {
    match reach {
        Reach::Tenant => "tenant",
        Reach::Instance => "instance",
        Reach::Named => "named",
    }
}

/// Operations that take an empty body for an empty object.
const NEEDS_NO_BODY: [(&str, &str); 12] = [
    ("PUT", "/v1/tenants/{tenant}"),
    ("POST", "/v1/moves"),
    ("PUT", "/v1/tenants/{tenant}/quota"),
    ("POST", "/v1/tenants/{tenant}/purges"),
    ("PUT", "/v1/tenants/{tenant}/index"),
    ("PUT", "/v1/tenants/{tenant}/keys/policy"),
    ("POST", "/v1/tenants/{tenant}/log/keys"),
    ("POST", "/v1/tenants/{tenant}/privacy/proposals"),
    ("POST", "/v1/tenants/{tenant}/search"),
    ("POST", "/v1/tenants/{tenant}/searches/{search}/run"),
    ("POST", "/v1/tenants/{tenant}/credentials/{credential}/rotate"),
    ("POST", "/v1/credentials/{credential}/rotate"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_has_the_same_bytes_each_time() {
        let first = crate::openapi_json();
        assert!(first.contains("x-attestore-permission"));
        for _ in 0..8 {
            assert_eq!(first, crate::openapi_json());
        }
    }
}
