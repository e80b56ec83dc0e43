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
    let url = plain(text)?;
    let listed = url.host_str().is_some_and(|host| hosts.iter().any(|listed| listed.eq_ignore_ascii_case(host)));
    (url.port().is_none() && listed).then(|| url.into())
}

/// The same of the app's backend, which may name any host and port.
pub fn avatar_of_service(text: &str) -> Option<String> {
    plain(text).map(String::from)
}

/// An https URL that shows whoever reads it where it leads.
fn plain(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_AVATAR_BYTES && text.starts_with("https://"))?;
    (url.username().is_empty() && url.password().is_none()).then_some(url)
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
            "https://cdn.example./a.png",
            "https://img.cdn.example/a.png",
            "https://example/a.png",
            "https://cdn.ex\u{430}mple/a.png",
            "https://cdn.example%2eevil.example/a.png",
            "https://evil.example?@cdn.example/a.png",
            "https://evil.example#@cdn.example/a.png",
            "https://user:password@cdn.example/a.png",
            "https://127.0.0.1/a.png",
            "https:cdn.example/a.png",
            "//cdn.example/a.png",
            "javascript:alert(1)",
            "",
        ] {
            assert_eq!(avatar(bad, &hosts), None, "{bad}");
        }
        assert_eq!(avatar(&format!("https://cdn.example/{}", "a".repeat(2000)), &hosts), None);
        assert_eq!(avatar("https://cdn.example:443/a", &hosts).as_deref(), Some("https://cdn.example/a"));
        let listed = ["xn--caf-dma.example".to_owned()];
        assert_eq!(
            avatar("https://caf\u{e9}.example/a", &listed).as_deref(),
            Some("https://xn--caf-dma.example/a"),
            "a host beyond ASCII is listed as DNS has it"
        );
    }

    #[test]
    fn an_avatar_of_the_backend_is_https_and_shows_where_it_leads() {
        let shown = avatar_of_service("https://anywhere.example:8443/a b.png");
        assert_eq!(shown.as_deref(), Some("https://anywhere.example:8443/a%20b.png"));
        for bad in [
            "http://cdn.example/a.png",
            "https://cdn.example@evil.example/a.png",
            "https://user:password@cdn.example/a.png",
            "https://",
            "https:/cdn.example/a.png",
            "//cdn.example/a.png",
            "data:image/png;base64,AAAA",
        ] {
            assert_eq!(avatar_of_service(bad), None, "{bad}");
        }
    }
}
