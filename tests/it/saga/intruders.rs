//! What others do while the invite of Ann to Bob stands still.

use bellwire::engine::{Engine, EngineError};

use super::scene::{Cast, Said, ban_of, invite, on_phone};
use crate::two_engines::stops::DEAD;

/// The idempotency key of the invite under fire.
pub const KEY: &str = "first";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intruder {
    CidCallsBob,
    CidTalksWithBob,
    BobCallsAnn,
    BobCallsDan,
    AnnCallsBobAgain,
    AnnRetries,
    AnnCallsDan,
    DanCallsAnn,
    BobIsBanned,
    AnnIsBanned,
    BobBlocksAnn,
    BobHangsUp,
}

impl Intruder {
    pub const ALL: [Self; 12] = [
        Self::CidCallsBob,
        Self::CidTalksWithBob,
        Self::BobCallsAnn,
        Self::BobCallsDan,
        Self::AnnCallsBobAgain,
        Self::AnnRetries,
        Self::AnnCallsDan,
        Self::DanCallsAnn,
        Self::BobIsBanned,
        Self::AnnIsBanned,
        Self::BobBlocksAnn,
        Self::BobHangsUp,
    ];

    /// Whether it is a later invite of Ann, which counts for more than the one under fire.
    pub fn redials(self) -> bool {
        matches!(self, Self::AnnCallsBobAgain | Self::AnnCallsDan)
    }

    /// Whether it is a call that meets what the invite has claimed, if it has.
    pub fn meets_its_claims(self) -> bool {
        !matches!(
            self,
            Self::CidTalksWithBob | Self::BobCallsDan | Self::AnnIsBanned | Self::BobBlocksAnn | Self::BobHangsUp
        )
    }

    pub async fn go(self, engine: Engine, cast: Cast) -> Option<Said> {
        let Cast { ann, bob, cid, dan } = &cast;
        let by = "the intruder";
        match self {
            Self::CidCallsBob => Some(invite(by, &engine, cid, bob, None).await),
            Self::CidTalksWithBob => {
                let said = invite(by, &engine, cid, bob, None).await;
                if let Some(call) = said.call().filter(|call| !call.is_ended()) {
                    // It may be over again by now.
                    let _ = engine.answer(call.id, &on_phone(bob)).await;
                }
                Some(said)
            }
            Self::BobCallsAnn => Some(invite(by, &engine, bob, ann, None).await),
            Self::BobCallsDan => Some(invite(by, &engine, bob, dan, None).await),
            Self::AnnCallsBobAgain => Some(invite(by, &engine, ann, bob, Some("second")).await),
            Self::AnnRetries => Some(invite(by, &engine, ann, bob, Some(KEY)).await),
            Self::AnnCallsDan => Some(invite(by, &engine, ann, dan, None).await),
            Self::DanCallsAnn => Some(invite(by, &engine, dan, ann, None).await),
            Self::BobIsBanned | Self::AnnIsBanned => {
                let user = if self == Self::AnnIsBanned { ann } else { bob };
                done_unless_dead(engine.ban(ban_of(user, engine.clock().now())).await);
                None
            }
            Self::BobBlocksAnn => {
                done_unless_dead(engine.set_block(bob, ann, true).await.map(drop));
                None
            }
            Self::BobHangsUp => {
                let known = engine.history(bob, None, 10).await.map_or_else(|_| Vec::new(), |page| page.calls);
                for call in known {
                    done_unless_dead(engine.hang_up(call.id, &on_phone(bob)).await.map(drop));
                }
                None
            }
        }
    }
}

fn done_unless_dead(result: Result<(), EngineError>) {
    if let Err(error) = result {
        assert!(error.to_string().contains(DEAD), "{error}");
    }
}
