//! Stops users whose devices have token after token that Apple calls bad: every such push brings Apple closer to closing
//! the connection that all users share, and registering tokens costs nothing.
//!
//! Each bad token is a strike, five are the most, and one is forgiven every five minutes; a token that Apple has taken is
//! pushed to in any case. In memory, so each instance counts for itself and a restart forgives.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};

use crate::domain::{PushToken, Timestamp, UserId};

const MOST: u32 = 5;
const FORGIVEN_AFTER: Duration = Duration::from_mins(5);
/// How many users are remembered; of more, the one whose strikes are forgiven soonest is forgotten.
const USERS: usize = 10_000;
/// How many good tokens of such a user are remembered.
const GOOD_TOKENS: usize = 20;

/// The strikes of all users.
#[derive(Default)]
pub(in crate::push) struct Strikes(Mutex<HashMap<UserId, Record>>);

struct Record {
    /// When the last strike will be forgiven.
    forgiven_at: Timestamp,
    /// Digests of tokens that Apple took.
    good: Vec<[u8; 32]>,
}

impl Strikes {
    /// Whether Apple may be asked about this token of the user.
    pub(super) fn allow(&self, user: &UserId, token: &PushToken, now: Timestamp) -> bool {
        let users = self.users();
        let Some(record) = users.get(user) else { return true };
        record.forgiven_at.since(now) <= FORGIVEN_AFTER * (MOST - 1) || record.good.contains(&name(token))
    }

    /// Apple called a token of the user bad.
    pub(super) fn strike(&self, user: &UserId, token: &PushToken, now: Timestamp) {
        let mut users = self.users();
        if !users.contains_key(user) && users.len() >= USERS {
            users.retain(|_, record| record.forgiven_at > now);
            let soonest = users.iter().min_by_key(|(_, record)| record.forgiven_at).map(|(user, _)| user.clone());
            if let Some(soonest) = soonest.filter(|_| users.len() >= USERS) {
                users.remove(&soonest);
            }
        }
        let record = users.entry(user.clone()).or_insert_with(|| Record { forgiven_at: now, good: Vec::new() });
        record.forgiven_at = record.forgiven_at.max(now) + FORGIVEN_AFTER;
        record.good.retain(|good| *good != name(token));
    }

    /// Apple took a push to this token.
    pub(super) fn is_good(&self, user: &UserId, token: &PushToken) {
        let mut users = self.users();
        let Some(record) = users.get_mut(user) else { return };
        let name = name(token);
        if !record.good.contains(&name) {
            if record.good.len() == GOOD_TOKENS {
                record.good.remove(0);
            }
            record.good.push(name);
        }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<UserId, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(token: &PushToken) -> [u8; 32] {
    let mut name = [0; 32];
    name.copy_from_slice(digest(&SHA256, token.as_str().as_bytes()).as_ref());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> UserId {
        UserId::new(format!("user-{number}")).expect("a user")
    }

    fn token(number: usize) -> PushToken {
        serde_json::from_value(format!("{number:064x}").into()).expect("a token")
    }

    #[test]
    fn five_bad_tokens_are_enough_for_a_while() {
        let (strikes, now) = (Strikes::default(), Timestamp::from_millis(1_000_000));
        for number in 0..5 {
            assert!(strikes.allow(&user(1), &token(number), now), "{number}");
            strikes.strike(&user(1), &token(number), now);
        }
        assert!(!strikes.allow(&user(1), &token(5), now));
        assert!(strikes.allow(&user(2), &token(5), now), "others are not meant");
        assert!(strikes.allow(&user(1), &token(5), now + FORGIVEN_AFTER), "one is forgiven");
        strikes.strike(&user(1), &token(5), now + FORGIVEN_AFTER);
        assert!(!strikes.allow(&user(1), &token(6), now + FORGIVEN_AFTER));
    }

    #[test]
    fn the_phone_that_works_goes_on_ringing() {
        let (strikes, now) = (Strikes::default(), Timestamp::from_millis(1_000_000));
        strikes.strike(&user(1), &token(0), now);
        strikes.is_good(&user(1), &token(100));
        (1..9).for_each(|number| strikes.strike(&user(1), &token(number), now));
        assert!(strikes.allow(&user(1), &token(100), now));
        assert!(!strikes.allow(&user(1), &token(9), now));
        strikes.strike(&user(1), &token(100), now);
        assert!(!strikes.allow(&user(1), &token(100), now), "until it no longer does");
    }

    #[test]
    fn memory_is_bounded() {
        let (strikes, now) = (Strikes::default(), Timestamp::from_millis(1_000_000));
        (0..USERS + 50).for_each(|number| strikes.strike(&user(number), &token(0), now));
        assert_eq!(strikes.users().len(), USERS);
        (0..50).for_each(|number| strikes.is_good(&user(USERS + 1), &token(number)));
        assert_eq!(strikes.users()[&user(USERS + 1)].good.len(), GOOD_TOKENS);
    }
}
