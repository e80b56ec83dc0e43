//! Users' lines, idempotency keys and histories: what an invite writes of each of its parties.

use std::io::Write;
use std::time::Duration;

use futures_util::future::join;
use redis::{FromRedisValue, Value, cmd, from_redis_value};

use super::rates::rate_keys;
use super::script::{FREE_LINE, OPEN_LINE, RING_LINE};
use super::{Redis, unreadable};
use crate::domain::{CallId, UserId};
use crate::store::codec::{append_json, read_json};
use crate::store::{Admits, CLAIMS_BEFORE, Callee, Charge, Claim, HISTORY_LENGTH, Opening, Reservation, StoreError};

/// How long a history is kept after its last call: longer than any record.
pub(super) const HISTORY_KEPT: Duration = Duration::from_hours(400 * 24);

/// What most claims fit in, as they stand on a line.
const USUAL_ENTRY: usize = 512;

/// The calls that name a user, each with the time (ms) until which a record of it may be kept.
pub(super) const NAMED: &str = "named";

impl Redis {
    pub(super) async fn open_for(
        &self,
        claim: &Claim,
        reservation: Option<&Reservation>,
        charges: &[Charge],
    ) -> Result<Opening, StoreError> {
        let user = &claim.user;
        let partition = self.keys.of_user(user);
        let charge_key = claim.charge_key(charges, self.clock.now());
        let reservation = reservation.or(charge_key.as_ref());
        let mut keys = vec![
            partition.key("line", user.as_str()),
            partition.key("history", user.as_str()),
            partition.pair("missed", user, claim.peer.as_str()),
            partition.one("bans"),
            partition.key(NAMED, user.as_str()),
        ];
        keys.extend(reservation.map(|reservation| partition.pair("key", user, &reservation.key)));
        keys.extend(rate_keys(partition, user, charges));
        let mut step = OPEN_LINE.on(&keys);
        self.claiming(&mut step, claim)?;
        if let Some(reservation) = reservation {
            step.arg(reservation.replaces.map_or_else(String::new, |call| call.to_string()))
                .arg(&reservation.body)
                .arg(reservation.until.as_millis());
        }
        let answer: Vec<Value> =
            from_redis_value(self.run_charged(&OPEN_LINE, step, charges).await?).map_err(unreadable)?;
        let mut answer = answer.into_iter();
        match next::<String>(&mut answer)?.as_str() {
            "banned" => Ok(Opening::Banned),
            "reserved" => {
                let (call, body): (String, String) = (next(&mut answer)?, next(&mut answer)?);
                let same_body = reservation.is_some_and(|reservation| reservation.body == body);
                Ok(Opening::Reserved { call: call_id(&call)?, same_body })
            }
            _ => Ok(Opening::Claimed(claims(&next::<Vec<Vec<u8>>>(&mut answer)?)?)),
        }
    }

    pub(super) async fn ring_for(
        &self,
        claim: &Claim,
        charges: &[Charge],
        admits: Admits,
    ) -> Result<Callee, StoreError> {
        let user = &claim.user;
        let partition = self.keys.of_user(user);
        let mut keys = vec![
            partition.key("line", user.as_str()),
            partition.key("history", user.as_str()),
            partition.key("devices", user.as_str()),
            partition.key("blocks", user.as_str()),
            partition.one("bans"),
            partition.key("attached", user.as_str()),
            partition.key(NAMED, user.as_str()),
            partition.key("contacts", user.as_str()),
        ];
        keys.extend(rate_keys(partition, user, charges));
        let mut step = RING_LINE.on(&keys);
        self.claiming(&mut step, claim)?;
        step.arg(claim.peer.as_str()).arg(u8::from(admits == Admits::Contacts)).arg(CLAIMS_BEFORE);
        let answer: Vec<Value> =
            from_redis_value(self.run_charged(&RING_LINE, step, charges).await?).map_err(unreadable)?;
        let mut answer = answer.into_iter();
        if next::<bool>(&mut answer)? {
            return Ok(Callee::of_a_stranger());
        }
        let (blocked, banned, crowded) = (next(&mut answer)?, next(&mut answer)?, next(&mut answer)?);
        let others = claims(&next::<Vec<Vec<u8>>>(&mut answer)?)?;
        let (devices, attached) = (next(&mut answer)?, next(&mut answer)?);
        let (devices, attached) = join(self.owned(user, devices), self.at_living(attached)).await;
        let devices = devices?;
        Ok(Callee { others, devices, attached, crowded, blocked, banned, is_stranger: false })
    }

