//! Blocks, contacts and bans.

use futures_util::future::try_join_all;
use redis::{cmd, from_redis_value};

use super::script::{BAN, PUT_CONTACTS, SET_CONTACT};
use super::{Redis, unreadable};
use crate::domain::{Timestamp, UserId};
use crate::store::codec::{read_json, write_json};
use crate::store::{Ban, StoreError};

impl Redis {
    pub(super) async fn block(&self, user: &UserId, peer: &UserId, blocked: bool) -> Result<bool, StoreError> {
        let key = self.keys.of_user(user).key("blocks", user.as_str());
        let answer = self.link.ask(cmd(if blocked { "SADD" } else { "SREM" }).arg(key).arg(peer.as_str())).await?;
        from_redis_value(answer).map_err(unreadable)
    }

    pub(super) async fn blocked_by(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        let key = self.keys.of_user(user).key("blocks", user.as_str());
        self.peers(&key).await
    }

    /// The peers in a set, in order.
    async fn peers(&self, key: &str) -> Result<Vec<UserId>, StoreError> {
        let mut peers: Vec<String> =
            from_redis_value(self.link.ask(cmd("SMEMBERS").arg(key)).await?).map_err(unreadable)?;
        peers.sort();
        let unreadable = |error| StoreError::Corrupt(format!("peers: {error}"));
        peers.into_iter().map(|peer| UserId::new(peer).map_err(unreadable)).collect()
    }

    pub(super) async fn list_contacts(&self, user: &UserId, peers: &[UserId]) -> Result<(), StoreError> {
        let key = self.keys.of_user(user).key("contacts", user.as_str());
        let mut step = PUT_CONTACTS.on(&[&key]);
        step.arg(peers.iter().map(UserId::as_str).collect::<Vec<_>>());
        self.link.run(&PUT_CONTACTS, &step).await.map(drop)
    }

    pub(super) async fn contact(
        &self,
        user: &UserId,
        peer: &UserId,
        listed: bool,
        most: usize,
    ) -> Result<bool, StoreError> {
        let mut step = SET_CONTACT.on(&[&self.keys.of_user(user).key("contacts", user.as_str())]);
        step.arg(peer.as_str()).arg(u8::from(listed)).arg(most);
        match from_redis_value(self.link.run(&SET_CONTACT, &step).await?).map_err(unreadable)? {
            2 => Err(StoreError::TooMany),
            changed => Ok(changed == 1),
        }
    }

    pub(super) async fn contacts_of(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        self.peers(&self.keys.of_user(user).key("contacts", user.as_str())).await
    }

    pub(super) async fn ban_user(&self, ban: &Ban) -> Result<(), StoreError> {
        let partition = self.keys.of_user(&ban.user);
        let value = written(ban)?;
        let mut step = BAN.on(&[&partition.one("bans"), &partition.one("notices"), &partition.one("events")]);
        self.link.run(&BAN, step.arg(ban.user.as_str()).arg(value)).await.map(drop)
    }

    pub(super) async fn ban_of(&self, user: &UserId, now: Timestamp) -> Result<Option<Ban>, StoreError> {
        let key = self.keys.of_user(user).one("bans");
        let answer = self.link.ask(cmd("HGET").arg(key).arg(user.as_str())).await?;
        let value: Option<Vec<u8>> = from_redis_value(answer).map_err(unreadable)?;
        let ban = value.map(|value| read_ban(&value)).transpose()?;
        Ok(ban.filter(|ban| ban.holds(now)))
    }

    pub(super) async fn lift(&self, user: &UserId) -> Result<bool, StoreError> {
        let key = self.keys.of_user(user).one("bans");
        loop {
            let value = self.link.ask(cmd("HGET").arg(&key).arg(user.as_str())).await?;
            let Some(value) = from_redis_value::<Option<Vec<u8>>>(value).map_err(unreadable)? else { return Ok(false) };
            if self.change(&key, user.as_str(), &value, &[]).await? {
                return Ok(read_ban(&value)?.holds(self.clock.now()));
            }
        }
    }

    /// Forgets a ban that is over.
    pub(super) async fn forget_ban(&self, user: &UserId) -> Result<(), StoreError> {
        let key = self.keys.of_user(user).one("bans");
        let value = self.link.ask(cmd("HGET").arg(&key).arg(user.as_str())).await?;
        if let Some(value) = from_redis_value::<Option<Vec<u8>>>(value).map_err(unreadable)?
            && !read_ban(&value)?.holds(self.clock.now())
        {
            self.change(&key, user.as_str(), &value, &[]).await?;
        }
        Ok(())
    }

    /// Every ban in force; those that are over are forgotten on the way.
    pub(super) async fn all_bans(&self, now: Timestamp) -> Result<Vec<Ban>, StoreError> {
        let partitions = try_join_all(self.keys.all().map(async |partition| {
            let key = partition.one("bans");
            let answer = self.link.ask(cmd("HVALS").arg(&key)).await?;
            let values: Vec<Vec<u8>> = from_redis_value(answer).map_err(unreadable)?;
            let mut bans = Vec::new();
            for value in values {
                let ban = read_ban(&value)?;
                if ban.holds(now) {
                    bans.push(ban);
                } else {
                    self.change(&key, ban.user.as_str(), &value, &[]).await?;
                }
            }
            Ok::<Vec<Ban>, StoreError>(bans)
        }));
        let mut bans: Vec<Ban> = partitions.await?.into_iter().flatten().collect();
        bans.sort_by(|ban, other| ban.user.cmp(&other.user));
        Ok(bans)
    }
}

/// A ban as it is stored.
pub(super) fn written(ban: &Ban) -> Result<Vec<u8>, StoreError> {
    let mut value = format!("{} ", ban.until.map_or(0, Timestamp::as_millis)).into_bytes();
    value.extend(write_json("ban", ban)?);
    Ok(value)
}

/// A ban, after the time that scripts read.
fn read_ban(value: &[u8]) -> Result<Ban, StoreError> {
    read_json("ban", value.splitn(2, |byte| *byte == b' ').nth(1).unwrap_or_default())
}
