//! Lua scripts: what must happen in one step, one script for each kind of step.
//!
//! A script is sent by its hash; a server that does not know it (a new one, or one whose cache was flushed) gets the source.

use std::sync::LazyLock;

use redis::{Arg, Cmd, ToRedisArgs, cmd};

/// What most calls fit in, apart from values as large as the record of a commit.
const USUAL_ARGS: usize = 24;
const USUAL_BYTES: usize = 1024;

/// A script, with the functions that all of them share.
pub(super) struct Script {
    source: String,
    hash: String,
}

impl Script {
    fn new(source: &str) -> Self {
        let source = format!("{}\n{source}", include_str!("scripts/shared.lua"));
        let hash = redis::Script::new(&source).get_hash().to_owned();
        Self { source, hash }
    }

    /// A call of the script on these keys; arguments are added to it.
    pub(super) fn on(&self, keys: &[impl ToRedisArgs]) -> Cmd {
        self.on_with(keys, 0)
    }

    /// The same, with room for a value of so many bytes beside what is usual.
    pub(super) fn on_with(&self, keys: &[impl ToRedisArgs], bytes: usize) -> Cmd {
        let mut command = Cmd::with_capacity(USUAL_ARGS, USUAL_BYTES + bytes);
        command.arg("EVALSHA").arg(&self.hash).arg(keys.len()).arg(keys);
        command
    }

    /// What it is loaded by.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The same call with the source.
    pub(super) fn with_source(&self, call: &Cmd) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(&self.source);
        for arg in call.args_iter().skip(2) {
            if let Arg::Simple(bytes) = arg {
                command.arg(bytes);
            }
        }
        command
    }
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))));)*

        /// All of them.
        pub(super) static ALL: &[&LazyLock<Script>] = &[$(&$name),*];
    };
}

scripts! {
    /// What all of them need, tried at the start.
    PROBE = "probe.lua";
    /// A call's next record.
    COMMIT = "commit.lua";
    /// A tombstone.
    BURY = "bury.lua";
    /// A record that is not kept any longer.
    REMOVE = "remove.lua";
    /// A claim of a caller.
    OPEN_LINE = "open_line.lua";
    /// A claim of a callee.
    RING_LINE = "ring_line.lua";
    /// What is taken of a user's rates alone.
    ADMIT = "admit.lua";
    /// A claim given up.
    FREE_LINE = "free_line.lua";
    /// A missed call.
    COUNT_MISSED = "count_missed.lua";
    /// A device.
    PUT_DEVICE = "put_device.lua";
    /// A field that is changed or removed as long as it is what was read.
    CHANGE = "change.lua";
    /// A device that must go.
    REMOVE_DEVICE = "remove_device.lua";
    /// A token that is given to a device.
    OWN = "own.lua";
    /// A token that its owner gives up.
    DISOWN = "disown.lua";
    /// Event streams that are to be closed.
    CLOSE = "close.lua";
    /// A ban.
    BAN = "ban.lua";
    /// All contacts of a user.
    PUT_CONTACTS = "put_contacts.lua";
    /// One contact of a user.
    SET_CONTACT = "set_contact.lua";
    /// What a call used.
    ACCOUNT = "account.lua";
    /// An event stream that was opened.
    ATTACH = "attach.lua";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_a_script_is_tried_at_the_start() {
        for script in ALL {
            for call in script.source().split("redis.call('").skip(1) {
                let command = call.split('\'').next().expect("a command");
                assert!(PROBE.source().contains(&format!("try('{command}'")), "{command}");
            }
        }
    }
}
