//! Bellwire's own transport, payload and verdict included.

use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{Device, Party, UserId};
use bellwire::push::{Message, Push, Pushers, Ring, Verdict};
use serde_json::json;
use tokio::task::JoinSet;

use crate::Failure;
use crate::stage::{APP, Stage, token};

pub struct Ours {
    pushers: Arc<Pushers>,
    clock: Clock,
}

impl Ours {
    pub async fn start(stage: &Stage) -> Result<Self, Failure> {
        let clock = Clock::system();
        let pushers = Arc::new(Pushers::start(&stage.config()?.push, clock.clone()).await?);
        while pushers.states().iter().any(|state| state.connected < state.of) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self { pushers, clock })
    }

    /// Rings so many phones, so many at a time.
    pub async fn round(&self, pushes: u32, concurrency: u32) -> Result<(), Failure> {
        let mut workers = JoinSet::new();
        for worker in 0..concurrency {
            let (pushers, clock) = (Arc::clone(&self.pushers), self.clock.clone());
            let mut push = ring(&clock, worker)?;
            workers.spawn(async move {
                for _ in (worker..pushes).step_by(concurrency as usize) {
                    push.id = clock.uuid();
                    let report = pushers.send(&push).await;
                    if report.verdict != Verdict::Accepted {
                        return Err(format!("{report:?}"));
                    }
                }
                Ok(())
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
        Ok(())
    }
}

fn ring(clock: &Clock, number: u32) -> Result<Push, Failure> {
    let device =
        json!({"id": "phone-1", "app": APP, "registered_at": 1, "platform": "ios", "voip_token": token(number)});
    let device: Device = serde_json::from_value(device)?;
    let party = json!({"id": "alice", "name": "Alice Liddell", "avatar": "https://example.com/alice.png"});
    let caller: Party = serde_json::from_value(party)?;
    let (created_at, ring_until) = (clock.now(), clock.now() + Duration::from_hours(1));
    let ring = Ring {
        call_id: clock.call_id(),
        caller,
        video: true,
        created_at,
        ring_until,
        // As long as a ticket is.
        ticket: "t".repeat(260),
        url: "https://calls.example.com".into(),
        metadata: None,
    };
    let owner = UserId::new("bob")?;
    Ok(Push { id: clock.uuid(), owner, device: device.into(), expires_at: ring_until, message: Message::Ring(ring) })
}
