//! The reader of one table: a section takes its keys one after another, and what nobody took is unknown.
//!
//! It goes on after a problem, so that all of them are told at once. Where the values come from is left to
//! [`layers`](super::layers), what they may be to [`kind`](super::kind) and the sections.

use std::collections::BTreeMap;
use std::fs;

use super::Secret;
use super::error::Problem;
use super::kind::Kind;
use super::layers::Node;

/// A table that is being read.
pub(super) struct Fields {
    at: String,
    left: BTreeMap<String, Node>,
    known: Vec<String>,
    problems: Vec<Problem>,
}

impl Fields {
    /// The whole tree.
    pub(super) fn of(tree: &Node) -> Self {
        Self::at(String::new(), tree.table().unwrap_or_default())
    }

    fn at(at: String, left: BTreeMap<String, Node>) -> Self {
        Self { at, left, known: Vec::new(), problems: Vec::new() }
    }

    /// A value that must be there. `None` means here and below that a problem has been noted.
    pub(super) fn required<T>(&mut self, key: &str, kind: &Kind<T>) -> Option<T> {
        match self.take(key) {
            Some(node) => self.read(key, kind, &node),
            None => self.problem(key, format!("missing; expected {}", kind.expected)),
        }
    }

    /// A value that may be absent or the empty text, which is the same.
    pub(super) fn optional<T>(&mut self, key: &str, kind: &Kind<T>) -> Option<T> {
        let node = self.take(key)?;
        if node.text() == Some("") { None } else { self.read(key, kind, &node) }
    }

    /// A secret that is given as `key` or in the file `key_file`.
    pub(super) fn secret(&mut self, key: &str, least_bytes: usize) -> Option<Secret> {
        let expected = format!("a text of at least {least_bytes} bytes, here or in {key}_file");
        let given = self.take_secret(key, &expected)?;
        self.read_secret(&given, &given.node, least_bytes, &expected)
    }

    /// A secret that may be absent.
    pub(super) fn optional_secret(&mut self, key: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        if self.has(key) || self.has(&file_key) {
            return self.secret(key, 1);
        }
        self.ignore(&[key, &file_key]);
        None
    }

    /// One secret or a list of them, given as `key` or in the file or files `key_file`; `hint` says how to make one.
    pub(super) fn secrets(&mut self, key: &str, least_bytes: usize, hint: &str) -> Option<Vec<Secret>> {
        let expected =
            format!("a text of at least {least_bytes} bytes or a list of such, here or in {key}_file ({hint})");
        let given = self.take_secret(key, &expected)?;
        let nodes = given.node.list().unwrap_or_else(|| vec![given.node.clone()]);
        // A list in a variable that is no TOML would otherwise pass for a secret.
        if nodes.is_empty() || nodes.iter().any(|node| node.text().is_some_and(|text| text.starts_with('['))) {
            return self.problem(&given.key, format!("expected {expected}"));
        }
        nodes.iter().map(|node| self.read_secret(&given, node, least_bytes, &expected)).collect()
    }

    /// As [`secrets`](Self::secrets), where there may be none.
    pub(super) fn optional_secrets(&mut self, key: &str, least_bytes: usize, hint: &str) -> Option<Vec<Secret>> {
        let file_key = format!("{key}_file");
        if self.has(key) || self.has(&file_key) {
            return self.secrets(key, least_bytes, hint);
        }
        self.ignore(&[key, &file_key]);
        Some(Vec::new())
    }

