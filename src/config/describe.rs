//! The configuration in force, told key by key, with secrets masked.

use std::fmt::Display;
use std::time::Duration;

/// Lines of key and value, values as they would stand in the file.
pub(super) struct Description {
    section: String,
    lines: Vec<(String, String)>,
}

impl Description {
    pub(super) fn new() -> Self {
        Self { section: String::new(), lines: Vec::new() }
    }

    /// What follows is of this section.
    pub(super) fn section(&mut self, name: impl Into<String>) {
        self.section = name.into();
    }

    pub(super) fn into_lines(self) -> Vec<(String, String)> {
        self.lines
    }

    /// A value that stands without quotes.
    pub(super) fn plain(&mut self, key: &str, value: impl Display) {
        self.lines.push((format!("{}.{key}", self.section), value.to_string()));
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

    /// That there is a secret, and no more.
    pub(super) fn secret(&mut self, key: &str) {
        self.plain(key, "(secret)");
    }
}

fn quoted(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}
