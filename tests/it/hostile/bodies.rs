//! Bodies that are no JSON, not this JSON, or not all there.

use reqwest::Method;
use serde_json::{Value, json};

use super::raw::{self, Raw};
use super::route::{self, Route};
use super::world::World;
use crate::support::{Http, Reply, SERVICE_KEY};

const JSON: &str = "application/json";

async fn send(world: &World, route: &Route, content_type: Option<&str>, body: Vec<u8>) -> Reply {
    let mut request = route.request(&world.stage.http).bearer_auth(&route.token).body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    Http::send(request).await
}

#[tokio::test]
async fn the_largest_bodies_that_a_configuration_allows_are_read_one_after_another_and_at_once() {
    const MOST: usize = 1 << 20;
    let world = World::with(&format!("[limits]\nbody_bytes = {MOST}")).await;
    let path = "/v1/users/dave/contacts/carol";
    let put = |http: &Http| {
        let body = format!("{{{}}}", " ".repeat(MOST - 2));
        let request = http.request(Method::PUT, path).bearer_auth(SERVICE_KEY).header("content-type", JSON);
        Http::try_send(request.body(body))
    };
    for _ in 0..3 {
        assert_eq!(put(&world.stage.http).await.expect("an answer").status, 204);
    }
    let http2 = world.stage.http.http2();
    for reply in futures_util::future::join_all((0..10).map(|_| put(&http2))).await {
        assert_eq!(reply.expect("an answer").status, 204);
    }
}

