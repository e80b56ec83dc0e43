//! Stops users whose devices have token after token that Apple calls bad: every such push brings Apple closer to closing
//! the connection that all users share, and registering tokens costs nothing.
//!
//! Each bad token is a strike, once; five are the most, and one is forgiven every five minutes. A token that Apple has taken is
//! pushed to in any case; one that it called bad is not asked about again for an hour, or a minute where the other host may take it. In memory, so each instance
//! counts for itself and a restart forgives.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest::{Context, SHA256};

use super::payload::PushType;
use crate::domain::{AppId, Environment, PushToken, Timestamp, UserId};

const MOST: u32 = 5;
const FORGIVEN_AFTER: Duration = Duration::from_mins(5);
/// Apple may change its mind about a token.
pub(super) const ASK_AGAIN_AFTER: Duration = Duration::from_hours(1);
/// The same where the other host may take it, which could not be asked.
pub(super) const ASK_AGAIN_SOON: Duration = Duration::from_mins(1);
/// How many users are remembered; of more, the one whose strikes are forgiven soonest is forgotten.
const USERS: usize = 10_000;
/// How many good tokens of such a user are remembered, and how many bad ones.
const TOKENS: usize = 20;

/// The strikes of all users.
#[derive(Default)]
pub(in crate::push) struct Strikes(Mutex<HashMap<UserId, Record>>);

/// The digest of a token, as the app of this name presents it to one of Apple's hosts under one of its two topics.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Named([u8; 32]);

/// Whether Apple may be asked about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    Granted,
    /// Apple has called this token bad; how, is said.
    KnownBad(&'static str),
    /// Of this user there were too many.
    TooMany,
}

struct Record {
    /// When the last strike will be forgiven.
    forgiven_at: Timestamp,
    /// Tokens that Apple took.
    good: VecDeque<Named>,
    bad: VecDeque<Bad>,
}

/// A token that Apple called bad.
struct Bad {
    token: Named,
    how: &'static str,
    /// Until when it is not asked again.
    until: Timestamp,
}

impl Named {
    /// A token is bad in one environment and good in the other, and so with apps and their topics.
    pub(super) fn new(app: &AppId, environment: Environment, push_type: PushType, token: &PushToken) -> Self {
        let topic = if push_type == PushType::Voip { "voip" } else { "" };
        let mut context = Context::new(&SHA256);
        for part in [app.as_str(), environment.as_str(), topic, token.as_str()] {
            context.update(&part.len().to_le_bytes());
            context.update(part.as_bytes());
        }
        let mut name = [0; 32];
        name.copy_from_slice(context.finish().as_ref());
        Self(name)
    }
}

impl Strikes {
    /// Whether Apple may be asked about this token of the user.
    pub(super) fn leave(&self, user: &UserId, token: Named, now: Timestamp) -> Leave {
        let users = self.users();
        let Some(record) = users.get(user) else { return Leave::Granted };
        if let Some(bad) = record.bad.iter().find(|bad| bad.token == token && now < bad.until) {
            Leave::KnownBad(bad.how)
        } else if record.forgiven_at.since(now) <= FORGIVEN_AFTER * (MOST - 1) || record.good.contains(&token) {
            Leave::Granted
        } else {
            Leave::TooMany
        }
    }

    /// Apple called a token of the user bad; `how` is what is known of that, and until when it is not asked again.
    pub(super) fn strike(&self, user: &UserId, token: Named, how: &'static str, until: Timestamp, now: Timestamp) {
        let mut users = self.users();
        if !users.contains_key(user) && users.len() >= USERS {
            users.retain(|_, record| record.forgiven_at > now);
            let soonest = users.iter().min_by_key(|(_, record)| record.forgiven_at).map(|(user, _)| user.clone());
            if let Some(soonest) = soonest.filter(|_| users.len() >= USERS) {
                users.remove(&soonest);
            }
        }
        let record = users.entry(user.clone()).or_insert_with(|| Record {
            forgiven_at: now,
            good: VecDeque::new(),
            bad: VecDeque::new(),
        });
        record.good.retain(|good| *good != token);
        let bad = Bad { token, how, until };
        if let Some(before) = record.bad.iter_mut().find(|before| before.token == token) {
            *before = bad;
            return;
        }
        remember(&mut record.bad, bad);
        record.forgiven_at = record.forgiven_at.max(now) + FORGIVEN_AFTER;
    }

