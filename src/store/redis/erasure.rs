//! What is kept of a user, and by their name: which calls, and what is forgotten of them.
//!
//! What is theirs lies in one partition, under keys that end with their name; what others keep of them, on lists or under keys with a hash of
//! their name. It is found by looking through the names of all keys (`SCAN`) once, which no other step does, in slices.

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{Cmd, cmd, from_redis_value};

use super::keys::{Partition, slot_of};
use super::lines::NAMED;
use super::script::CLOSE;
use super::server::one_of_each;
use super::{Redis, unreadable};
use crate::domain::{CallId, DeviceId, Limit, UserId};
use crate::store::{Forgotten, StoreError};

/// How many keys a server looks at in one slice.
const SLICE: usize = 1000;
/// How many commands of one partition are sent together.
const AT_ONCE: usize = 256;
/// How many such groups are under way at a time.
const GROUPS: usize = 8;
/// What the kinds of keys begin with that are looked for.
const KINDS: &str = "[bckmrt]*";

/// What a key keeps of a user, as far as it is forgotten with them and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    Blocks,
    Contacts,
    Missed,
    IdempotencyKey,
    Rate,
    /// When they were told of a caller, or another of them.
    Teller,
    /// Another's list, on which they may stand.
    BlocksOfOther,
    ContactsOfOther,
}

impl Redis {
    pub(super) async fn naming(&self, user: &UserId) -> Result<Vec<CallId>, StoreError> {
        let partition = self.keys.of_user(user);
        let read = |kind| {
            let mut range = cmd("ZRANGE");
            range.arg(partition.key(kind, user.as_str())).arg(0).arg(-1);
            range
        };
        let answer = self.link.ask_all(&[read(NAMED), read("history")]).await?;
        let [named, history]: [Vec<String>; 2] = from_redis_value(answer).map_err(unreadable)?;
        let mut ids: Vec<CallId> = named.iter().chain(&history).filter_map(|id| CallId::parse(id).ok()).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    pub(super) async fn unname(&self, user: &UserId, call: CallId) -> Result<(), StoreError> {
        let partition = self.keys.of_user(user);
        let remove = |kind| {
            let mut remove = cmd("ZREM");
            remove.arg(partition.key(kind, user.as_str())).arg(call.to_string());
            remove
        };
        self.link.ask_all(&[remove(NAMED), remove("history")]).await.map(drop)
    }

    pub(super) async fn erase_user(&self, user: &UserId) -> Result<Forgotten, StoreError> {
        let mut forgotten = Forgotten::default();
        let theirs = self.keys.of_user(user);
        let mut step = CLOSE.on(&[theirs.one("notices"), theirs.one("events")]);
        self.link.run(&CLOSE, step.arg(user.as_str())).await?;
        for device in self.devices_stored(user).await? {
            forgotten.devices += u64::from(self.unregister(user, &device, "").await?);
        }
        let unnamed = ["devices", "attached", "told"].map(|kind| theirs.key(kind, user.as_str()));
        self.on_each(unnamed.to_vec(), delete).await?;
        self.forget_ban(user).await?;
        let servers = one_of_each(&self.link, &self.keys).into_iter().map(|server| self.traces_at(server, user));
        let traces: Vec<(Trace, String)> = try_join_all(servers).await?.into_iter().flatten().collect();
        let all = |wanted: Trace| {
            traces.iter().filter(|(trace, _)| *trace == wanted).map(|(_, key)| key.clone()).collect::<Vec<String>>()
        };
        let take_off = |list: &str| {
            let mut remove = cmd("SREM");
            remove.arg(list).arg(user.as_str());
            remove
        };
        let count = |list: &str| {
            let mut count = cmd("SCARD");
            count.arg(list);
            count
        };
        forgotten.blocks = self.on_each(all(Trace::Blocks), count).await?;
        forgotten.contacts = self.on_each(all(Trace::Contacts), count).await?;
        for kind in [Trace::Blocks, Trace::Contacts, Trace::Teller] {
            self.on_each(all(kind), delete).await?;
        }
        forgotten.blocked_by = self.on_each(all(Trace::BlocksOfOther), take_off).await?;
        forgotten.contacts += self.on_each(all(Trace::ContactsOfOther), take_off).await?;
        forgotten.missed = self.on_each(all(Trace::Missed), delete).await?;
        forgotten.idempotency_keys = self.on_each(all(Trace::IdempotencyKey), delete).await?;
        forgotten.rates = self.on_each(all(Trace::Rate), delete).await?;
        Ok(forgotten)
    }

    async fn devices_stored(&self, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
        let key = self.keys.of_user(user).key("devices", user.as_str());
        let ids: Vec<String> = from_redis_value(self.link.ask(cmd("HKEYS").arg(key)).await?).map_err(unreadable)?;
        Ok(ids.into_iter().filter_map(|id| DeviceId::new(id).ok()).collect())
    }

    /// What the server that a partition is on keeps of a user. It may name a key twice.
    async fn traces_at(&self, server: Partition<'_>, user: &UserId) -> Result<Vec<(Trace, String)>, StoreError> {
        let (prefix, theirs) = (format!("{}:{{", self.keys.prefix()), self.keys.of_user(user).one(""));
        let (pattern, beside) = (format!("{}*}}:{KINDS}", escape(&prefix)), server.one("scan"));
        let hash = Partition::hash_of(user.as_str());
        let (mut traces, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let (next, found) = self.slice(&beside, &pattern, &cursor).await?;
            traces.extend(found.into_iter().filter_map(|key| {
                let own = key.strip_prefix(&theirs).and_then(|rest| own_trace(rest, user.as_str()));
                let other = || key.strip_prefix(&prefix)?.split_once("}:").and_then(|(_, rest)| trace(rest, &hash));
                Some((own.or_else(other)?, key))
            }));
            if next == "0" {
                return Ok(traces);
            }
            cursor = next;
        }
    }

    /// The next slice of the names of keys at the server that has a key: where the one after it begins, and which match.
    pub(super) async fn slice(
        &self,
        beside: &str,
        pattern: &str,
        cursor: &str,
    ) -> Result<(String, Vec<String>), StoreError> {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SLICE);
        from_redis_value(self.link.ask_beside(beside, &scan).await?).map_err(unreadable)
    }

