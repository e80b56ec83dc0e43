//! `[devices]`: how a push token comes from one user to another.

use super::describe::Description;
use super::fields::Fields;
use super::kind;

/// `[devices]`.
#[derive(Debug, Clone)]
pub struct Devices {
    /// Whose a token is that a second user registers.
    pub takeover: Takeover,
}

/// Whose a token is that a second user registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// The newest user's.
    Newest,
    /// That of its owner, if they were here lately, until the newest has shown that its phone is theirs.
    Proof,
}

const TAKEOVER: &[(&str, Takeover)] = &[("newest", Takeover::Newest), ("proof", Takeover::Proof)];

pub(super) fn read(fields: &mut Fields) -> Option<Devices> {
    let takeover = fields.required("takeover", &kind::one_of(TAKEOVER));
    Some(Devices { takeover: takeover? })
}

impl Devices {
    pub(super) fn describe(&self, out: &mut Description) {
        out.one_of("takeover", self.takeover, TAKEOVER);
    }
}
