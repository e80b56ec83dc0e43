//! The way to the servers that commands share: which one is asked, and how often, until it answers or the command's time is up.
//!
//! A command is tried again while it has time, which it may be: each one changes nothing the second time (a commit knows itself
//! again by its number). What is refused for good is told at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Arg, Cmd, RedisError, RedisResult, Value};
use tokio::time::{sleep, timeout};

use super::client::{Client, Place};
use super::cluster::{Cluster, Redirect};
use super::keys;
use super::script::Script;
use super::verdict::{Verdict, in_words};
use super::wire::{Live, Request, Wire};
use crate::clock::Clock;
use crate::config::store::Topology;
use crate::store::StoreError;

/// The first pause before a command is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How often a cluster's nodes may send a command on before it waits.
const REDIRECTS_AT_ONCE: usize = 3;

/// The way to the servers. Clones share it.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    servers: Servers,
    clock: Clock,
    timeout: Duration,
}

enum Servers {
    One(Wire),
    Cluster(Cluster),
}

/// What became of a request so far.
#[derive(Default)]
struct Course {
    /// Where it is to be sent, or was.
    wire: Option<Wire>,
    /// The connection that it was sent on, when, and what had been heard there before.
    sent: Option<(Live, Instant, u64)>,
    /// The last error.
    met: Option<RedisError>,
    /// Whether a try may have been carried out although no answer came.
    is_unsure: bool,
}

impl Link {
    /// Connects.
    pub(super) async fn open(client: &Arc<Client>, clock: Clock, timeout: Duration) -> RedisResult<Self> {
        let servers = if client.target().topology == Topology::Cluster {
            Servers::Cluster(Cluster::open(client, clock.clone()).await?)
        } else {
            let connection = client.connect(&Place::Named, None).await?;
            Servers::One(Wire::by(Arc::clone(client), Place::Named, clock.clone(), connection))
        };
        Ok(Self(Arc::new(Inner { servers, clock, timeout })))
    }