    /// The sum of the answers to a command on each of these keys. Those of a partition are sent together.
    pub(super) async fn on_each(
        &self,
        mut keys: Vec<String>,
        command: impl Fn(&str) -> Cmd,
    ) -> Result<u64, StoreError> {
        keys.sort_unstable();
        keys.dedup();
        let of_one = keys.chunk_by(|key, next| slot_of(key.as_bytes()) == slot_of(next.as_bytes()));
        let groups = of_one.flat_map(|keys| keys.chunks(AT_ONCE));
        let groups: Vec<Vec<Cmd>> = groups.map(|keys| keys.iter().map(|key| command(key)).collect()).collect();
        let sums = groups.into_iter().map(|commands| self.sum(commands));
        stream::iter(sums).buffer_unordered(GROUPS).try_fold(0, async |sum, more| Ok(sum + more)).await
    }

    /// The sum of the answers to commands on keys of one partition.
    async fn sum(&self, commands: Vec<Cmd>) -> Result<u64, StoreError> {
        let answers: Vec<u64> = from_redis_value(self.link.ask_all(&commands).await?).map_err(unreadable)?;
        Ok(answers.into_iter().sum())
    }
}

pub(super) fn delete(key: &str) -> Cmd {
    let mut delete = cmd("DEL");
    delete.arg(key);
    delete
}

/// What a key of a user's own partition keeps of them, after the partition's part of its name; nothing if it is of another user, whose name may
/// end alike.
fn own_trace(key: &str, user: &str) -> Option<Trace> {
    let kind = key.strip_suffix(user)?.strip_suffix(':')?;
    let is_hash = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = kind.split(':').collect();
    match parts[..] {
        ["blocks"] => Some(Trace::Blocks),
        ["contacts"] => Some(Trace::Contacts),
        ["missed", hash] if is_hash(hash) => Some(Trace::Missed),
        ["teller", hash] if is_hash(hash) => Some(Trace::Teller),
        ["key", hash] if is_hash(hash) => Some(Trace::IdempotencyKey),
        ["rate", _] => Some(Trace::Rate),
        ["rate", _, hash] if is_hash(hash) => Some(Trace::Rate),
        _ => None,
    }
}

/// What a key keeps of a user whose name has this hash, after the partition's part of its name.
fn trace(key: &str, hash: &str) -> Option<Trace> {
    let (kind, rest) = key.split_once(':')?;
    let names = |rest: &str| rest.strip_prefix(hash).is_some_and(|rest| rest.starts_with(':'));
    match kind {
        "blocks" => Some(Trace::BlocksOfOther),
        "contacts" => Some(Trace::ContactsOfOther),
        "missed" => names(rest).then_some(Trace::Missed),
        "teller" => names(rest).then_some(Trace::Teller),
        // A device may be named as a user is.
        "rate" => rest
            .split_once(':')
            .is_some_and(|(limit, rest)| limit == Limit::InvitesPerPair.as_str() && names(rest))
            .then_some(Trace::Rate),
        _ => None,
    }
}

/// A text that a pattern matches as it is.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "*?[]^-\\".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_the_user_whose_whole_name_it_ends_with() {
        let hash = "8254c329a92850f6d539dd376f4816ee";
        for kind in ["blocks", "contacts", "rate:tokens_per_user"] {
            assert!(own_trace(&format!("{kind}:ann"), "ann").is_some(), "{kind}");
            assert!(own_trace(&format!("{kind}:x:ann"), "ann").is_none(), "{kind} of x:ann");
        }
        for kind in ["missed", "teller", "key", "rate:invites_per_pair"] {
            assert!(own_trace(&format!("{kind}:{hash}:ann"), "ann").is_some(), "{kind}");
            assert!(own_trace(&format!("{kind}:{hash}:x:ann"), "ann").is_none(), "{kind} of x:ann");
        }
        for stays in ["line:ann", "history:ann", "named:ann", "token:ann", "call:ann"] {
            assert!(own_trace(stays, "ann").is_none(), "{stays}");
        }
    }

    #[test]
    fn a_key_of_another_names_the_user_by_a_hash() {
        let hash = "8254c329a92850f6d539dd376f4816ee";
        let of = |key: &str| trace(key, hash);
        assert_eq!(of("blocks:bob"), Some(Trace::BlocksOfOther));
        assert_eq!(of(&format!("missed:{hash}:bob")), Some(Trace::Missed));
        assert_eq!(of(&format!("rate:invites_per_pair:{hash}:bob")), Some(Trace::Rate));
        for stays in ["rate:tokens_per_device", "key", "token", "missed:x"] {
            assert_eq!(of(&format!("{stays}:{hash}:bob")), None, "{stays}");
        }
    }

    #[test]
    fn a_pattern_has_no_letter_that_means_more() {
        assert_eq!(escape("a*b?[c]\\d{1}:|"), "a\\*b\\?\\[c\\]\\\\d{1}:|");
    }
}
