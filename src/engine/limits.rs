//! How often users may do what others pay for: what each use case takes of which rate. The store keeps count, for all instances.
//!
//! A phone that answers, declines or hangs up is not limited here: only invites, registrations and tokens are. Tokens that are asked
//! for by a ticket count for the ticket's device alone.

use super::{Asker, Engine};
use crate::domain::{DeviceId, Limit, Rate, UserId};
use crate::store::{Charge, StoreError};

/// How often users may do what is limited; absent: as often as they like.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// Invites by a user.
    pub invites_per_user: Option<Rate>,
    /// Invites of a user to another.
    pub invites_per_pair: Option<Rate>,
    /// Invites to a user, whoever calls.
    pub invites_per_callee: Option<Rate>,
    /// LiveKit tokens of a user, and by tickets of each of their devices.
    pub tokens_per_user: Option<Rate>,
    /// Device registrations of a user.
    pub registrations_per_user: Option<Rate>,
    /// Those of them that bring a token which none of the user's devices has.
    pub new_tokens_per_user: Option<Rate>,
}

impl Rates {
    /// What an invite takes of its caller's.
    pub(super) fn of_caller(&self, callee: &UserId) -> Vec<Charge> {
        let of_user = Charge::of_user(Limit::InvitesPerUser, self.invites_per_user);
        let of_pair = Charge::of_pair(Limit::InvitesPerPair, self.invites_per_pair, callee);
        of_user.into_iter().chain(of_pair).collect()
    }

    /// What an invite takes of its callee's.
    pub(super) fn of_callee(&self) -> Vec<Charge> {
        Charge::of_user(Limit::InvitesPerCallee, self.invites_per_callee).into_iter().collect()
    }

    /// What a registration takes, which may bring a new token.
    pub(super) fn of_registration(&self, is_new: bool) -> Vec<Charge> {
        let new_tokens = self.new_tokens_per_user.filter(|_| is_new);
        let of_token = Charge::of_user(Limit::NewTokensPerUser, new_tokens);
        Charge::of_user(Limit::RegistrationsPerUser, self.registrations_per_user).into_iter().chain(of_token).collect()
    }

    /// What a token takes, for which a device may have asked by a ticket.
    pub(super) fn of_token(&self, by_ticket: Option<&DeviceId>) -> Vec<Charge> {
        let charge = match by_ticket {
            Some(device) => Charge::of_device(Limit::TokensPerDevice, self.tokens_per_user, device),
            None => Charge::of_user(Limit::TokensPerUser, self.tokens_per_user),
        };
        charge.into_iter().collect()
    }
}

impl Engine {
    /// What a step of the store came to; one that a limit refused is counted.
    pub(super) fn within_limits<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Limited(limited)) = &result {
            self.0.metrics.limited(limited.limit);
        }
        result
    }

    /// Whether the asker may have a token now, as far as that is not of the call.
    pub(super) async fn admit(&self, asker: &Asker) -> Result<bool, StoreError> {
        let (user, by_ticket) = match asker {
            Asker::User(user, _) => (user, None),
            Asker::Ticket(user, device) => (user, Some(device)),
            Asker::Service => return Ok(true),
        };
        self.within_limits(self.store().admit(user, &self.settings().rates.of_token(by_ticket)).await)
    }
}
