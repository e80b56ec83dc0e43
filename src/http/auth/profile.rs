//! What of a user is shown to others: a name and an avatar that are fit to be shown.

use reqwest::Url;

use crate::domain::ids::turns_text;

const MAX_NAME_CHARS: usize = 128;
const MAX_AVATAR_BYTES: usize = 1024;

/// A display name without control characters, trimmed and cut to 128 characters; `None` if nothing is left.
pub(super) fn display_name(text: &str) -> Option<String> {
    let shown: String = text.chars().filter(|c| !c.is_control() && !turns_text(*c)).collect();
    let name: String = shown.trim().chars().take(MAX_NAME_CHARS).collect();
    let name = name.trim_end();
    (!name.is_empty()).then(|| name.to_owned())
}

/// An avatar's URL, normalised, if it is https on its standard port at one of `hosts`.
pub(super) fn avatar(text: &str, hosts: &[String]) -> Option<String> {
    if text.len() > MAX_AVATAR_BYTES {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let plain =
        url.scheme() == "https" && url.port().is_none() && url.username().is_empty() && url.password().is_none();
    let listed = url.host_str().is_some_and(|host| hosts.iter().any(|listed| listed.eq_ignore_ascii_case(host)));
    (plain && listed).then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_fit_to_be_shown() {
        assert_eq!(display_name("  Zoë 👩‍👧 \n").as_deref(), Some("Zoë 👩‍👧"));
        assert_eq!(display_name("a\u{0}b\u{202e}c\r\nd").as_deref(), Some("abcd"));
        assert_eq!(display_name(" \t\u{202e} "), None);
        assert_eq!(display_name(&"é".repeat(500)).map(|name| name.chars().count()), Some(128));
    }

    #[test]
    fn an_avatar_comes_from_a_listed_host_only() {
        let hosts = ["cdn.example".to_owned()];
        assert_eq!(avatar("https://CDN.example/a b.png", &hosts).as_deref(), Some("https://cdn.example/a%20b.png"));
        for bad in [
            "http://cdn.example/a.png",
            "https://evil.example/a.png",
            "https://cdn.example.evil.example/a.png",
            "https://evil.example\\@cdn.example/a.png",
            "https://cdn.example@evil.example/a.png",
            "https://user@cdn.example/a.png",
            "https://cdn.example:8443/a.png",
            "//cdn.example/a.png",
            "javascript:alert(1)",
            "",
        ] {
            assert_eq!(avatar(bad, &hosts), None, "{bad}");
        }
        assert_eq!(avatar(&format!("https://cdn.example/{}", "a".repeat(2000)), &hosts), None);
    }
}
