//! The table of docs/SECURITY-MODEL.md: what each route answers to each kind of caller.

use std::fmt;

use super::callers::Kind;

const PAGE: &str = include_str!("../../../docs/SECURITY-MODEL.md");

/// A row: what one route answers, by the order of [`Kind::ALL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// `GET /v1/calls/{id}`.
    pub route: String,
    /// The call's state that it is asked in, as the page names it.
    pub state: String,
    pub statuses: Vec<String>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| `{}` | {} | {} |", self.route, self.state, self.statuses.join(" | "))
    }
}

/// The cells of a line of a table.
fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The table's rows, once its head has been found to name each kind of caller.
pub fn rows() -> Vec<Row> {
    let mut lines = PAGE.lines().skip_while(|line| !line.starts_with("| route |"));
    let head = cells(lines.next().expect("the table"));
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(head[..2], ["route", "state"]);
    assert_eq!(head[2..], kinds, "the head of the table");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(|line| {
        let mut cells = cells(line);
        assert_eq!(cells.len(), 2 + kinds.len(), "{line}");
        let statuses = cells.split_off(2);
        let route = cells[0].trim_matches('`').to_owned();
        Row { route, state: cells[1].clone(), statuses }
    });
    rows.collect()
}
