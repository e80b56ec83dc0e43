//! The nodes of a cluster: which one has which slot, and the wire to each.
//!
//! A node that is gone stops nobody who needs the others. What is known is corrected by what nodes say on the way, and read anew
//! whenever something does not fit.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use futures_util::future::{join_all, select_ok};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Value, cmd};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::client::{Client, Place};
use super::keys;
use super::wire::{Request, Wire};
use crate::clock::Clock;
use crate::config::store::Node;

/// How long nodes may take to say which has what, when others have said so.
const LOOK_WITHIN: Duration = Duration::from_millis(500);
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Which node has each slot that is used.
type Owners = HashMap<u16, Node>;

/// A cluster.
pub(super) struct Cluster(Arc<Inner>);

struct Inner {
    client: Arc<Client>,
    clock: Clock,
    view: RwLock<View>,
    again: Arc<Notify>,
}

struct View {
    owners: Owners,
    /// To every node that is known, those of the configuration among them.
    wires: HashMap<Node, Wire>,
}

/// Where a node sent a command.
pub(super) enum Redirect {
    /// To the one that has the slot from now on.
    Moved(u16, Node),
    /// To the one that has this key, while the slot is on its way there.
    Ask(Node),
}

impl Cluster {
    /// Asks the nodes of the configuration, and the first that answers counts.
    pub(super) async fn open(client: &Arc<Client>, clock: Clock) -> RedisResult<Self> {
        let nodes = &client.target().nodes;
        let asking = nodes.iter().map(|node| {
            Box::pin(async move {
                let mut connection = client.connect(&Place::Node(node.clone()), None).await?;
                ask_owners(&mut connection, node).await
            })
        });
        let (owners, _) = select_ok(asking).await?;
        let view = View { owners: HashMap::new(), wires: HashMap::new() };
        let inner = Inner { client: Arc::clone(client), clock, view: RwLock::new(view), again: Arc::default() };
        inner.adopt(owners);
        let inner = Arc::new(inner);
        tokio::spawn(look_when_asked(Arc::downgrade(&inner), Arc::clone(&inner.again)));
        Ok(Self(inner))
    }

    /// The wire to the node that has a slot; to any, if that is not known: it will say.
    pub(super) fn wire(&self, slot: Option<u16>) -> Wire {
        let view = self.0.read();
        let owner = slot.and_then(|slot| view.owners.get(&slot)).and_then(|owner| view.wires.get(owner));
        if let Some(wire) = owner.or_else(|| view.wires.values().next()) {
            return wire.clone();
        }
        drop(view);
        self.look_again();
        self.wire_to(&self.0.client.target().nodes[0])
    }

    /// The wire to a node.
    pub(super) fn wire_to(&self, node: &Node) -> Wire {
        if let Some(wire) = self.0.read().wires.get(node) {
            return wire.clone();
        }
        self.0.write().wires.entry(node.clone()).or_insert_with(|| self.0.wire(node)).clone()
    }

    /// The node that has a slot, if that is known.
    pub(super) fn place_of(&self, slot: u16) -> Option<Place> {
        self.0.read().owners.get(&slot).cloned().map(Place::Node)
    }

    /// Takes note of where a node sent a command, with the name of the node where it left that out.
    pub(super) fn follow(&self, redirect: Redirect, from: &Wire) -> Redirect {
        let named = |node: Node| match from.place() {
            Place::Node(from) if node.host.is_empty() => Node { host: from.host.clone(), port: node.port },
            _ => node,
        };
        match redirect {
            Redirect::Ask(node) => Redirect::Ask(named(node)),
            Redirect::Moved(slot, node) => {
                let node = named(node);
                self.0.write().owners.insert(slot, node.clone());
                self.look_again();
                Redirect::Moved(slot, node)
            }
        }
    }

    /// Has the nodes asked again which has what.
    pub(super) fn look_again(&self) {
        self.0.again.notify_one();
    }
}