#[tokio::test]
async fn what_is_no_json_is_refused_everywhere() {
    let world = World::new().await;
    let before = world.state().await;
    let deep = |open: &str, times: usize| open.repeat(times).into_bytes();
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("a text", b"callee=bob".to_vec(), &["bad-json"]),
        ("half an object", br#"{"callee": "bo"#.to_vec(), &["bad-json"]),
        ("white space", b" \n\t ".to_vec(), &["bad-json"]),
        ("a BOM", b"\xef\xbb\xbf{}".to_vec(), &["bad-json"]),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec(), &["bad-json"]),
        ("invalid UTF-8 in a name", b"{\"\xff\xfe\": 1}".to_vec(), &["bad-json"]),
        ("a NUL", b"{}\0".to_vec(), &["bad-json"]),
        ("a single quote", b"{'callee': 'bob'}".to_vec(), &["bad-json"]),
        ("a comma too many", br#"{"surprise": 1,}"#.to_vec(), &["bad-json"]),
        ("not a number", br#"{"surprise": NaN}"#.to_vec(), &["bad-json"]),
        ("10,000 arrays", deep("[", 10_000), &["bad-json"]),
        ("10,000 in an object", [b"{\"metadata\":".to_vec(), deep("[", 10_000)].concat(), &["bad-json"]),
        ("objects without end", deep("{\"a\":", 3_000), &["bad-json"]),
        (
            "deep metadata",
            [b"{\"metadata\":".to_vec(), deep("[", 5_000), deep("]", 5_000), b"}".to_vec()].concat(),
            &["invalid-field"],
        ),
        ("200,000 arrays", deep("[", 200_000), &["body-too-large"]),
        ("a byte too many", vec![b' '; 16 * 1024 + 1], &["body-too-large"]),
        ("null", b"null".to_vec(), &["invalid-field"]),
        ("an array", b"[]".to_vec(), &["invalid-field"]),
        ("an array of fields", br#"["bob", "audio", null, null, null, null]"#.to_vec(), &["invalid-field"]),
        ("a string", br#""bob""#.to_vec(), &["invalid-field"]),
        ("a number", b"42".to_vec(), &["invalid-field"]),
        ("a truth", b"true".to_vec(), &["invalid-field"]),
    ];
    for route in route::with_body(&world).await {
        for (what, body, codes) in &cases {
            let reply = send(&world, &route, Some(JSON), body.clone()).await;
            world.expect_code(&reply, &format!("{} with {what}", route.name()), codes);
        }
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn what_follows_a_good_body_is_refused() {
    let world = World::new().await;
    let before = world.state().await;
    for route in route::with_body(&world).await {
        let good = route.body.clone().expect("a body");
        for rest in ["x", "{}", "]", "\0", ",", "null"] {
            let reply = send(&world, &route, Some(JSON), format!("{good}{rest}").into_bytes()).await;
            world.expect_code(&reply, &format!("{} and then {rest:?}", route.name()), &["bad-json"]);
        }
        let Some((name, value)) = good.as_object().and_then(|fields| fields.iter().next()) else { continue };
        let twice = format!("{{{name:?}: {value}, {name:?}: {value}}}");
        let reply = send(&world, &route, Some(JSON), twice.into_bytes()).await;
        world.expect_code(&reply, &format!("{} with {name} twice", route.name()), &["invalid-field"]);
        assert_eq!(reply.json["errors"][0]["pointer"], format!("/{name}"), "{}", reply.text);
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_field_that_nobody_knows_is_named() {
    let world = World::new().await;
    let before = world.state().await;
    for route in route::with_body(&world).await {
        for (name, pointer) in
            [("surprise", "/surprise"), ("a/b~c", "/a~1b~0c"), ("", "/"), ("__proto__", "/__proto__")]
        {
            let mut body = route.body.clone().expect("a body");
            body[name] = json!(1);
            let reply = send(&world, &route, Some(JSON), body.to_string().into_bytes()).await;
            world.expect_code(&reply, &route.name(), &["invalid-field"]);
            assert_eq!(reply.json["errors"][0]["pointer"], pointer, "{}: {}", route.name(), reply.text);
        }
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn each_field_has_one_type_and_refuses_the_others() {
    let world = World::new().await;
    let before = world.state().await;
    // What a wrong value says may be a token in the wrong place, so it is not said back.
    let marker = "do-not-say-this-back ".repeat(400);
    let wrong: Vec<Value> = vec![
        json!(true),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!([]),
        json!({}),
        json!(""),
        json!([["x"]]),
        json!({"x": {"y": null}}),
        json!("\u{0}"),
        json!("line\nline"),
        json!("bob\u{202e}"),
        json!(marker.clone()),
    ];
    for route in route::with_body(&world).await {
        let good = route.body.clone().expect("a body");
        for (field, schema) in route.schema["properties"].as_object().into_iter().flatten() {
            let required = route.schema["required"].as_array().is_some_and(|all| all.contains(&json!(field)));
            let none = required.then_some(Value::Null);
            for value in wrong.iter().chain(&none).filter(|value| !may_be(field, schema, value)) {
                let mut body = good.clone();
                body[field] = value.clone();
                let what = format!("{} with {field} = {:.40}", route.name(), value.to_string());
                let reply = send(&world, &route, Some(JSON), body.to_string().into_bytes()).await;
                world.expect_code(&reply, &what, &["invalid-field"]);
                let pointer = reply.json["errors"][0]["pointer"].as_str().expect("a pointer");
                assert!(pointer.starts_with(&format!("/{field}")), "{what}: {}", reply.text);
                assert!(!reply.text.contains("do-not-say"), "{what}: {}", reply.text);
            }
            if required {
                let mut body = good.clone();
                body.as_object_mut().expect("an object").remove(field);
                let reply = send(&world, &route, Some(JSON), body.to_string().into_bytes()).await;
                world.expect_code(&reply, &format!("{} without {field}", route.name()), &["invalid-field"]);
                assert_eq!(reply.json["errors"][0]["pointer"], format!("/{field}"), "{}", reply.text);
            }
        }
    }
    assert_eq!(world.state().await, before);
}

/// Whether the value is one that the field takes: a truth for a truth, an empty list for a list, anything small for metadata.
fn may_be(field: &str, schema: &Value, value: &Value) -> bool {
    let kind = schema["type"].to_string();
    match value {
        _ if field == "metadata" => value.to_string().len() <= 2048,
        Value::Bool(_) => kind.contains("boolean"),
        Value::Array(items) if items.is_empty() => kind.contains("array"),
        _ => false,
    }
}

#[tokio::test]
async fn a_body_is_called_json_or_it_is_refused() {
    let world = World::new().await;
    let before = world.state().await;
    let types = [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/jsonp"),
        Some("json"),
        Some(""),
        Some("text/json; application/json"),
        Some("application/xml"),
    ];
    for route in route::with_body(&world).await {
        let body = route.body.as_ref().expect("a body").to_string();
        for content_type in types {
            let reply = send(&world, &route, content_type, body.clone().into_bytes()).await;
            let what = format!("{} as {content_type:?}", route.name());
            world.expect_code(&reply, &what, &["unsupported-media-type"]);
        }
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_large_body_is_refused_however_it_is_sent() {
    let world = World::new().await;
    let before = world.state().await;
    let megabyte = vec![b'x'; 1 << 20];
    for route in route::with_body(&world).await {
        let authorization = format!("Bearer {}", route.token);
        let headers = [("authorization", authorization.as_str()), ("content-type", JSON)];
        let line = format!("{} {}", route.method, route.path);
        let with_length = [headers.as_slice(), &[("content-length", "1048576")]].concat();
        let reply = raw::send(&world.stage, raw::request(&line, &with_length, &megabyte)).await;
        world.expect_code(&reply, &route.name(), &["body-too-large"]);

        let chunked = [headers.as_slice(), &[("transfer-encoding", "chunked")]].concat();
        let mut raw = Raw::open(&world.stage).await;
        raw.write(raw::request(&line, &chunked, b"100000\r\n")).await;
        raw.write(&megabyte).await;
        world.expect_code(&raw.reply().await, &route.name(), &["body-too-large"]);
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_body_that_is_not_all_there_is_refused() {
    let world = World::new().await;
    let before = world.state().await;
    for route in route::with_body(&world).await {
        let authorization = format!("Bearer {}", route.token);
        let headers = [("authorization", authorization.as_str()), ("content-type", JSON)];
        let line = format!("{} {}", route.method, route.path);
        let body = route.body.as_ref().expect("a body").to_string();
        let half_of = (body.len() * 2).to_string();
        for (framing, sent) in [
            (("content-length", half_of.as_str()), body.clone()),
            (("transfer-encoding", "chunked"), format!("{:x}\r\n{body}\r\n", body.len())),
            (("transfer-encoding", "chunked"), format!("zz\r\n{body}\r\n0\r\n\r\n")),
        ] {
            let all = [headers.as_slice(), &[framing]].concat();
            let mut raw = Raw::open(&world.stage).await;
            raw.write(raw::request(&line, &all, sent.as_bytes())).await;
            raw.end().await;
            world.expect_code(&raw.reply().await, &format!("{} {framing:?}", route.name()), &["bad-json"]);
        }
    }
    assert_eq!(world.state().await, before);
}
