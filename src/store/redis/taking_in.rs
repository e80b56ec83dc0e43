//! Taking in what another store held: each thing as the steps of this one would have left it, many at a time.
//!
//! What is written the second time changes nothing, so a batch whose answer was lost is sent again.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{Cmd, Value, cmd, from_redis_value};

use super::devices::Stored;
use super::keys::slot_of;
use super::lines::{self, HISTORY_KEPT, NAMED};
use super::link::key_of;
use super::owners::Owner;
use super::{Redis, moderation, unreadable};
use crate::domain::usage::DayUsage;
use crate::domain::{Call, CallId, Device, Job, Timestamp, UserId, Work};
use crate::store::codec::{self, write_json};
use crate::store::migration::Item;
use crate::store::{
    ACCOUNTED_KEPT, Claim, HISTORY_LENGTH, MISSED_KEPT, MISSED_TOLD_COUNTS, Slot, StoreError, TOMBSTONE_KEPT,
    USAGE_KEPT,
};

/// The number of the commits of what is taken in: no other commit has it, whose numbers are random and longer.
const COMMIT: &str = "0";
/// How many things are sent together, to one partition.
const AT_ONCE: usize = 64;
/// How many such groups are under way at a time.
const GROUPS: usize = 16;

impl Redis {
    /// Writes all of these.
    pub async fn take_in(&self, items: &[Item]) -> Result<(), StoreError> {
        // What belongs together stays together, by slot: it is sent again as a whole.
        let mut by_slot: BTreeMap<u16, Vec<Vec<Cmd>>> = BTreeMap::new();
        for item in items {
            let mut of_item: BTreeMap<u16, Vec<Cmd>> = BTreeMap::new();
            for command in self.commands(item)? {
                of_item.entry(key_of(&command).map(slot_of).unwrap_or_default()).or_default().push(command);
            }
            for (slot, commands) in of_item {
                by_slot.entry(slot).or_default().push(commands);
            }
        }
        let sent = by_slot.into_values().map(async |all| {
            for some in all.chunks(AT_ONCE) {
                self.link.ask_all(&some.concat()).await?;
            }
            Ok::<(), StoreError>(())
        });
        stream::iter(sent).buffer_unordered(GROUPS).try_collect().await
    }

    /// Whether a thing is there, as this store's own steps read it. Those that expire within a month and bring back nothing of worth (rates, what
    /// was missed and told) are not looked at.
    pub async fn has(&self, item: &Item) -> Result<bool, StoreError> {
        Ok(match item {
            Item::Call(call) => {
                self.load_call(call.id).await? == self.sealing.open_slot(Slot::Call(call.clone()))
                    && self.is_named(&call.caller.id, call.id).await?
                    && self.is_named(&call.callee.id, call.id).await?
            }
            Item::Tombstone(call) => self.load_call(*call).await? == Slot::Tombstone,
            Item::Job(job) => self.job(&job.id).await?.as_ref() == Some(&**job),
            Item::Line { user, claims } => self.line_of(user).await? == *claims,
            Item::Key { user, key, .. } => {
                let key = self.keys.of_user(user).pair("key", user, key);
                self.link.ask(cmd("GET").arg(key)).await? != Value::Nil
            }
            Item::History { user, calls } => self.calls_of(user, None, HISTORY_LENGTH).await? == *calls,
            Item::Devices { user, devices } => {
                let mut expected = devices.clone();
                for device in &mut expected {
                    self.sealing.open(user, device);
                }
                self.devices_of(user).await? == expected
            }
            Item::Block { user, peer } => self.is_on("blocks", user, peer).await?,
            Item::Contact { user, peer } => self.is_on("contacts", user, peer).await?,
            Item::Ban(ban) => self.ban_of(&ban.user, self.clock.now()).await?.as_ref() == Some(ban),
            Item::Usage { day, calls, participant_ms, minutes } => {
                let peak = minutes.iter().map(|(_, there)| *there).max().unwrap_or_default();
                let expected = DayUsage { day: *day, calls: *calls, participant_ms: *participant_ms, peak };
                self.usage_on(*day, true).await? == expected
            }
            Item::Missed { .. } | Item::Told { .. } | Item::ToldAt { .. } | Item::Rate { .. } | Item::Accounted(_) => {
                true
            }
        })
    }

    /// The thing without what is over by now; nothing, if it is over itself.
    pub fn in_force(&self, item: Item) -> Option<Item> {
        item.in_force(self.clock.now(), &self.keeping)
    }

    /// Whether the push tokens of a device of another store can be had here.
    pub fn opens(&self, user: &UserId, device: &Device) -> bool {
        self.sealing.opens(user, device)
    }

