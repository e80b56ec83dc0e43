//! The configuration in force, told key by key, with secrets masked.

use std::fmt::Display;
use std::time::Duration;

/// A key and its value.
pub(super) struct Line {
    pub key: String,
    /// The value as it would stand in the file, or `(secret)`.
    pub shown: String,
    /// What of the value is not shown.
    pub hidden: Vec<Vec<u8>>,
}

/// What stands in place of a secret.
pub(super) const SECRET: &str = "(secret)";

/// Lines of key and value.
pub(super) struct Description {
    section: String,
    lines: Vec<Line>,
}

impl Description {
    pub(super) fn new() -> Self {
        Self { section: String::new(), lines: Vec::new() }
    }

    /// What follows is of this section.
    pub(super) fn section(&mut self, name: impl Into<String>) {
        self.section = name.into();
    }

    pub(super) fn into_lines(self) -> Vec<Line> {
        self.lines
    }

    /// A value that stands without quotes.
    pub(super) fn plain(&mut self, key: &str, value: impl Display) {
        let (key, shown) = (format!("{}.{key}", self.section), value.to_string());
        self.lines.push(Line { key, shown, hidden: Vec::new() });
    }

    /// A value that stands in quotes.
    pub(super) fn text(&mut self, key: &str, value: impl Display) {
        self.plain(key, quoted(value));
    }

    /// A list of such.
    pub(super) fn texts(&mut self, key: &str, values: impl IntoIterator<Item = impl Display>) {
        self.plain(key, format_args!("[{}]", values.into_iter().map(quoted).collect::<Vec<_>>().join(", ")));
    }

    /// A text that may be absent, which shows as the empty one.
    pub(super) fn optional(&mut self, key: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.text(key, ""),
        }
    }

    pub(super) fn duration(&mut self, key: &str, value: Duration) {
        self.text(key, humantime::format_duration(value));
    }

    /// One of a few names, by the list that it was read with.
    pub(super) fn one_of<T: Copy + PartialEq>(&mut self, key: &str, value: T, names: &[(&str, T)]) {
        self.optional(key, names.iter().find(|(_, named)| *named == value).map(|(name, _)| name));
    }

    /// That there is a secret, or some, and no more.
    pub(super) fn secret(&mut self, key: &str, values: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        self.plain(key, SECRET);
        self.hides(values);
    }

    /// What the last line does not show of its value.
    pub(super) fn hides(&mut self, values: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        if let Some(line) = self.lines.last_mut() {
            line.hidden = values.into_iter().map(|value| value.as_ref().to_vec()).collect();
        }
    }
}

fn quoted(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}
