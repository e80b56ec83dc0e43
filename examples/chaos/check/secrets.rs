//! Promise 9: nothing secret stands in a gateway's log.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use super::Judged;
use crate::Failure;
use crate::people::MARKS;
use crate::report::Kind;
use crate::world::config::SECRETS;

/// How every JWT begins: tickets, LiveKit's tokens, users' tokens.
const JWT: &str = "eyJ";
/// How much of a line is shown before what should not be there.
const SHOWN: usize = 120;

/// Reads the gateways' logs.
pub fn read_logs(logs: &[PathBuf], judged: &mut Judged) -> Result<(), Failure> {
    let wanted: Vec<&str> = SECRETS.into_iter().chain(MARKS).chain([JWT]).collect();
    for log in logs {
        for line in BufReader::new(std::fs::File::open(log)?).lines() {
            let line = line?;
            judged.look(Kind::Secrets, 1);
            if let Some(at) = wanted.iter().filter_map(|secret| line.find(secret)).min() {
                let before: String = line[..at].chars().take(SHOWN).collect();
                judged.violation(Kind::Secrets, None, format!("a secret is logged after {before:?}"));
            }
        }
    }
    Ok(())
}