    /// Which keys push tokens were sealed by that are not there, in words.
    pub fn missing_keys(&self) -> Option<String> {
        self.sealing.trouble()
    }

    fn commands(&self, item: &Item) -> Result<Vec<Cmd>, StoreError> {
        Ok(match item {
            Item::Call(call) => self.put_call(call)?,
            Item::Tombstone(call) => {
                let key = self.keys.of_call(*call).key("call", call);
                vec![set(&key, codec::TOMBSTONE, self.clock.now() + TOMBSTONE_KEPT)]
            }
            Item::Job(job) => self.put_job(job)?,
            Item::Line { user, claims } => put_line(&self.keys.of_user(user).key("line", user.as_str()), claims)?,
            Item::Key { user, key, call, body, until } => {
                let value = format!("{} {call} {body}", until.as_millis());
                vec![set(&self.keys.of_user(user).pair("key", user, key), value.as_bytes(), *until)]
            }
            Item::History { user, calls } => self.put_history(user, calls),
            Item::Missed { user, peer, until, before, calls } => {
                let key = self.keys.of_user(user).pair("missed", user, peer.as_str());
                let mut count = cmd("ZADD");
                count.arg(&key).arg(format!("-{}", until.as_millis())).arg("");
                for (number, call) in (before.saturating_add(1)..).zip(calls) {
                    count.arg(number).arg(call.to_string());
                }
                vec![count, expire(&key, *until)]
            }
            Item::Told { user, peer, at, told, teller } => {
                let of = |call: &Option<(CallId, u32)>| match call {
                    Some((call, number)) => format!("{call} {number}"),
                    None => "- 0".to_owned(),
                };
                let value = format!("{} {} {}", at.as_millis(), of(told), of(teller));
                let key = self.keys.of_user(user).pair("teller", user, peer.as_str());
                vec![set(&key, value.as_bytes(), *at + MISSED_KEPT)]
            }
            Item::ToldAt { user, times } => {
                let key = self.keys.of_user(user).key("told", user.as_str());
                let mut told = cmd("ZADD");
                told.arg(&key);
                for (number, at) in times.iter().enumerate() {
                    // Of which call is not known, and nobody asks.
                    told.arg(at.as_millis()).arg(number);
                }
                let last = times.iter().max().copied().unwrap_or_default();
                vec![told, expire(&key, last + MISSED_TOLD_COUNTS)]
            }
            Item::Rate { user, limit, of, arrival_us } => {
                let (partition, kind) = (self.keys.of_user(user), format!("rate:{limit}"));
                let key = match of {
                    Some(of) => partition.pair(&kind, user, of),
                    None => partition.key(&kind, user.as_str()),
                };
                let over = Timestamp::from_millis(arrival_us.div_ceil(1000));
                vec![set(&key, arrival_us.to_string().as_bytes(), over)]
            }
            Item::Devices { user, devices } => self.put_devices(user, devices)?,
            Item::Block { user, peer } => vec![self.put_on("blocks", user, peer)],
            Item::Contact { user, peer } => vec![self.put_on("contacts", user, peer)],
            Item::Ban(ban) => {
                let mut put = cmd("HSET");
                put.arg(self.keys.of_user(&ban.user).one("bans")).arg(ban.user.as_str()).arg(moderation::written(ban)?);
                vec![put]
            }
            Item::Usage { day, calls, participant_ms, minutes } => {
                // Its sum is over all of its keys, so it may all be in one.
                let key = self.shard(0).key("usage", day);
                let mut put = cmd("HSET");
                put.arg(&key).arg("calls").arg(*calls).arg("ms").arg(*participant_ms);
                for (minute, there) in minutes {
                    put.arg(minute).arg(there);
                }
                vec![put, expire(&key, day.begins() + USAGE_KEPT)]
            }
            Item::Accounted(call) => {
                let key = self.shard(self.keys.of_call(*call).number).key("accounted", call);
                vec![set(&key, b"1", self.clock.now() + ACCOUNTED_KEPT)]
            }
        })
    }

    fn put_call(&self, call: &Call) -> Result<Vec<Cmd>, StoreError> {
        let Slot::Call(opened) = self.sealing.open_slot(Slot::Call(Box::new(call.clone()))) else {
            return Ok(Vec::new());
        };
        let partition = self.keys.of_call(call.id);
        let record = codec::encode(&*self.sealing.seal_call(&opened)?, COMMIT)?;
        let mut put = cmd("SET");
        put.arg(partition.key("call", call.id)).arg(record);
        let wake_up = call.wake_up();
        let set = partition.one(if wake_up.urgent { "wake" } else { "later" });
        let mut commands = vec![put, add(&set, wake_up.at, &call.id.to_string())];
        // Also one that is hidden: its record names them.
        for user in [&call.caller.id, &call.callee.id] {
            commands.extend(self.name(user, [call.id]));
        }
        Ok(commands)
    }

