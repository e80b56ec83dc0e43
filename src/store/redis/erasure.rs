//! What is kept of a user, and by their name: which calls, and what is forgotten of them.
//!
//! What is theirs lies in one partition, under keys that end with their name; what others keep of them is found by looking through the names
//! of all keys (`SCAN`), which no other step does. That takes Redis about a second for each few million keys, in slices.

use futures_util::future::try_join_all;
use redis::{cmd, from_redis_value};

use super::keys::Partition;
use super::lines::NAMED;
use super::script::CLOSE;
use super::server::one_of_each;
use super::{Redis, unreadable};
use crate::domain::{CallId, DeviceId, UserId};
use crate::store::{Forgotten, StoreError};

/// How many keys a server looks at in one slice.
const SLICE: usize = 1000;
/// How many keys one command deletes at most.
const AT_ONCE: usize = 256;

/// What is kept under a key of a user, as far as it is forgotten with them and counted.
enum Kept {
    Blocks,
    Contacts,
    Missed,
    IdempotencyKey,
    Rate,
    Other,
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
        let partition = self.keys.of_user(user);
        let (base, name) = (partition.one(""), user.as_str());
        let pattern = format!("{}*:{}", escape(&base), escape(name));
        let found = self.scan(partition, &pattern).await?;
        let mut theirs = Vec::new();
        for key in found {
            let Some(kept) = kept_under(&key[base.len()..], name) else { continue };
            let count = match kept {
                Kept::Blocks | Kept::Contacts => {
                    let answer = self.link.ask(cmd("SCARD").arg(&key)).await?;
                    let listed =
                        if matches!(kept, Kept::Blocks) { &mut forgotten.blocks } else { &mut forgotten.contacts };
                    *listed += from_redis_value::<u64>(answer).map_err(unreadable)?;
                    None
                }
                Kept::Missed => Some(&mut forgotten.missed),
                Kept::IdempotencyKey => Some(&mut forgotten.idempotency_keys),
                Kept::Rate => Some(&mut forgotten.rates),
                Kept::Other => None,
            };
            if let Some(count) = count {
                *count += 1;
            }
            theirs.push(key);
        }
        self.delete(&theirs).await?;
        self.forget_ban(user).await?;
        let of_others = one_of_each(&self.link, &self.keys).into_iter().map(|one| self.forget_at(one, user));
        for others in try_join_all(of_others).await? {
            forgotten.blocked_by += others.blocked_by;
            forgotten.contacts += others.contacts;
            forgotten.missed += others.missed;
            forgotten.rates += others.rates;
        }
        Ok(forgotten)
    }

    /// Forgets what others on one server keep of a user.
    async fn forget_at(&self, server: Partition<'_>, user: &UserId) -> Result<Forgotten, StoreError> {
        let prefix = escape(self.keys.prefix());
        let blocked_by = self.take_off_lists(server, "blocks", user).await?;
        let contacts = self.take_off_lists(server, "contacts", user).await?;
        let hash = Partition::hash_of(user.as_str());
        let pairs = self.scan(server, &format!("{prefix}:{{*}}:*:{hash}:*")).await?;
        let kind = |key: &str| key.split_once("}:").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        let of_kind = |wanted: &'static str| {
            pairs.iter().filter(move |key| kind(key).starts_with(wanted)).cloned().collect::<Vec<String>>()
        };
        let (missed, told, rates) = (of_kind("missed:"), of_kind("teller:"), of_kind("rate:"));
        for keys in [&missed, &told, &rates] {
            self.delete(keys).await?;
        }
        let (missed, rates) = (missed.len() as u64, rates.len() as u64);
        Ok(Forgotten { blocked_by, contacts, missed, rates, ..Forgotten::default() })
    }

    /// Takes a user off others' lists of one kind on one server; says of how many.
    async fn take_off_lists(&self, server: Partition<'_>, kind: &str, user: &UserId) -> Result<u64, StoreError> {
        let mut lists = self.scan(server, &format!("{}:{{*}}:{kind}:*", escape(self.keys.prefix()))).await?;
        // A name may look like the rest of a key, and the pattern means that too.
        let start = format!("{kind}:");
        lists.retain(|key| key.split_once("}:").is_some_and(|(_, rest)| rest.starts_with(&start)));
        let mut count = 0;
        for keys in lists.chunks(AT_ONCE) {
            let removed = keys.iter().map(async |key| {
                let answer = self.link.ask(cmd("SREM").arg(key).arg(user.as_str())).await?;
                from_redis_value::<u64>(answer).map_err(unreadable)
            });
            count += try_join_all(removed).await?.into_iter().sum::<u64>();
        }
        Ok(count)
    }

    async fn devices_stored(&self, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
        let key = self.keys.of_user(user).key("devices", user.as_str());
        let ids: Vec<String> = from_redis_value(self.link.ask(cmd("HKEYS").arg(key)).await?).map_err(unreadable)?;
        Ok(ids.into_iter().filter_map(|id| DeviceId::new(id).ok()).collect())
    }

    /// The keys of the server that a partition is on whose names match.
    async fn scan(&self, at: Partition<'_>, pattern: &str) -> Result<Vec<String>, StoreError> {
        let (mut keys, mut cursor, beside) = (Vec::new(), "0".to_owned(), at.one("scan"));
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SLICE);
            let answer = self.link.ask_beside(&beside, &scan).await?;
            let (next, found): (String, Vec<String>) = from_redis_value(answer).map_err(unreadable)?;
            keys.extend(found);
            if next == "0" {
                break;
            }
            cursor = next;
        }
        // SCAN may name a key twice.
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        for keys in keys.chunks(AT_ONCE) {
            try_join_all(keys.iter().map(async |key| self.link.ask(cmd("DEL").arg(key)).await)).await?;
        }
        Ok(())
    }
}

