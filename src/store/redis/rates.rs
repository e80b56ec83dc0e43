//! How much is taken of users' rates: by the scripts of the steps that it is taken with.

use redis::{Cmd, FromRedisValue, Value, from_redis_value};

use super::keys::Partition;
use super::script::{ADMIT, Script};
use super::{Redis, unreadable};
use crate::domain::{Limited, UserId};
use crate::store::{Charge, StoreError};

/// The first word of a script's answer that refuses, which no other answer begins with.
const LIMITED: &str = "limited";

impl Redis {
    pub(super) async fn admit_user(&self, user: &UserId, charges: &[Charge]) -> Result<bool, StoreError> {
        let partition = self.keys.of_user(user);
        let mut keys = vec![partition.one("bans")];
        keys.extend(rate_keys(partition, user, charges));
        let mut step = ADMIT.on(&keys);
        step.arg(user.as_str()).arg(self.clock.now().as_millis());
        from_redis_value(self.run_charged(&ADMIT, step, charges).await?).map_err(unreadable)
    }

    /// The answer to a call of a script whose last keys are [`rate_keys`], unless it refused.
    pub(super) async fn run_charged(
        &self,
        script: &Script,
        mut step: Cmd,
        charges: &[Charge],
    ) -> Result<Value, StoreError> {
        for Charge { rate, .. } in charges {
            step.arg(rate.interval_us()).arg(rate.span_us());
        }
        let answer = self.link.run(script, step.arg(charges.len())).await?;
        match refusal(&answer) {
            Some((which, wait_us)) => {
                let Charge { limit, rate, .. } = charges.get(which - 1).ok_or_else(unheard_of)?;
                let wait = std::time::Duration::from_micros(wait_us);
                Err(StoreError::Limited(Limited { limit: *limit, rate: *rate, wait }))
            }
            None => Ok(answer),
        }
    }
}

/// The keys of rates, to stand behind all others of a script.
pub(super) fn rate_keys(partition: Partition<'_>, user: &UserId, charges: &[Charge]) -> impl Iterator<Item = String> {
    charges.iter().map(move |Charge { limit, of, .. }| {
        let kind = format!("rate:{}", limit.as_str());
        match of {
            Some(of) => partition.pair(&kind, user, of),
            None => partition.key(&kind, user.as_str()),
        }
    })
}

/// Which charge a script refused, from 1, and for how long (µs).
fn refusal(answer: &Value) -> Option<(usize, u64)> {
    let Value::Array(parts) = answer else { return None };
    let [word, which, wait] = &parts[..] else { return None };
    let is_refusal = String::from_redis_value_ref(word).is_ok_and(|word| word == LIMITED);
    is_refusal.then(|| Some((usize::from_redis_value_ref(which).ok()?, u64::from_redis_value_ref(wait).ok()?)))?
}

fn unheard_of() -> StoreError {
    StoreError::Corrupt("Redis refused what it was not asked for".into())
}
