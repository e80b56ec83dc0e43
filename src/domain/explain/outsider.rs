//! One sentence for a device that the callee has now, and that takes no part in the call.

use super::cause::Cause;
use super::verdict::who;
use crate::domain::call::Call;
use crate::domain::device::Device;

/// The sentence.
pub(super) fn verdict(call: &Call, device: &Device, cause: Cause) -> String {
    let (caller, callee) = (&call.caller.id, &call.callee.id);
    let text = match cause {
        Cause::BlockedCaller => {
            format!("{callee} has blocked {caller}, so nothing was pushed and it learns nothing of the call")
        }
        Cause::CalleeBanned => format!("{callee} is banned, so nothing was pushed"),
        Cause::RegisteredLater => {
            format!("it was registered or refreshed at {}, after the call had begun", device.registered_at)
        }
        Cause::BrowserNotConnected => {
            "it had no event stream open when the call began, and there is no push to browsers".to_owned()
        }
        _ => format!("the call did not go to it: it was for another device only, or {callee} was banned then"),
    };
    format!("{}: {text}.", who(call, device))
}
