//! What can be wrong with a configuration. Values of secrets are in none of these.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no TOML. The parser's own error is not kept, because it quotes the line, secrets and all.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What the parser met.
        message: String,
    },
    /// Every problem that there is, in the order of the sections.
    #[error("the configuration cannot be used:{}", listed(.0))]
    Invalid(Vec<Problem>),
}

impl ConfigError {
    /// What is wrong, key by key; empty where no file could be read at all.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid(problems) => problems,
            Self::Unreadable { .. } | Self::Syntax { .. } => &[],
        }
    }

    /// The same in one line, as a log has it.
    pub fn in_one_line(&self) -> String {
        match self {
            Self::Unreadable { source, .. } => format!("{self}: {source}"),
            Self::Syntax { .. } => self.to_string(),
            Self::Invalid(problems) => problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "),
        }
    }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |list, problem| format!("{list}\n  {problem}"))
}

/// One key and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key with its section, `push.apns[0].team_id`.
    pub key: String,
    /// What is wrong and what is expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}
