//! The description of the API: it is whole, its references lead somewhere, and it says who may do what.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Map, Value};

use crate::support::{Http, Stage};

/// Every route of design; a route that is missing here, or there, is a visible difference.
const ROUTES: &[&str] = &[
    "delete /v1/bans/{user}",
    "delete /v1/blocks/{user}",
    "delete /v1/calls/{id}/recording",
    "delete /v1/devices/{device_id}",
    "delete /v1/users/{user}/contacts/{peer}",
    "get /docs",
    "get /livez",
    "get /openapi.json",
    "get /readyz",
    "get /v1/bans",
    "get /v1/bans/{user}",
    "get /v1/blocks",
    "get /v1/blocks/{user}",
    "get /v1/calls",
    "get /v1/calls/{id}",
    "get /v1/calls/{id}/explain",
    "get /v1/calls/{id}/recording",
    "get /v1/devices",
    "get /v1/events",
    "delete /v1/users/{user}",
    "get /v1/usage",
    "get /v1/users/{user}/contacts",
    "get /v1/users/{user}/contacts/{peer}",
    "post /v1/calls",
    "post /v1/calls/{id}/alerting",
    "post /v1/calls/{id}/answer",
    "post /v1/calls/{id}/cancel",
    "post /v1/calls/{id}/decline",
    "post /v1/calls/{id}/hangup",
    "post /v1/calls/{id}/recording",
    "post /v1/calls/{id}/token",
    "post /v1/livekit/webhook",
    "put /v1/bans/{user}",
    "put /v1/blocks/{user}",
    "put /v1/devices/{device_id}",
    "put /v1/users/{user}/contacts",
    "put /v1/users/{user}/contacts/{peer}",
];

fn document() -> Value {
    serde_json::from_str(&bellwire::http::openapi_json()).expect("JSON")
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

/// Every operation, with its method and path.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = object(&document["paths"]).iter();
    paths.flat_map(|(path, item)| {
        object(item).iter().map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

fn is_public(operation: &Value) -> bool {
    operation.get("security").is_some_and(|security| *security == serde_json::json!([{}]))
}

#[tokio::test]
async fn it_is_served_and_printed_alike() {
    let stage = Stage::new().await;
    let reply = Http::send(stage.http.request(Method::GET, "/openapi.json")).await;
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.expect(200), document());
}

#[test]
fn it_has_every_route_and_no_other() {
    let document = document();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let found: BTreeSet<String> = operations(&document).map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(found, ROUTES.iter().map(|route| (*route).to_owned()).collect());
}

#[test]
fn every_reference_leads_to_something_and_everything_is_referred_to() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').expect("a reference within");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for name in object(&document["components"]["schemas"]).keys() {
        // The stream's first message stands in no answer of its own.
        let reference = format!("#/components/schemas/{name}");
        assert!(found.contains(&reference), "{name} is described and used nowhere");
    }
}

#[test]
fn every_operation_says_what_the_standard_asks_for() {
    let document = document();
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let here = format!("{method} {path}");
        let name = operation["operationId"].as_str().expect("an operation id");
        assert!(names.insert(name.to_owned()), "{here}: {name} is taken");
        assert!(operation["summary"].is_string() || operation["description"].is_string(), "{here}");
        for (status, response) in object(&operation["responses"]) {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{here} {status}");
            if status.starts_with(['4', '5']) && status.ends_with("XX") {
                let types: Vec<&String> = object(&response["content"]).keys().collect();
                assert_eq!(types, ["application/problem+json"], "{here}");
            }
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let described = parameters.iter().filter(|parameter| parameter["in"] == "path");
        let described: BTreeSet<&str> =
            described.map(|parameter| parameter["name"].as_str().expect("a name")).collect();
        assert_eq!(described, in_path, "{here}");
        for parameter in &parameters {
            assert_eq!(parameter["required"] == true, parameter["in"] == "path", "{here}: {parameter}");
        }
    }
}

#[tokio::test]
async fn what_it_calls_protected_is_and_what_it_calls_public_is_not() {
    let stage = Stage::new().await;
    let document = document();
    let schemes = object(&document["components"]["securitySchemes"]);
    assert_eq!((&schemes["bearer"]["type"], &schemes["bearer"]["scheme"]), (&"http".into(), &"bearer".into()));
    assert_eq!(document["security"], serde_json::json!([{"bearer": []}]), "for every route that says nothing else");
    for (method, path, operation) in operations(&document) {
        let real = path.replace("{id}", &stage.clock.call_id().to_string()).replace(['{', '}'], "");
        let request = stage.http.request(method.to_uppercase().parse().expect("a method"), &real);
        let reply = Http::send(request.header("accept", "text/event-stream")).await;
        if is_public(operation) {
            assert_eq!(reply.status, 200, "{method} {path}");
        } else {
            reply.expect_problem(401, "token-missing");
        }
    }
}

#[tokio::test]
async fn the_page_that_shows_it_asks_nobody_else() {
    let stage = Stage::new().await;
    let reply = Http::send(stage.http.request(Method::GET, "/docs")).await;
    assert_eq!(
        (reply.status, reply.headers["content-type"].to_str().expect("text")),
        (200, "text/html; charset=utf-8")
    );
    assert!(reply.text.starts_with("<!doctype html>"));
    for outside in ["http://", "https://", "src=", "@import", "url(", "//cdn"] {
        assert!(!reply.text.contains(outside), "{outside}");
    }
    assert!(reply.text.contains("/openapi.json"));
}
