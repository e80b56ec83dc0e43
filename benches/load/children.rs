//! Processes of this program, beyond what `examples/shared/child.rs` does: they end with it however it ends, and are waited for with
//! deadlines.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::Failure;
use crate::child::{self, Output, Process};
use crate::deadline::{READY, STOPPED, within};

/// What goes before a program so that the system kills it when this one has ended, even by SIGKILL; it then is that program.
const BOUND: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];

/// A program that ends with this one.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    wrapped("", program)
}

/// The same behind a wrapper, which may be several words or none.
pub fn wrapped(wrapper: &str, program: impl AsRef<OsStr>) -> Command {
    let [first, rest @ ..] = BOUND;
    let mut command = Command::new(first);
    command.args(rest);
    if !wrapper.is_empty() {
        command.args(wrapper.split_whitespace()).args(BOUND);
    }
    command.arg(program);
    command
}

/// The values of the line that a process prints when it is ready, and what it prints after that.
pub async fn ready(mut output: Output) -> Result<(HashMap<String, String>, Output), Failure> {
    let (send, said) = oneshot::channel();
    // A thread, which ends with the process at the latest: a pipe is read without a deadline.
    std::thread::spawn(move || {
        let values = child::ready(&mut output);
        let _ = send.send(values.map(|values| (values, output)));
    });
    within(READY, "ready", async { said.await? }).await
}

/// Ends a process as an operator would; `pid` is that of the service in it.
pub async fn end(process: &mut Process, pid: u32) -> Result<(), Failure> {
    child::terminate(pid)?;
    within(STOPPED, "stopped", async {
        while process.exit_within(Duration::ZERO).is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    })
    .await
}