    fn put_job(&self, job: &Job) -> Result<Vec<Cmd>, StoreError> {
        let partition = self.keys.of_job(&job.id);
        let mut put = cmd("SET");
        put.arg(partition.key("job", &job.id)).arg(codec::encode_job(job, COMMIT)?);
        let mut commands = vec![put, add(&partition.one("jobs"), job.due, job.id.as_str())];
        if let Work::Recording(recording) = &job.work {
            for user in &recording.parties {
                commands.extend(self.name(user, [recording.call]));
            }
        }
        Ok(commands)
    }

    fn put_history(&self, user: &UserId, calls: &[CallId]) -> Vec<Cmd> {
        let key = self.keys.of_user(user).key("history", user.as_str());
        let mut put = cmd("ZADD");
        put.arg(&key);
        for call in calls {
            put.arg(0).arg(call.to_string());
        }
        let mut commands = vec![put, expire(&key, self.clock.now() + HISTORY_KEPT)];
        commands.extend(self.name(user, calls.iter().copied()));
        commands
    }

    /// That calls name a user: as long as if they had been made now, which is long enough.
    fn name(&self, user: &UserId, calls: impl IntoIterator<Item = CallId>) -> [Cmd; 2] {
        let key = self.keys.of_user(user).key(NAMED, user.as_str());
        let until = self.clock.now() + self.keeping.calls;
        let mut name = cmd("ZADD");
        name.arg(&key);
        for call in calls {
            name.arg(until.as_millis()).arg(call.to_string());
        }
        [name, expire(&key, until)]
    }

    fn put_devices(&self, user: &UserId, devices: &[Device]) -> Result<Vec<Cmd>, StoreError> {
        let key = self.keys.of_user(user).key("devices", user.as_str());
        let (mut put, mut owned, mut last) = (cmd("HSET"), Vec::new(), Timestamp::default());
        put.arg(&key);
        for device in devices {
            let mut device = device.clone();
            self.sealing.open(user, &mut device);
            self.sealing.seal(user, &mut device)?;
            let (id, over) = (device.id.clone(), device.registered_at + self.keeping.devices);
            // The same each time, and of no later registration.
            let registration = format!("moved {}", device.registered_at.as_millis());
            let owner = Owner { user: user.clone(), device: id.clone(), registration: registration.clone() };
            for token in crate::store::sealing::token_names(&device) {
                owned.push(set(&self.keys.token(&token), &write_json("owner", &owner)?, over));
            }
            last = last.max(over);
            put.arg(id.as_str()).arg(write_json("device", &Stored { registration, device })?);
        }
        Ok([put, expire(&key, last)].into_iter().chain(owned).collect())
    }

    fn put_on(&self, list: &str, user: &UserId, peer: &UserId) -> Cmd {
        let mut put = cmd("SADD");
        put.arg(self.keys.of_user(user).key(list, user.as_str())).arg(peer.as_str());
        put
    }

    async fn is_on(&self, list: &str, user: &UserId, peer: &UserId) -> Result<bool, StoreError> {
        let key = self.keys.of_user(user).key(list, user.as_str());
        let answer = self.link.ask(cmd("SISMEMBER").arg(key).arg(peer.as_str())).await?;
        from_redis_value(answer).map_err(unreadable)
    }

    async fn is_named(&self, user: &UserId, call: CallId) -> Result<bool, StoreError> {
        let key = self.keys.of_user(user).key(NAMED, user.as_str());
        Ok(self.link.ask(cmd("ZSCORE").arg(key).arg(call.to_string())).await? != Value::Nil)
    }
}

fn put_line(key: &str, claims: &[Claim]) -> Result<Vec<Cmd>, StoreError> {
    let mut put = cmd("RPUSH");
    put.arg(key);
    for claim in claims {
        put.arg(lines::entry(claim)?);
    }
    let last = claims.iter().map(|claim| claim.until).max().unwrap_or_default();
    let mut delete = cmd("DEL");
    delete.arg(key);
    Ok(vec![delete, put, expire(key, last)])
}

fn set(key: &str, value: &[u8], until: Timestamp) -> Cmd {
    let mut set = cmd("SET");
    set.arg(key).arg(value).arg("PXAT").arg(until.as_millis());
    set
}

fn expire(key: &str, until: Timestamp) -> Cmd {
    let mut expire = cmd("PEXPIREAT");
    expire.arg(key).arg(until.as_millis());
    expire
}

fn add(set: &str, at: Timestamp, name: &str) -> Cmd {
    let mut add = cmd("ZADD");
    add.arg(set).arg(at.as_millis()).arg(name);
    add
}
