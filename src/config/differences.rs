//! In which keys two configurations differ, also those whose values are not shown.

use super::Config;
use super::describe::{Line, SECRET};

/// A key that has another value in one configuration than in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key with its section; where only one of the two has the section, that: `push.apns[1]`.
    pub key: String,
    /// What the first one has, as it would stand in the file; nothing where it has none, or a secret.
    pub shown: Option<String>,
}

impl Config {
    /// The keys that have other values here than in `other`.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let (mine, theirs) = (self.lines(), other.lines());
        let mut all: Vec<Difference> = Vec::new();
        for line in &mine {
            match theirs.iter().find(|other| other.key == line.key) {
                Some(other) if (&other.shown, &other.hidden) == (&line.shown, &line.hidden) => {}
                Some(_) => {
                    let shown = Some(line.shown.clone()).filter(|shown| shown != SECRET);
                    all.push(Difference { key: line.key.clone(), shown });
                }
                None => add(&mut all, key_or_section(line, &theirs)),
            }
        }
        for line in theirs.iter().filter(|line| mine.iter().all(|other| other.key != line.key)) {
            add(&mut all, key_or_section(line, &mine));
        }
        all
    }
}

fn add(all: &mut Vec<Difference>, key: String) {
    if all.iter().all(|known| known.key != key) {
        all.push(Difference { key, shown: None });
    }
}

/// The key of a line that the others lack; its section, if they have nothing of that.
fn key_or_section(line: &Line, others: &[Line]) -> String {
    let section = line.key.rfind(']').map(|end| &line.key[..=end]);
    let section = section.filter(|section| !others.iter().any(|other| other.key.starts_with(section)));
    section.unwrap_or(&line.key).to_owned()
}
