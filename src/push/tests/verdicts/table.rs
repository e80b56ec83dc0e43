//! Reads the tables of docs/PUSH.md.

use std::time::Duration;

const PAGE: &str = include_str!("../../../../docs/PUSH.md");

/// What a row says is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    Accepted,
    Retry { after: Option<Duration>, fresh: bool },
    DropToken,
    OtherEnvironment,
    RefreshCredential,
    OurFault,
    GiveUp,
}

/// A row of a provider's table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub status: u16,
    /// The provider's word; none where there is none, or where it is any other.
    pub word: Option<String>,
    /// Whether it is a word that nobody knows.
    pub unheard_of: bool,
    /// What `INVALID_ARGUMENT` is about.
    pub about: Option<String>,
    pub does: Does,
}

/// The rows of the table that begins with this line under this heading.
fn rows(heading: &str, first: &str) -> Vec<Vec<String>> {
    let section = PAGE.split(&format!("\n{heading}\n")).nth(1).expect("the heading");
    let table = section.split(&format!("\n{first}\n")).nth(1).expect("the table");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows: Vec<_> = table.lines().skip(1).take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(!rows.is_empty(), "{heading} has a table");
    rows
}

/// A provider's table.
pub(super) fn of(heading: &str) -> Vec<Row> {
    rows(heading, "| status | reason | action | why |").iter().map(|cells| row(cells)).collect()
}

/// Apple's reasons in a GOAWAY, empty where there is none, and what is done.
pub(super) fn of_goaway() -> Vec<(String, Does)> {
    let rows = rows("### APNs", "| GOAWAY with | action | why |");
    let reason = |cell: &str| match cell {
        "no reason" => String::new(),
        "anything else" => "NeverHeardOf".to_owned(),
        word => word.trim_matches('`').to_owned(),
    };
    rows.iter().map(|cells| (reason(&cells[0]), does(&cells[1]))).collect()
}

fn row(cells: &[String]) -> Row {
    let status = match cells[0].as_str() {
        "other 401" => 401,
        "other 4xx" => 418,
        "other 5xx" => 502,
        "other" => 302,
        number => number.parse().expect("a status"),
    };
    let reason = cells[1].as_str();
    let word = reason.strip_prefix('`').and_then(|rest| rest.split_once('`'));
    Row {
        status,
        word: word.map(|(word, _)| word.to_owned()),
        unheard_of: reason == "anything else",
        about: word.and_then(|(_, rest)| rest.strip_prefix(" about the ")).map(str::to_owned),
        does: does(&cells[2]),
    }
}

fn does(cell: &str) -> Does {
    let (action, rest) = cell.strip_prefix('`').and_then(|rest| rest.split_once('`')).expect("an action");
    match (action, rest) {
        ("Accepted", "") => Does::Accepted,
        ("Retry", "") => Does::Retry { after: None, fresh: false },
        ("Retry", ", fresh connection") => Does::Retry { after: None, fresh: true },
        ("Retry", rest) => {
            let after =
                rest.strip_prefix(" after ").and_then(|time| humantime::parse_duration(&time.replace(' ', "")).ok());
            Does::Retry { after: Some(after.expect("a time")), fresh: false }
        }
        ("DropToken", "") => Does::DropToken,
        ("OtherEnvironment", "") => Does::OtherEnvironment,
        ("RefreshCredential", "") => Does::RefreshCredential,
        ("OurFault", "") => Does::OurFault,
        ("GiveUp", "") => Does::GiveUp,
        _ => panic!("{cell} is no action"),
    }
}
