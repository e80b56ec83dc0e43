//! How a push token comes from one user to another where the newest is not simply believed (`devices.takeover = "proof"`).
//!
//! Whoever knows a token could otherwise register it and so take its phone's calls away. A token whose owner was here lately moves once the
//! newcomer has said back what was pushed to it: only the phone itself can know that. A VoIP push would have to ring, so the proof for such a
//! token goes to the alert token that its owner registered with it, on the same phone.

use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use super::{Engine, EngineError};
use crate::crypto::proof::{Claim, Proofs};
use crate::domain::{Device, DeviceId, Limit, PushToken, Rate, Timestamp, UserId};
use crate::store::{Charge, StoreError};

/// An owner who registered this phone within this time is not robbed of it without a proof.
const HERE_LATELY: Duration = Duration::from_hours(7 * 24);
/// How long a proof is good.
const GOOD_FOR: Duration = Duration::from_mins(5);
/// How often one user may have a proof pushed to a phone, and all of them together: such a push is not to be a way to wake somebody up, and it
/// takes twenty accounts to keep the one who holds the phone from being asked.
const BY_ONE: Rate = Rate { count: 3, per: Duration::from_hours(1) };
const BY_ALL: Rate = Rate { count: 60, per: Duration::from_hours(1) };

/// What came of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// The device rings from now on.
    Done,
    /// A token is another user's. What was pushed to it is to be said back by then.
    Pending(Timestamp),
}

/// A push to the phone that a token belongs to, which a newcomer is to say back.
#[derive(Clone)]
pub struct Proof {
    /// Whose phone it is so far.
    pub owner: UserId,
    /// The phone as they registered it.
    pub phone: Device,
    /// The device that the newcomer registers.
    pub device: DeviceId,
    /// What is to be said back.
    pub proof: String,
    /// Until when.
    pub until: Timestamp,
}

impl Engine {
    /// Finds out whether a user may take these phones of others: now, or, if not, after what is pushed now was said back.
    pub(super) async fn take_over(
        &self,
        proofs: &Proofs,
        user: &UserId,
        device: &Device,
        proof: Option<&str>,
        robbed: Vec<(UserId, Device)>,
    ) -> Result<Registration, EngineError> {
        let mut last = Registration::Done;
        let mut is_refused = proof.is_some();
        let is_one = robbed.len() == 1;
        for (owner, phone) in robbed {
            let token = phone.notice_token().ok_or(EngineError::TokenHeld)?;
            let claim = Claim { user, device: &device.id, token };
            if proof.is_some_and(|proof| proofs.check(proof, claim, self.clock().now())) {
                is_refused = false;
                // What is proved stays so where another phone is still to be proved. The registration takes away a single one itself, so that
                // somebody is rung at any time.
                if !is_one {
                    self.store().remove_device(&owner, &phone.id).await?;
                }
            } else {
                last = Registration::Pending(self.push_proof(proofs, claim, owner, phone.clone()).await?);
            }
        }
        if is_refused { Err(EngineError::ProofRefused) } else { Ok(last) }
    }

    /// The phones of other users that this registration would take away, and whose owners were here lately.
    pub(super) async fn robbed(&self, user: &UserId, device: &Device) -> Result<Vec<(UserId, Device)>, EngineError> {
        let lately = self.clock().now();
        let mut robbed: Vec<(UserId, Device)> = Vec::new();
        for token in device.tokens() {
            let Some((owner, phone)) = self.store().holder(token).await? else { continue };
            let is_known = robbed.iter().any(|(other, known)| *other == owner && known.id == phone.id);
            let was_here = lately.since(phone.registered_at) < HERE_LATELY;
            // Nobody calls a banned user, so nothing of theirs is lost.
            if owner != *user && !is_known && was_here && self.ban_of(&owner).await?.is_none() {
                robbed.push((owner, phone));
            }
        }
        Ok(robbed)
    }

    async fn push_proof(
        &self,
        proofs: &Proofs,
        claim: Claim<'_>,
        owner: UserId,
        phone: Device,
    ) -> Result<Timestamp, EngineError> {
        let charges = charges(claim.user, claim.token);
        self.within_limits(self.store().admit(&owner, &charges).await)?;
        let until = self.clock().now() + GOOD_FOR;
        let none = || EngineError::from(StoreError::Unavailable("there is no secret to make a proof with".into()));
        let proof = proofs.make(claim, until).ok_or_else(none)?;
        let proof = Proof { owner, phone, device: claim.device.clone(), proof, until };
        let full = |_| StoreError::Unavailable("too many proofs are under way".into());
        self.0.proofs.try_send(proof).map_err(full)?;
        Ok(until)
    }
}

/// What a push to a token takes of the rates of its owner, whose phone it wakes.
fn charges(by: &UserId, token: &PushToken) -> [Charge; 2] {
    let phone = HEXLOWER.encode(&digest(&SHA256, token.as_str().as_bytes()).as_ref()[..16]);
    let charge = |rate, of| Charge { limit: Limit::ProofsPerToken, rate, of: Some(of) };
    [charge(BY_ONE, format!("{phone} {by}")), charge(BY_ALL, phone)]
}
