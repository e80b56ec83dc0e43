//! Kinds of values: what each is called in an error, and how it is read.
//!
//! Which key is of which kind is said by the section that has it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::http::Uri;

use super::layers::Node;

type Read<T> = Box<dyn Fn(&Node) -> Option<T>>;

/// A kind of value.
pub(super) struct Kind<T> {
    /// How an error names it, after "expected".
    pub expected: String,
    /// Whether an error may quote what was given instead.
    pub quoted: bool,
    /// Reads a value of this kind.
    pub read: Read<T>,
}

impl<T: 'static> Kind<T> {
    /// A kind of which an error quotes the wrong values.
    pub(super) fn new(expected: impl Into<String>, read: impl Fn(&Node) -> Option<T> + 'static) -> Self {
        Self { expected: expected.into(), quoted: true, read: Box::new(read) }
    }

    /// A kind that is written as a text.
    pub(super) fn text(expected: impl Into<String>, read: impl Fn(&str) -> Option<T> + 'static) -> Self {
        Self::new(expected, move |node| read(node.text()?))
    }

    /// The same, never quoted, because a password may be in it.
    pub(super) fn unquoted(self) -> Self {
        Self { quoted: false, ..self }
    }
}

/// Any text but the empty one.
pub(super) fn text() -> Kind<String> {
    Kind::text("a text", |text| (!text.is_empty()).then(|| text.to_owned()))
}

/// A truth value.
pub(super) fn boolean() -> Kind<bool> {
    Kind::new("true or false", |node| node.scalar()?.as_bool())
}

/// A whole number between two bounds, which are both allowed.
pub(super) fn number<T>(least: u32, most: u32) -> Kind<T>
where
    T: TryFrom<u32> + 'static,
{
    Kind::new(format!("a whole number from {least} to {most}"), move |node| {
        let number = u32::try_from(node.scalar()?.as_integer()?).ok()?;
        (least..=most).contains(&number).then(|| T::try_from(number).ok())?
    })
}

/// A duration between two bounds, which are both allowed; bounds and example as they would be written in the file.
pub(super) fn duration(least: &str, most: &str, example: &str) -> Kind<Duration> {
    let bounds = (humantime::parse_duration(least), humantime::parse_duration(most));
    Kind::text(format!("a duration from {least:?} to {most:?}, such as {example:?}"), move |text| {
        let duration = humantime::parse_duration(text).ok()?;
        let (Ok(least), Ok(most)) = &bounds else { return None };
        (least..=most).contains(&&duration).then_some(duration)
    })
}

/// One of a few names.
pub(super) fn one_of<T: Clone + 'static>(names: &'static [(&'static str, T)]) -> Kind<T> {
    let expected = names.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(" or ");
    Kind::text(expected, move |text| names.iter().find(|(name, _)| *name == text).map(|(_, value)| value.clone()))
}

/// A file; it need not be there yet.
pub(super) fn path() -> Kind<PathBuf> {
    Kind::new("the path of a file", |node| node.text().filter(|text| !text.is_empty()).map(|text| node.path(text)))
}

/// A list of another kind.
pub(super) fn list<T: 'static>(of: Kind<T>) -> Kind<Vec<T>> {
    let Kind { expected, quoted, read } = of;
    let list =
        Kind::new(format!("a list, each of it {expected}"), move |node| node.list()?.iter().map(&read).collect());
    Kind { quoted, ..list }
}

/// A URL that others append paths to, of one of these schemes; it is kept without a closing slash.
pub(super) fn base_url(schemes: &'static [&'static str], example: &str) -> Kind<String> {
    let named = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
    without_closing_slash(url(format!("a URL that begins with {named}, such as {example:?}"), |uri| {
        uri.query().is_none() && has_scheme(uri, schemes)
    }))
}

/// A URL without a path.
pub(super) fn origin(schemes: &'static [&'static str], example: &str) -> Kind<String> {
    let named = schemes.iter().map(|scheme| format!("{scheme}://host[:port]")).collect::<Vec<_>>().join(" or ");
    without_closing_slash(url(format!("{named}, such as {example:?}"), |uri| {
        uri.path() == "/" && uri.query().is_none() && has_scheme(uri, schemes)
    }))
}

/// A URL with a host that `good` lets pass. None may have a user and password in it; a wrong one is never quoted,
/// because it may have.
pub(super) fn url(expected: String, good: impl Fn(&Uri) -> bool + 'static) -> Kind<String> {
    let read = move |text: &str| {
        let uri: Uri = text.parse().ok()?;
        let bare = match (uri.host()?, uri.port_u16()) {
            ("", _) => return None,
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        (uri.authority()?.as_str() == bare && good(&uri)).then(|| text.to_owned())
    };
    Kind::text(expected, read).unquoted()
}

/// A URL that is asked over TLS, or on this machine.
pub(super) fn safe_url(example: &str) -> Kind<String> {
    let expected = format!("an https:// URL, or an http:// URL on loopback, such as {example:?}");
    url(expected, |uri| match uri.scheme_str() {
        Some("https") => true,
        Some("http") => uri.host().is_some_and(is_loopback),
        _ => false,
    })
}

pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn has_scheme(uri: &Uri, schemes: &[&str]) -> bool {
    uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme))
}

fn without_closing_slash(url: Kind<String>) -> Kind<String> {
    let Kind { expected, quoted, read } = url;
    let read = Box::new(move |node: &Node| read(node).map(|url| url.trim_end_matches('/').to_owned()));
    Kind { expected, quoted, read }
}
