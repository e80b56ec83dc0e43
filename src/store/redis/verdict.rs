//! What an error of Redis means for the command that met it, and how it is told.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What an error means for the command that met it.
pub(super) enum Verdict {
    /// It will be refused again.
    Refused,
    /// The server will take it in a while.
    Wait,
    /// This connection leads nowhere.
    Broken,
    /// The server is no master any more.
    Demoted,
    /// Another node of the cluster has the key.
    Elsewhere,
}

impl Verdict {
    /// Of an error.
    pub(super) fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io | ErrorKind::Parse => Self::Broken,
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => Self::Demoted,
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => Self::Elsewhere,
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::NoScript,
            ) => Self::Wait,
            _ if error.code() == Some("BUSY") => Self::Wait,
            _ if error.is_unrecoverable_error() => Self::Broken,
            _ => Self::Refused,
        }
    }
}

/// Says what went wrong without the server's own words, which may quote what it was sent.
pub(super) fn in_words(error: &RedisError) -> String {
    let detail = error.detail().unwrap_or_default();
    match error.code() {
        Some("NOPERM") => not_allowed(&what_is_missing(detail)),
        // What a script meets comes as an error of the script, in the words of one release or another.
        Some("ERR") if detail.contains("ACL failure") || detail.starts_with("The user executing the script") => {
            not_allowed(&what_is_missing(detail))
        }
        Some("ERR") if detail.starts_with("max number of clients") => {
            "Redis has as many clients as it takes".to_owned()
        }
        Some(code) => format!("Redis says {code}"),
        None if error.is_timeout() => "Redis did not answer in time".to_owned(),
        None if error.is_connection_refusal() => "Redis refuses connections".to_owned(),
        None if error.is_connection_dropped() => "the connection to Redis broke".to_owned(),
        None => format!("Redis: {}", error.category()),
    }
}

/// Says that the user of the URL lacks a right.
pub(super) fn not_allowed(what: &str) -> String {
    format!("Redis does not allow its user {what}")
}

/// What a user may not do: the command, which stands in quotes, or what it may not be used on.
fn what_is_missing(detail: &str) -> String {
    match detail.split('\'').nth(1) {
        Some(command) if command.bytes().all(|byte| byte.is_ascii_lowercase() || b"|-".contains(&byte)) => {
            format!("the command {command}")
        }
        _ if detail.contains("channel") => "the channels of store.key_prefix".to_owned(),
        _ if detail.contains("key") => "the keys of store.key_prefix".to_owned(),
        _ => "a command of its scripts".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_may_not_do_is_told_and_nothing_else_of_the_servers_words() {
        let words = |text: &str| {
            let value = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("a value");
            in_words(&value.extract_error().expect_err("an error"))
        };
        let not_allowed = "Redis does not allow its user ";
        for (text, missing) in [
            ("NOPERM this user has no permissions to run the 'config|get' command", "the command config|get"),
            ("NOPERM User x has no permissions to run the 'get' command", "the command get"),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                "the keys of store.key_prefix",
            ),
            ("NOPERM No permissions to access a channel", "the channels of store.key_prefix"),
            (
                "ERR ACL failure in script: User x has no permissions to run the 'sadd' command script: 1",
                "the command sadd",
            ),
            (
                "ERR ACL failure in script: User x has no permissions to access the 'SECRET' channel",
                "the channels of store.key_prefix",
            ),
        ] {
            assert_eq!(words(text), format!("{not_allowed}{missing}"));
        }
        assert_eq!(
            words("ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'x' 'SECRET'"),
            "Redis says ERR"
        );
    }
}