    /// A table with a section in it.
    pub(super) fn section<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        match self.take(key) {
            None => self.read_table(key, BTreeMap::new(), read),
            Some(node) => match node.table() {
                Some(table) => self.read_table(key, table, read),
                None => self.problem(key, "expected a table".to_owned()),
            },
        }
    }

    /// A list of tables, which may be absent.
    pub(super) fn sections<T>(&mut self, key: &str, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let Some(node) = self.take(key) else { return Some(Vec::new()) };
        let tables: Option<Vec<_>> = node.list().and_then(|nodes| nodes.iter().map(Node::table).collect());
        let Some(tables) = tables else { return self.problem(key, "expected a list of tables".to_owned()) };
        let read: Vec<_> = tables
            .into_iter()
            .enumerate()
            .map(|(index, table)| self.read_table(&format!("{key}[{index}]"), table, &read))
            .collect();
        read.into_iter().collect()
    }

    /// A table of texts under names that are free.
    pub(super) fn texts(&mut self, key: &str) -> Option<BTreeMap<String, String>> {
        let Some(node) = self.take(key) else { return Some(BTreeMap::new()) };
        let texts = node.table().and_then(|entries| {
            entries.into_iter().map(|(name, node)| Some((name, node.text()?.to_owned()))).collect()
        });
        texts
            .or_else(|| self.problem(key, "expected a table of texts, such as { role = \"authenticated\" }".to_owned()))
    }

    /// Whether a key is there and is not the empty text.
    pub(super) fn has(&self, key: &str) -> bool {
        self.left.get(key).is_some_and(|node| node.text() != Some(""))
    }

    /// Notes a problem if a key is there that another one excludes.
    pub(super) fn refuse(&mut self, key: &str, why: &str) {
        if self.has(key) {
            self.problem::<()>(key, why.to_owned());
        }
        self.take(key);
    }

    /// Takes keys that nothing can be said about.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// Notes a problem; returns `None`, so that a reader can end with it.
    pub(super) fn problem<T>(&mut self, key: &str, message: String) -> Option<T> {
        self.problems.push(Problem { key: self.full(key), message });
        None
    }

    /// Every problem that was met, with the keys that nobody took.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for key in std::mem::take(&mut self.left).into_keys() {
            let message = match closest(&key, &self.known) {
                Some(known) => format!("unknown key; did you mean {known:?}?"),
                None => "unknown key".to_owned(),
            };
            self.problem::<()>(&key, message);
        }
        self.problems
    }

    fn take(&mut self, key: &str) -> Option<Node> {
        self.known.push(key.to_owned());
        self.left.remove(key)
    }

    fn full(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    fn read<T>(&mut self, key: &str, kind: &Kind<T>, node: &Node) -> Option<T> {
        (kind.read)(node).or_else(|| {
            let got = if kind.quoted { format!("; got {}", node.shown()) } else { String::new() };
            self.problem(key, format!("expected {}{got}", kind.expected))
        })
    }

    fn read_table<T>(
        &mut self,
        key: &str,
        table: BTreeMap<String, Node>,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let mut fields = Self::at(self.full(key), table);
        let value = read(&mut fields);
        self.problems.extend(fields.finish());
        value
    }

    fn take_secret(&mut self, key: &str, expected: &str) -> Option<GivenSecret> {
        let file_key = format!("{key}_file");
        let given = (self.has(key), self.has(&file_key));
        let (text, file) = (self.take(key), self.take(&file_key));
        match given {
            (true, false) => text.map(|node| GivenSecret { node, key: key.to_owned(), in_file: false }),
            (false, true) => file.map(|node| GivenSecret { node, key: file_key, in_file: true }),
            (true, true) => self.problem(key, format!("stands beside {file_key}; expected one of the two")),
            (false, false) => self.problem(key, format!("missing; expected {expected}")),
        }
    }

    fn read_secret(&mut self, given: &GivenSecret, node: &Node, least: usize, expected: &str) -> Option<Secret> {
        let read = if given.in_file { content(node) } else { Ok(node.text().unwrap_or_default().to_owned()) };
        match read {
            Ok(text) if text.len() >= least => Some(Secret::new(text)),
            Ok(_) => self.problem(&given.key, format!("expected {expected}")),
            Err(unreadable) => self.problem(&given.key, unreadable),
        }
    }
}

/// A secret, or the name of its file, with the key that it was given as.
struct GivenSecret {
    node: Node,
    key: String,
    in_file: bool,
}

/// The content of the file that `node` names, without the newline that editors put at the end.
fn content(node: &Node) -> Result<String, String> {
    let path = node.path(node.text().ok_or("expected the path of a file")?);
    let content = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(content.trim_end_matches(['\r', '\n']).to_owned())
}

/// The known key that differs least, if it differs in less than a third or so.
fn closest<'a>(key: &str, known: &'a [String]) -> Option<&'a str> {
    let (distance, nearest) = known.iter().map(|known| (edits(key, known), known)).min()?;
    (distance <= 1 + key.len() / 4).then_some(nearest)
}

/// How many characters must be put in, taken out or replaced to make one text of the other.
fn edits(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