/// What a key of this partition keeps of a user, after the partition's own part of its name; nothing if it is of another user, whose name may
/// end alike, or stays: the calls that name them, and claims.
fn kept_under(key: &str, user: &str) -> Option<Kept> {
    let kind = key.strip_suffix(user)?.strip_suffix(':')?;
    let is_hash = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = kind.split(':').collect();
    match parts[..] {
        ["blocks"] => Some(Kept::Blocks),
        ["contacts"] => Some(Kept::Contacts),
        ["devices" | "attached" | "told"] => Some(Kept::Other),
        ["missed", hash] if is_hash(hash) => Some(Kept::Missed),
        ["teller", hash] if is_hash(hash) => Some(Kept::Other),
        ["key", hash] if is_hash(hash) => Some(Kept::IdempotencyKey),
        ["rate", _] => Some(Kept::Rate),
        ["rate", _, hash] if is_hash(hash) => Some(Kept::Rate),
        _ => None,
    }
}

/// A text that a pattern matches as it is.
fn escape(text: &str) -> String {
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
        for kind in ["blocks", "contacts", "devices", "attached", "told", "rate:tokens_per_user"] {
            assert!(kept_under(&format!("{kind}:ann"), "ann").is_some(), "{kind}");
            assert!(kept_under(&format!("{kind}:x:ann"), "ann").is_none(), "{kind} of x:ann");
        }
        for kind in ["missed", "teller", "key", "rate:invites_per_pair"] {
            assert!(kept_under(&format!("{kind}:{hash}:ann"), "ann").is_some(), "{kind}");
            assert!(kept_under(&format!("{kind}:{hash}:x:ann"), "ann").is_none(), "{kind} of x:ann");
        }
        for stays in ["line:ann", "history:ann", "named:ann", "token:ann", "call:ann"] {
            assert!(kept_under(stays, "ann").is_none(), "{stays}");
        }
    }

    #[test]
    fn a_pattern_has_no_letter_that_means_more() {
        assert_eq!(escape("a*b?[c]\\d{1}:|"), "a\\*b\\?\\[c\\]\\\\d{1}:|");
    }
}