    /// Apple took a push to this token.
    pub(super) fn is_good(&self, user: &UserId, token: Named) {
        let mut users = self.users();
        let Some(record) = users.get_mut(user) else { return };
        record.bad.retain(|bad| bad.token != token);
        if !record.good.contains(&token) {
            remember(&mut record.good, token);
        }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<UserId, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the oldest where there are enough.
fn remember<T>(tokens: &mut VecDeque<T>, token: T) {
    if tokens.len() == TOKENS {
        tokens.pop_front();
    }
    tokens.push_back(token);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOW: &str = "in-one-environment";

    fn user(number: usize) -> UserId {
        UserId::new(format!("user-{number}")).expect("a user")
    }

    fn token(number: usize) -> Named {
        let token = serde_json::from_value(format!("{number:064x}").into()).expect("a token");
        let app = AppId::new("com.example.phone").expect("an app");
        Named::new(&app, Environment::Production, PushType::Voip, &token)
    }

    /// For as long as a bad token is known as such.
    fn strike(strikes: &Strikes, user: &UserId, token: Named, now: Timestamp) {
        strikes.strike(user, token, HOW, now + ASK_AGAIN_AFTER, now);
    }

    fn start() -> (Strikes, Timestamp) {
        (Strikes::default(), Timestamp::from_millis(1_000_000))
    }

    #[test]
    fn five_bad_tokens_are_enough_for_a_while() {
        let (strikes, now) = start();
        for number in 0..5 {
            assert_eq!(strikes.leave(&user(1), token(number), now), Leave::Granted, "{number}");
            strike(&strikes, &user(1), token(number), now);
        }
        assert_eq!(strikes.leave(&user(1), token(5), now), Leave::TooMany);
        assert_eq!(strikes.leave(&user(2), token(5), now), Leave::Granted, "others are not meant");
        assert_eq!(strikes.leave(&user(1), token(5), now + FORGIVEN_AFTER), Leave::Granted, "one is forgiven");
        strike(&strikes, &user(1), token(5), now + FORGIVEN_AFTER);
        assert_eq!(strikes.leave(&user(1), token(6), now + FORGIVEN_AFTER), Leave::TooMany);
    }

    #[test]
    fn one_bad_token_is_one_strike_however_often_it_is_pushed_to() {
        let (strikes, now) = start();
        for call in 0..20 {
            strike(&strikes, &user(1), token(0), now + call * FORGIVEN_AFTER / 100);
        }
        assert_eq!(strikes.leave(&user(1), token(1), now), Leave::Granted);
        assert_eq!(strikes.users()[&user(1)].forgiven_at, now + FORGIVEN_AFTER);
    }

    #[test]
    fn a_bad_token_is_not_asked_about_again_so_soon() {
        let (strikes, now) = start();
        strike(&strikes, &user(1), token(0), now);
        assert_eq!(strikes.leave(&user(1), token(0), now), Leave::KnownBad(HOW));
        assert_eq!(strikes.leave(&user(2), token(0), now), Leave::Granted, "nobody speaks for others");
        assert_eq!(strikes.leave(&user(1), token(0), now + ASK_AGAIN_AFTER), Leave::Granted);
        strikes.is_good(&user(1), token(0));
        assert_eq!(strikes.leave(&user(1), token(0), now), Leave::Granted, "Apple has changed its mind");
    }

    /// The other host may say more the next time.
    #[test]
    fn where_more_may_be_found_out_a_bad_token_is_asked_about_a_minute_later_without_another_strike() {
        let (strikes, now) = start();
        let mut later = now;
        for _ in 0..4 {
            assert_eq!(strikes.leave(&user(1), token(0), later), Leave::Granted);
            strikes.strike(&user(1), token(0), HOW, later + ASK_AGAIN_SOON, later);
            assert_eq!(strikes.leave(&user(1), token(0), later), Leave::KnownBad(HOW));
            later = later + ASK_AGAIN_SOON;
        }
        assert_eq!(strikes.users()[&user(1)].forgiven_at, now + FORGIVEN_AFTER);
    }

    #[test]
    fn the_phone_that_works_goes_on_ringing() {
        let (strikes, now) = start();
        strike(&strikes, &user(1), token(0), now);
        strikes.is_good(&user(1), token(100));
        (1..9).for_each(|number| strike(&strikes, &user(1), token(number), now));
        assert_eq!(strikes.leave(&user(1), token(100), now), Leave::Granted);
        assert_eq!(strikes.leave(&user(1), token(9), now), Leave::TooMany);
        strike(&strikes, &user(1), token(100), now);
        assert_eq!(strikes.leave(&user(1), token(100), now), Leave::KnownBad(HOW), "until it no longer does");
    }

    #[test]
    fn a_token_is_judged_for_its_app_host_and_topic_alone() {
        let token = serde_json::from_value(format!("{:064x}", 1).into()).expect("a token");
        let app = |name: &str| AppId::new(name).expect("an app");
        let names = [
            Named::new(&app("com.example.phone"), Environment::Production, PushType::Voip, &token),
            Named::new(&app("com.example.phone"), Environment::Sandbox, PushType::Voip, &token),
            Named::new(&app("com.example.other"), Environment::Production, PushType::Voip, &token),
            Named::new(&app("com.example.phone"), Environment::Production, PushType::Alert, &token),
        ];
        assert!(names[1..].iter().all(|other| names[0] != *other));
        let background = Named::new(&app("com.example.phone"), Environment::Production, PushType::Background, &token);
        assert!(names[3] == background, "of the same topic");
    }

    #[test]
    fn memory_is_bounded() {
        let (strikes, now) = start();
        (0..USERS + 50).for_each(|number| strike(&strikes, &user(number), token(0), now));
        assert_eq!(strikes.users().len(), USERS);
        (0..50).for_each(|number| strikes.is_good(&user(USERS + 1), token(100 + number)));
        (0..50).for_each(|number| strike(&strikes, &user(USERS + 1), token(number), now));
        let users = strikes.users();
        assert_eq!((users[&user(USERS + 1)].good.len(), users[&user(USERS + 1)].bad.len()), (TOKENS, TOKENS));
    }
}
