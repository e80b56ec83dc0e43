//! The layers of the configuration, laid over one another into one tree: compiled-in defaults, file, variables.
//!
//! What the keys mean is left to [`fields`](super::fields) and the sections. Each value remembers the folder in which
//! its relative paths start, and a variable stays text until a reader, who knows the type, asks for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::error::{ConfigError, Problem};

const PREFIX: &str = "BELLWIRE__";

/// A value of the tree, with the folder in which its relative paths start.
#[derive(Clone)]
pub(super) struct Node {
    value: Value,
    folder: Rc<Path>,
}

#[derive(Clone)]
enum Value {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    Scalar(toml::Value),
    Variable(String),
}

/// A step on the way to a key; numbers sort as numbers, so that list elements are added in order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Name(String),
}

/// Reads a document of which `path` tells the place in errors, and `folder` where its relative paths start.
pub(super) fn parse(text: &str, path: &Path, folder: &Path) -> Result<Node, ConfigError> {
    match text.parse::<toml::Table>() {
        Ok(table) => Ok(Node::new(toml::Value::Table(table), &Rc::from(folder))),
        Err(error) => {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            Err(ConfigError::Syntax {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                message: error.message().to_owned(),
            })
        }
    }
}

/// Lays the variables over `tree`, and returns those that have no place in it.
pub(super) fn lay_variables(tree: &mut Node, variables: impl IntoIterator<Item = (String, String)>) -> Vec<Problem> {
    let variables: BTreeMap<Vec<Step>, String> = variables
        .into_iter()
        .filter_map(|(name, text)| Some((name.strip_prefix(PREFIX)?.split("__").map(Step::new).collect(), text)))
        .collect();
    let mut problems = Vec::new();
    for (path, text) in &variables {
        if let Some(rival) = rival_path(path).filter(|rival| !variables.contains_key(rival)) {
            tree.remove(&rival);
        }
        if let Err(message) = tree.put(path, text) {
            problems.push(Problem { key: shown_path(path), message });
        }
    }
    problems
}

impl Step {
    fn new(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_lowercase()), Self::Index)
    }

    fn name(&self) -> String {
        match self {
            Self::Index(index) => index.to_string(),
            Self::Name(name) => name.clone(),
        }
    }
}

impl Node {
    fn new(value: toml::Value, folder: &Rc<Path>) -> Self {
        let value = match value {
            toml::Value::Table(table) => {
                Value::Table(table.into_iter().map(|(name, value)| (name, Self::new(value, folder))).collect())
            }
            toml::Value::Array(items) => Value::List(items.into_iter().map(|item| Self::new(item, folder)).collect()),
            scalar => Value::Scalar(scalar),
        };
        Self { value, folder: folder.clone() }
    }

    /// Lays `over` over this: tables are merged, everything else is replaced.
    pub(super) fn lay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Table(under), Value::Table(over)) => {
                under.retain(|name, _| !over.contains_key(&rival(name)));
                for (name, node) in over {
                    match under.get_mut(&name) {
                        Some(below) => below.lay(node),
                        None => drop(under.insert(name, node)),
                    }
                }
            }
            (_, value) => *self = Self { value, folder: over.folder },
        }
    }

    fn put(&mut self, path: &[Step], text: &str) -> Result<(), String> {
        let [step, rest @ ..] = path else {
            let variable = Self { value: Value::Variable(text.to_owned()), folder: Rc::from(Path::new("")) };
            self.lay(if matches!(self.value, Value::Table(_)) { variable.opened() } else { variable });
            return Ok(());
        };
        *self = self.opened();
        match (&mut self.value, step) {
            (Value::Table(entries), step) => {
                entries.entry(step.name()).or_insert_with(|| Self::empty_for(rest)).put(rest, text)
            }
            (Value::List(items), Step::Index(index)) => {
                if *index == items.len() {
                    items.push(Self::empty_for(rest));
                }
                match items.get_mut(*index) {
                    Some(item) => item.put(rest, text),
                    None => Err(format!("there is no element {} before this one", items.len())),
                }
            }
            (Value::List(_), Step::Name(_)) => Err("expected the number of an element, from 0".to_owned()),
            (Value::Scalar(_) | Value::Variable(_), _) => Err("unknown key".to_owned()),
        }
    }

    fn empty_for(rest: &[Step]) -> Self {
        let value = match rest {
            [Step::Index(_), ..] => Value::List(Vec::new()),
            _ => Value::Table(BTreeMap::new()),
        };
        Self { value, folder: Rc::from(Path::new("")) }
    }

    fn remove(&mut self, path: &[Step]) {
        match (&mut self.value, path) {
            (Value::Table(entries), [last]) => drop(entries.remove(&last.name())),
            (Value::Table(entries), [step, rest @ ..]) => {
                if let Some(node) = entries.get_mut(&step.name()) {
                    node.remove(rest);
                }
            }
            (Value::List(items), [Step::Index(index), rest @ ..]) => {
                if let Some(node) = items.get_mut(*index) {
                    node.remove(rest);
                }
            }
            _ => {}
        }
    }

    /// This value with a variable's text read as TOML, if it is that.
    fn opened(&self) -> Self {
        match &self.value {
            Value::Variable(text) => text.parse().map_or_else(|_| self.clone(), |value| Self::new(value, &self.folder)),
            _ => self.clone(),
        }
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(toml::Value::String(text)) | Value::Variable(text) => Some(text),
            _ => None,
        }
    }

    /// The number, date or truth value, if it is one.
    pub(super) fn scalar(&self) -> Option<toml::Value> {
        match self.opened().value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub(super) fn list(&self) -> Option<Vec<Self>> {
        match self.opened().value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is a table.
    pub(super) fn table(&self) -> Option<BTreeMap<String, Self>> {
        match self.opened().value {
            Value::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// A path that stands in this value.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    /// The value as an error quotes it.
    pub(super) fn shown(&self) -> String {
        match &self.value {
            Value::Table(_) => "a table".to_owned(),
            Value::List(items) if items.iter().any(|item| item.table().is_some()) => "a list of tables".to_owned(),
            Value::List(items) => format!("[{}]", items.iter().map(Self::shown).collect::<Vec<_>>().join(", ")),
            Value::Scalar(scalar) => scalar.to_string(),
            Value::Variable(text) => format!("{text:?}"),
        }
    }
}

/// The other name of a secret: `x_file` for `x`, and `x` for `x_file`.
fn rival(name: &str) -> String {
    name.strip_suffix("_file").map_or_else(|| format!("{name}_file"), str::to_owned)
}

fn rival_path(path: &[Step]) -> Option<Vec<Step>> {
    let (last, before) = path.split_last()?;
    let before = before.iter().map(|step| Step::new(&step.name()));
    Some(before.chain([Step::Name(rival(&last.name()))]).collect())
}

fn shown_path(path: &[Step]) -> String {
    path.iter().enumerate().fold(String::new(), |shown, (place, step)| match step {
        Step::Index(index) => format!("{shown}[{index}]"),
        Step::Name(name) if place == 0 => name.clone(),
        Step::Name(name) => format!("{shown}.{name}"),
    })
}
