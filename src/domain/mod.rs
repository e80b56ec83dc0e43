//! What a call is and how it goes on: pure data and one pure function.
//!
//! Nothing here is async, does I/O, reads a clock or draws a random number. Times and ids come in as
//! arguments; what the outside world must do goes out as tasks in the call's record.

pub mod device;
pub mod ids;
pub mod time;

pub use device::{Device, Environment, IosPushMode, Platform};
pub use ids::{AppId, CallId, DeviceId, PushToken, UserId};
pub use time::Timestamp;