impl Inner {
    fn read(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn wire(&self, node: &Node) -> Wire {
        Wire::new(Arc::clone(&self.client), Place::Node(node.clone()), self.clock.clone())
    }

    /// Takes this for the truth. Nodes that are no part of it are let go, but for those of the configuration.
    fn adopt(&self, owners: Owners) {
        let mut view = self.write();
        let named = &self.client.target().nodes;
        view.wires.retain(|node, _| named.contains(node) || owners.values().any(|owner| owner == node));
        for node in named.iter().chain(owners.values()) {
            if !view.wires.contains_key(node) {
                view.wires.insert(node.clone(), self.wire(node));
            }
        }
        view.owners = owners;
    }

    /// Asks every node; what most of them say is taken for the truth, since one that is cut off knows nothing new.
    async fn look(&self) {
        let wires: Vec<Wire> = self.read().wires.values().cloned().collect();
        let asking = wires.iter().map(async |wire| {
            let Place::Node(node) = wire.place() else { return None };
            let answer = timeout(LOOK_WITHIN, async {
                wire.live().await.send(Request::Command(cmd("CLUSTER").arg("SLOTS")), false).await
            });
            answer.await.ok()?.ok().map(|slots| owners(slots, node))
        });
        let views: Vec<Owners> = join_all(asking).await.into_iter().flatten().filter(|view| !view.is_empty()).collect();
        let votes = |view: &&Owners| views.iter().filter(|other| other == view).count();
        if let Some(view) = views.iter().max_by_key(votes) {
            self.adopt(view.clone());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.again.notify_one();
    }
}

async fn look_when_asked(cluster: Weak<Inner>, again: Arc<Notify>) {
    loop {
        again.notified().await;
        let Some(inner) = cluster.upgrade() else { return };
        inner.look().await;
        drop(inner);
        sleep(LOOK_EVERY).await;
    }
}

async fn ask_owners(connection: &mut MultiplexedConnection, node: &Node) -> RedisResult<Owners> {
    Ok(owners(cmd("CLUSTER").arg("SLOTS").query_async(connection).await?, node))
}

/// Which node has each slot that is used, in the answer of a node to `CLUSTER SLOTS`
/// (<https://redis.io/docs/latest/commands/cluster-slots/>).
fn owners(slots: Value, asked: &Node) -> Owners {
    let Value::Array(ranges) = slots else { return Owners::new() };
    let ranges: Vec<(i64, i64, Node)> = ranges.iter().filter_map(|range| read_range(range, asked)).collect();
    let owner = |slot: u16| ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&i64::from(slot)));
    keys::slots().filter_map(|slot| Some((slot, owner(slot)?.2.clone()))).collect()
}

/// The first and the last slot of a range, and its master.
fn read_range(range: &Value, asked: &Node) -> Option<(i64, i64, Node)> {
    let Value::Array(range) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..] else { return None };
    let [host, Value::Int(port), ..] = &master[..] else { return None };
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        _ => "",
    };
    // A node that does not know its own name means the one that it was asked by, and "?" that it knows nothing.
    let host = match host {
        "" => asked.host.as_str(),
        "?" => return None,
        host => host,
    };
    Some((*first, *last, Node { host: host.to_owned(), port: u16::try_from(*port).ok()? }))
}

impl Redirect {
    /// Where an error sends the command, if it does. The host may be left out.
    pub(super) fn of(error: &RedisError) -> Option<Self> {
        let errors = error.clone().into_server_errors()?;
        let (_, error) = errors.first()?;
        let (slot, address) = error.details()?.split_once(' ')?;
        let (host, port) = address.split_whitespace().next()?.rsplit_once(':')?;
        let node = Node { host: host.to_owned(), port: port.parse().ok()? };
        match error.code() {
            "MOVED" => Some(Self::Moved(slot.parse().ok()?, node)),
            "ASK" => Some(Self::Ask(node)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    fn node(host: &str, port: u16) -> Node {
        Node { host: host.to_owned(), port }
    }

    #[test]
    fn each_slot_that_is_used_has_the_node_that_the_answer_names() {
        let answer = b"*3\r\n\
            *4\r\n:0\r\n:99\r\n*3\r\n$4\r\n10.1\r\n:7000\r\n$1\r\na\r\n*3\r\n$4\r\n10.9\r\n:7009\r\n$1\r\nr\r\n\
            *3\r\n:100\r\n:8191\r\n*3\r\n$-1\r\n:7001\r\n$1\r\nb\r\n\
            *3\r\n:8192\r\n:16383\r\n*3\r\n$1\r\n?\r\n:7002\r\n$1\r\nc\r\n";
        let owners = owners(parse_redis_value(answer).expect("a value"), &node("asked", 1));
        let mut slots: Vec<u16> = keys::slots().collect();
        slots.sort_unstable();
        assert_eq!(owners[&slots[0]], node("10.1", 7000));
        assert_eq!(owners[&slots[127]], node("asked", 7001), "it does not know its own name");
        assert_eq!(owners.get(&slots[128]), None, "nobody knows where it is");
        assert!(super::owners(Value::Okay, &node("asked", 1)).is_empty());
    }

    #[test]
    fn a_redirect_says_where_to_go() {
        let error = |text: &[u8]| parse_redis_value(text).expect("a value").extract_error().expect_err("an error");
        let redirect = |text: &[u8]| Redirect::of(&error(text));
        let Some(Redirect::Moved(3999, to)) = redirect(b"-MOVED 3999 127.0.0.1:6381\r\n") else { panic!("elsewhere") };
        assert_eq!(to, node("127.0.0.1", 6381));
        let Some(Redirect::Ask(to)) = redirect(b"-ASK 3999 2001:db8::1:6381\r\n") else { panic!("elsewhere") };
        assert_eq!(to, node("2001:db8::1", 6381));
        let Some(Redirect::Moved(_, to)) = redirect(b"-MOVED 1 :6381\r\n") else { panic!("elsewhere") };
        assert_eq!(to, node("", 6381));
        assert!(redirect(b"-ERR no\r\n").is_none());
    }
}
