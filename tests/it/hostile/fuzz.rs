//! Random bodies to every route that takes one: whatever comes, the gateway does not fail.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::{BoxedStrategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use super::route::{self, Route};
use super::world::{World, expect_problem};
use crate::support::{Http, panics};

/// Bodies tried on each route, of each kind.
const TRIES: usize = 40;

/// Any JSON, not too large.
fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop_oneof![Just("bob"), Just("iphone-1"), Just("audio"), Just("ios"), Just("busy")].prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    });
    nested.boxed()
}

/// An object of the route's own fields, or of most of them, each with any value or the good one.
fn of_its_fields(route: &Route) -> BoxedStrategy<Value> {
    let good = route.body.clone().unwrap_or(json!({}));
    let fields = route.schema["properties"].as_object().cloned().unwrap_or_default();
    let one = move |(name, _): (String, Value)| {
        let right = good.get(&name).cloned().unwrap_or(Value::Null);
        prop_oneof![3 => Just(Some(right)), 2 => any_json().prop_map(Some), 1 => Just(None)]
            .prop_map(move |value| Some((name.clone(), value?)))
    };
    let fields: Vec<_> = fields.into_iter().map(one).collect();
    fields.prop_map(|fields| Value::from(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

#[tokio::test]
async fn no_body_makes_the_gateway_fail() {
    let world = World::new().await;
    let mut runner = TestRunner::deterministic();
    for route in route::with_body(&world).await {
        let bytes = any::<Vec<u8>>().boxed();
        let text = any_json().prop_map(|value| value.to_string().into_bytes()).boxed();
        let fields = of_its_fields(&route).prop_map(|value| value.to_string().into_bytes()).boxed();
        for strategy in [bytes, text, fields] {
            for _ in 0..TRIES {
                let body = strategy.new_tree(&mut runner).expect("a body").current();
                send(&world, &route, body).await;
            }
        }
    }
    assert_eq!(world.stage.http.get("/readyz", "").await.status, 200);
    assert_eq!(panics::count(), 0);
}

async fn send(world: &World, route: &Route, body: Vec<u8>) {
    let what = format!("{} with {:?}", route.name(), String::from_utf8_lossy(&body));
    let request = route.request(&world.stage.http).bearer_auth(&route.token).header("content-type", "application/json");
    let reply = Http::send(request.body(body)).await;
    assert!(reply.status < 500, "{what}: {}", reply.text);
    if reply.status >= 400 {
        expect_problem(&reply, &what);
    }
}
