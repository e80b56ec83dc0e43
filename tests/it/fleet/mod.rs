//! Several gateways on one Redis: what one of them does the others' users hear of, and what one leaves undone the others do.
//!
//! The rules of a call are tested elsewhere, and so is each law of the store; here is what only shows between instances.

mod called_back;
mod closing;
mod events;
mod gone;
mod idle;
mod lost;
mod moving;
mod once;
mod orphans;
mod rolling;
mod skew;
mod stopping;
mod stuck;
mod trips;
mod web;

use serde_json::Value;

use crate::support::{Socket, Sse, Stage, bearer};

/// An event stream of either wire form.
enum Stream {
    Sse(Box<Sse>),
    Socket(Box<Socket>),
}

impl Stream {
    /// A user's streams of both wire forms at a gateway, from the snapshot on.
    async fn both<G>(stage: &Stage<G>, user: &str, query: &str) -> [Self; 2] {
        [Self::sse(stage, user, query).await, Self::socket(stage, user, query).await]
    }

    async fn sse<G>(stage: &Stage<G>, user: &str, query: &str) -> Self {
        Self::Sse(Box::new(stage.events(&bearer(user), query).await.0))
    }

    async fn socket<G>(stage: &Stage<G>, user: &str, query: &str) -> Self {
        let mut socket = Socket::of_browser(&stage.http, &bearer(user), query).await;
        assert_eq!(socket.next().await["type"], "snapshot");
        Self::Socket(Box::new(socket))
    }

    async fn next(&mut self) -> Value {
        match self {
            Self::Sse(sse) => sse.next().await,
            Self::Socket(socket) => socket.next().await,
        }
    }

    /// Reads until the gateway closes it, as gateways do.
    async fn end(self) {
        match self {
            Self::Sse(mut sse) => {
                while sse.read().await.is_some() {}
                assert!(sse.told_to_come_back, "it broke off");
            }
            Self::Socket(mut socket) => assert_eq!(socket.closed().await, 1012),
        }
    }

    /// Reads until a call has ended, and gives the types of its events, which must come without a gap and once.
    async fn story(&mut self, call: &Value) -> Vec<String> {
        let mut story = Vec::new();
        while story.last().is_none_or(|last| last != "call.ended") {
            let event = self.next().await;
            if event["call_id"] == *call {
                story.push(event["type"].as_str().expect("a type").to_owned());
                assert_eq!(event["seq"], story.len(), "after {story:?}");
            }
        }
        story
    }
}
