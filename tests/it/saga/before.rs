//! What stands on the lines of Ann and Bob when her invite begins, so that it meets every kind of call and claim.

use std::sync::Arc;

use bellwire::domain::UserId;

use super::ground::LONGER_THAN_ITS_LEASE;
use super::intruders::KEY;
use super::scene::{Said, Scene, invite, inviting, on_phone};
use crate::two_engines::stops::Stops;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    Nothing,
    /// Ann's own call, to be cancelled by this one.
    AnnCallsDan,
    /// To be answered by this one.
    BobCallsAnn,
    CidCallsBob,
    BobTalksWithCid,
    /// Calls that are over, with their claims still on the lines.
    OverButOnTheLines,
    /// Invites that died before their commit.
    AnnToDanDied,
    BobToAnnDied,
    CidToBobDied,
    /// The invite itself was sent before, and its instance died with one line claimed, or both; now it is sent again.
    DiedWithOneLine,
    DiedWithBothLines,
    /// And somebody has taken its id out of use since.
    DiedAndBuried,
}

impl Before {
    pub const ALL: [Self; 12] = [
        Self::Nothing,
        Self::AnnCallsDan,
        Self::BobCallsAnn,
        Self::CidCallsBob,
        Self::BobTalksWithCid,
        Self::OverButOnTheLines,
        Self::AnnToDanDied,
        Self::BobToAnnDied,
        Self::CidToBobDied,
        Self::DiedWithOneLine,
        Self::DiedWithBothLines,
        Self::DiedAndBuried,
    ];

    /// Brings it about. The answer is what was said to whom.
    pub async fn make(self, scene: &Scene<'_>) -> Option<Said> {
        let (cast, engine) = (&scene.cast, &scene.aside.engine);
        let by = "the one before";
        match self {
            Self::Nothing => None,
            Self::AnnCallsDan => Some(invite(by, engine, &cast.ann, &cast.dan, None).await),
            Self::BobCallsAnn => Some(invite(by, engine, &cast.bob, &cast.ann, None).await),
            Self::CidCallsBob => Some(invite(by, engine, &cast.cid, &cast.bob, None).await),
            Self::BobTalksWithCid => {
                let said = invite(by, engine, &cast.cid, &cast.bob, None).await;
                engine.answer(said.call().expect("a call").id, &on_phone(&cast.bob)).await.expect("answered");
                Some(said)
            }
            Self::OverButOnTheLines => {
                for (from, to) in [(&cast.cid, &cast.bob), (&cast.bob, &cast.ann)] {
                    let said = invite(by, engine, from, to, None).await;
                    engine.cancel(said.call().expect("a call").id, &on_phone(from)).await.expect("cancelled");
                }
                None
            }
            Self::AnnToDanDied => died(scene, &cast.ann, &cast.dan, None, 4).await,
            Self::BobToAnnDied => died(scene, &cast.bob, &cast.ann, None, 4).await,
            Self::CidToBobDied => died(scene, &cast.cid, &cast.bob, None, 4).await,
            Self::DiedWithOneLine => died(scene, &cast.ann, &cast.bob, Some(KEY), 2).await,
            Self::DiedWithBothLines => died(scene, &cast.ann, &cast.bob, Some(KEY), 4).await,
            Self::DiedAndBuried => {
                died(scene, &cast.ann, &cast.bob, Some(KEY), 4).await;
                let store = scene.ground.store();
                let history = store.history(&cast.ann, None, 1).await.expect("a history");
                store.bury(history[0]).await.expect("buried");
                None
            }
        }
    }
}

/// An invite whose instance died after so many places, more than its lease ago.
async fn died(scene: &Scene<'_>, from: &UserId, to: &UserId, key: Option<&'static str>, places: usize) -> Option<Said> {
    let stops: Arc<Stops> = Stops::behind(places);
    let instance = scene.ground.instance(2, &stops);
    let dying = inviting("the one that died", &instance.engine, from, to, key);
    stops.held().await;
    stops.kill();
    assert!(dying.await.expect("no panic").answer.is_err());
    scene.ground.clock.advance(LONGER_THAN_ITS_LEASE);
    None
}
