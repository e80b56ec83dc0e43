//! Every kind of caller, and what each has to show.

use bellwire::domain::{CallId, DeviceId, UserId};
use bellwire::ticket::{Ticket, Tickets};
use serde_json::{Value, json};

use super::scene::{IPHONE, PIXEL, Scene};
use crate::support::livekit::{API_KEY, API_SECRET};
use crate::support::livekit_fake::webhook_token;
use crate::support::{SERVICE_KEY, bearer, user_token};

/// The secret that stages sign tickets with.
const TICKET_SECRET: &str = "a-secret-for-the-tickets-of-the-tests";

/// A kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nobody,
    Caller,
    Callee,
    OtherDevice,
    Stranger,
    Banned,
    Ticket,
    OtherTicket,
    OtherCall,
    OldTicket,
    Service,
    UnknownKey,
    ExpiredJwt,
    LiveKit,
    RoomToken,
}

impl Kind {
    pub const ALL: [Self; 15] = [
        Self::Nobody,
        Self::Caller,
        Self::Callee,
        Self::OtherDevice,
        Self::Stranger,
        Self::Banned,
        Self::Ticket,
        Self::OtherTicket,
        Self::OtherCall,
        Self::OldTicket,
        Self::Service,
        Self::UnknownKey,
        Self::ExpiredJwt,
        Self::LiveKit,
        Self::RoomToken,
    ];

    /// As the page names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Caller => "caller",
            Self::Callee => "callee",
            Self::OtherDevice => "other device",
            Self::Stranger => "stranger",
            Self::Banned => "banned",
            Self::Ticket => "ticket",
            Self::OtherTicket => "other ticket",
            Self::OtherCall => "other call",
            Self::OldTicket => "old ticket",
            Self::Service => "service",
            Self::UnknownKey => "unknown key",
            Self::ExpiredJwt => "expired JWT",
            Self::LiveKit => "LiveKit",
            Self::RoomToken => "room token",
        }
    }

    /// The device that the request names, where it names one.
    pub fn device(self) -> &'static str {
        if self == Self::OtherDevice { PIXEL } else { IPHONE }
    }

    /// What it has to show for a request with this body.
    pub fn token(self, scene: &Scene, body: &[u8]) -> Option<String> {
        Some(match self {
            Self::Nobody => return None,
            Self::Caller => bearer(&scene.alice),
            Self::Callee | Self::OtherDevice | Self::Banned => bearer(&scene.bob),
            Self::Stranger => bearer(&scene.erin),
            Self::Ticket => scene.ticket.clone(),
            Self::OtherTicket => scene.pixel_ticket.clone(),
            Self::OtherCall => scene.ticket_of_other_call.clone(),
            Self::OldTicket => old_ticket(scene),
            Self::Service => SERVICE_KEY.to_owned(),
            Self::UnknownKey => format!("{SERVICE_KEY}-that-was"),
            Self::ExpiredJwt => {
                user_token(&json!({"iss": "tests", "aud": "bellwire", "sub": scene.bob, "exp": 1_700_000_000}))
            }
            Self::LiveKit => webhook_token(&scene.stage.clock, API_KEY, API_SECRET, body, |_| ()),
            Self::RoomToken => scene.room_token.clone(),
        })
    }
}

/// A ticket that Bob's iPhone really had, for this call, a while ago.
fn old_ticket(scene: &Scene) -> String {
    let id = |call: &Value| CallId::parse(call.as_str().expect("an id")).expect("an id");
    let ticket = Ticket {
        call: id(&scene.call),
        user: UserId::new(&scene.bob).expect("a user"),
        device: DeviceId::new(IPHONE).expect("a device"),
        expires_at: scene.stage.clock.now() - std::time::Duration::from_secs(1),
    };
    let tickets = Tickets::new(&[bellwire::config::Secret::new(TICKET_SECRET)]).expect("a secret");
    tickets.mint(&ticket).expect("minted")
}
