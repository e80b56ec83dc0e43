//! What a call is and how it goes on: pure data and one pure function.
//!
//! Nothing here is async, does I/O, reads a clock or draws a random number. Times and ids come in as
//! arguments; what the outside world must do goes out as tasks in the call's record.
//!
//! Read `call` for the record, `machine` for how it changes, `ring` and `presence` for the rules of the two halves of a call's life.

pub mod acks;
pub mod again;
pub mod call;
pub mod device;
mod ending;
pub mod event;
pub mod explain;
pub mod ids;
pub mod input;
pub mod invite;
pub mod job;
pub mod leg;
pub mod machine;
pub mod presence;
pub mod rate;
pub mod receipt;
pub mod recording;
pub mod ring;
pub mod room;
pub mod state;
pub mod statistics;
pub mod task;
pub mod time;
pub mod timing;
pub mod trace;
pub mod unknown;
pub mod usage;
mod visit;
pub mod webhook;

pub use acks::{Acks, Heard};
pub use again::PushRules;
pub use call::{Call, Party, Rules, TicketScope, WakeUp};
pub use device::{Device, Environment, IosPushMode, Platform};
pub use event::{Event, EventKind};
pub use ids::{AppId, CallId, DeviceId, EndpointId, JobId, PushToken, UserId};
pub use input::{DeclineReason, Input, Outcome, Refusal, RefusalReason};
pub use invite::{Invite, begin};
pub use job::{Job, Work};
pub use leg::{Leg, LegState};
pub use machine::step;
pub use rate::{Limit, Limited, Rate};
pub use receipt::Receipt;
pub use recording::Recording;
pub use state::{DeclineScope, EndReason, Media, State};
pub use task::{StopReason, Task, TaskKind, TaskResult};
pub use time::Timestamp;
pub use timing::{Mark, Step};
pub use trace::TraceParent;
pub use unknown::Unknown;
pub use webhook::{Subscribers, WebhookEvent};