    /// The arguments that both kinds of claim have.
    fn claiming(&self, step: &mut redis::Cmd, claim: &Claim) -> Result<(), StoreError> {
        let (now, until) = (self.clock.now(), claim.until.as_millis());
        let entry = entry(claim)?;
        step.arg(claim.user.as_str())
            .arg(now.as_millis())
            .arg(claim.call.to_string())
            .arg(until)
            .arg(entry)
            .arg(HISTORY_LENGTH)
            .arg((now + HISTORY_KEPT).as_millis())
            .arg((now + self.keeping.calls).as_millis());
        Ok(())
    }

    pub(super) async fn line_of(&self, user: &UserId) -> Result<Vec<Claim>, StoreError> {
        let mut range = cmd("LRANGE");
        range.arg(self.keys.of_user(user).key("line", user.as_str())).arg(0).arg(-1);
        let entries: Vec<Vec<u8>> = from_redis_value(self.link.ask(&range).await?).map_err(unreadable)?;
        let mut claims = claims(&entries)?;
        let now = self.clock.now();
        claims.retain(|claim| now < claim.until);
        Ok(claims)
    }

    pub(super) async fn free(&self, user: &UserId, call: CallId) -> Result<(), StoreError> {
        let mut step = FREE_LINE.on(&[&self.keys.of_user(user).key("line", user.as_str())]);
        self.link.run(&FREE_LINE, step.arg(call.to_string())).await.map(drop)
    }

    pub(super) async fn calls_of(
        &self,
        user: &UserId,
        before: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<CallId>, StoreError> {
        let newest = before.map_or_else(|| "+".to_owned(), |before| format!("({before}"));
        let mut range = cmd("ZRANGE");
        range.arg(self.keys.of_user(user).key("history", user.as_str())).arg(newest).arg("-").arg("BYLEX").arg("REV");
        range.arg("LIMIT").arg(0).arg(limit);
        let ids: Vec<String> = from_redis_value(self.link.ask(&range).await?).map_err(unreadable)?;
        ids.iter().map(|id| call_id(id)).collect()
    }
}

/// The next part of a script's answer.
fn next<T: FromRedisValue>(answer: &mut impl Iterator<Item = Value>) -> Result<T, StoreError> {
    from_redis_value(answer.next().unwrap_or(Value::Nil)).map_err(unreadable)
}

/// A claim as it stands on a line.
pub(super) fn entry(claim: &Claim) -> Result<Vec<u8>, StoreError> {
    let mut entry = Vec::with_capacity(USUAL_ENTRY);
    // A vector takes all that is written to it.
    let _ = write!(entry, "{} {} ", claim.until.as_millis(), claim.call);
    append_json("claim", claim, &mut entry)?;
    Ok(entry)
}

/// Claims as they stand on a line, after the two words that scripts read.
fn claims(entries: &[Vec<u8>]) -> Result<Vec<Claim>, StoreError> {
    let json = |entry: &[u8]| entry.splitn(3, |byte| *byte == b' ').nth(2).map(|json| read_json("claim", json));
    entries.iter().filter_map(|entry| json(entry)).collect()
}

fn call_id(id: &str) -> Result<CallId, StoreError> {
    CallId::parse(id).map_err(|error| StoreError::Corrupt(format!("call id: {error}")))
}