    /// The answer to a command.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.request(key_of(command), Request::Command(command)).await.map(|(answer, _)| answer)
    }

    /// The answer of the server that has a key to a command without one.
    pub(super) async fn ask_beside(&self, key: &str, command: &Cmd) -> Result<Value, StoreError> {
        self.request(Some(key.as_bytes()), Request::Command(command)).await.map(|(answer, _)| answer)
    }

    /// The answers to commands on keys of one partition.
    pub(super) async fn ask_all(&self, commands: &[Cmd]) -> Result<Value, StoreError> {
        self.request(commands.first().and_then(key_of), Request::All(commands)).await.map(|(answers, _)| answers)
    }

    /// The answer to a call of a script.
    pub(super) async fn run(&self, script: &Script, call: &Cmd) -> Result<Value, StoreError> {
        self.run_noting(script, call).await.map(|(answer, _)| answer)
    }

    /// The answer to a call of a script, and whether an earlier try of it may have been carried out.
    pub(super) async fn run_noting(&self, script: &Script, call: &Cmd) -> Result<(Value, bool), StoreError> {
        self.request(key_of(call), Request::Script(script, call)).await
    }

    /// Whether the servers are a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.0.servers, Servers::Cluster(_))
    }

    /// Which server has a key, as far as that is known.
    pub(super) fn place_of(&self, key: &str) -> Option<Place> {
        match &self.0.servers {
            Servers::One(wire) => Some(wire.place().clone()),
            Servers::Cluster(cluster) => cluster.place_of(keys::slot_of(key.as_bytes())),
        }
    }

    /// Finds out again which server has what.
    pub(super) fn look_again(&self) {
        if let Servers::Cluster(cluster) = &self.0.servers {
            cluster.look_again();
        }
    }

    async fn request(&self, key: Option<&[u8]>, request: Request<'_>) -> Result<(Value, bool), StoreError> {
        let mut course = Course::default();
        match timeout(self.0.timeout, self.until_answered(key, request, &mut course)).await {
            Ok(Ok(answer)) => Ok((answer, course.is_unsure)),
            Ok(Err(error)) => Err(StoreError::Unavailable(in_words(&error))),
            Err(_) => {
                self.look_again();
                course.give_up_what_is_silent(self.0.timeout);
                Err(StoreError::Unavailable(format!("{}, after {} ms", course.trouble(), self.0.timeout.as_millis())))
            }
        }
    }

    async fn until_answered(
        &self,
        key: Option<&[u8]>,
        request: Request<'_>,
        course: &mut Course,
    ) -> RedisResult<Value> {
        let (mut pause, mut redirects, mut redirect) = (FIRST_PAUSE, 0, None);
        loop {
            let asking = matches!(redirect, Some(Redirect::Ask(_)));
            let wire = self.wire(key, redirect.take());
            (course.wire, course.sent) = (Some(wire.clone()), None);
            let mut live = wire.live().await;
            course.sent = Some((live.clone(), Instant::now(), live.heard()));
            let error = match live.send(request, asking).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match Verdict::of(&error) {
                Verdict::Refused => return Err(error),
                Verdict::Wait => self.look_again(),
                Verdict::Broken => {
                    course.is_unsure = true;
                    wire.give_up(&live);
                    self.look_again();
                }
                Verdict::Demoted => match &self.0.servers {
                    // The next connection leads to the new master, or to this one when it is one again.
                    Servers::One(_) => wire.give_up(&live),
                    Servers::Cluster(cluster) => cluster.look_again(),
                },
                Verdict::Elsewhere => {
                    let (Servers::Cluster(cluster), Some(place)) = (&self.0.servers, Redirect::of(&error)) else {
                        return Err(error);
                    };
                    redirect = Some(cluster.follow(place, &wire));
                    redirects += 1;
                }
            }
            course.met = Some(error);
            if redirect.is_none() || redirects > REDIRECTS_AT_ONCE {
                sleep(self.0.clock.jitter(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    fn wire(&self, key: Option<&[u8]>, redirect: Option<Redirect>) -> Wire {
        match (&self.0.servers, redirect) {
            (Servers::One(wire), _) => wire.clone(),
            (Servers::Cluster(cluster), Some(Redirect::Ask(node) | Redirect::Moved(_, node))) => cluster.wire_to(&node),
            (Servers::Cluster(cluster), None) => cluster.wire(key.map(keys::slot_of)),
        }
    }
}

impl Course {
    /// A connection may be half open: the other side is gone and nobody has said so. But one that answers others is good, and one that
    /// was made a moment ago has had no time.
    fn give_up_what_is_silent(&self, timeout: Duration) {
        if let (Some(wire), Some((live, at, heard))) = (&self.wire, &self.sent)
            && at.elapsed() >= timeout * 9 / 10
            && live.heard() == *heard
        {
            wire.give_up(live);
        }
    }

    /// Why there is no answer.
    fn trouble(&self) -> String {
        let met = self.met.as_ref().map(in_words);
        let trouble = self.wire.as_ref().and_then(Wire::trouble);
        met.or(trouble).unwrap_or_else(|| "no answer".to_owned())
    }
}

/// The key of a command that has one, the first if it has more.
pub(super) fn key_of(command: &Cmd) -> Option<&[u8]> {
    let mut words = command.args_iter().filter_map(|arg| match arg {
        Arg::Simple(word) => Some(word),
        _ => None,
    });
    match words.next()? {
        b"EVALSHA" | b"EVAL" => words.nth(2),
        _ => words.next(),
    }
}

#[cfg(test)]
mod tests {
    use redis::cmd;

    use super::super::script::COMMIT;
    use super::*;

    #[test]
    fn a_command_goes_where_its_first_key_is() {
        assert_eq!(key_of(cmd("GET").arg("k")), Some(&b"k"[..]));
        assert_eq!(key_of(COMMIT.on(&["k", "l"]).arg("m")), Some(&b"k"[..]));
        assert_eq!(key_of(&COMMIT.with_source(&COMMIT.on(&["k"]))), Some(&b"k"[..]));
        assert_eq!(key_of(&cmd("INFO")), None);
    }
}
