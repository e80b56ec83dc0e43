//! The rows of a run, as they come: each is printed, and the file of figures written anew, so that a run that is broken off leaves what it
//! measured.

use std::path::PathBuf;

use serde_json::json;

use crate::Failure;
use crate::figures::Row;
use crate::services::Service;

/// What was measured so far, and what is being measured.
pub struct Rows {
    all: Vec<Row>,
    path: Option<PathBuf>,
    /// Whether a service of ours has failed.
    pub ours_failed: bool,
    service: Service,
    /// The service's name in the rows.
    name: String,
    round: usize,
    doing: String,
}

impl Rows {
    /// Rows that are written to this file, too.
    pub fn new(path: Option<PathBuf>) -> Self {
        let (service, name, doing) = (Service::Bellwire, String::new(), String::new());
        Self { all: Vec::new(), path, ours_failed: false, service, name, round: 0, doing }
    }

    /// The next rows are of this service, by this name, in this round.
    pub fn turn(&mut self, service: Service, name: String, round: usize) {
        (self.service, self.name, self.round) = (service, name, round);
    }

    /// Names what is done now: the row that it will have, should it fail.
    pub fn doing(&mut self, scenario: &str) {
        eprintln!("{}: {scenario}", self.name);
        scenario.clone_into(&mut self.doing);
    }

    pub fn add(&mut self, mut row: Row) -> Result<(), Failure> {
        (row.service, row.round) = (self.name.clone(), self.round);
        println!("{row}");
        self.all.push(row);
        self.write()
    }

    /// What is done now has come to nothing.
    pub fn failed(&mut self, why: &Failure) -> Result<(), Failure> {
        self.ours_failed |= self.service.is_ours();
        self.add(Row::failed(&self.doing, &why.to_string()))
    }

    pub fn all(&self) -> &[Row] {
        &self.all
    }

    /// By way of another file, so that there is a whole one at all times.
    fn write(&self) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let rows: Vec<_> = self.all.iter().map(Row::json).collect();
        let beside = path.with_added_extension("new");
        std::fs::write(&beside, serde_json::to_vec_pretty(&json!({"rows": rows}))?)?;
        Ok(std::fs::rename(beside, path)?)
    }
}
