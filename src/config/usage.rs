//! `[usage]`: what the plan at the media server's provider allows, and when to warn.

use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};

/// `[usage]`; a limit of 0 is none.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Participant minutes of a calendar month (UTC).
    pub participant_minutes_per_month: u32,
    /// Participants at a time.
    pub concurrent_participants: u32,
    /// Shares of which to warn, in per cent.
    pub warn_at: Vec<u32>,
}

pub(super) fn read(fields: &mut Fields) -> Option<Usage> {
    let minutes = fields.required("participant_minutes_per_month", &kind::number(0, u32::MAX));
    let concurrent = fields.required("concurrent_participants", &kind::number(0, u32::MAX));
    let warn_at = fields.required("warn_at", &kind::list(share()));
    Some(Usage { participant_minutes_per_month: minutes?, concurrent_participants: concurrent?, warn_at: warn_at? })
}

/// A share as it is written, 0.8, as per cent.
fn share() -> Kind<u32> {
    Kind::new("a share from 0.01 to 10, such as 0.8", |node| {
        let scalar = node.scalar()?;
        let share = scalar
            .as_float()
            .or_else(|| scalar.as_integer().and_then(|whole| i32::try_from(whole).ok()).map(f64::from))?;
        let per_cent = (share * 100.0).round();
        (1.0..=1000.0).contains(&per_cent).then(|| per_cent_of(per_cent))
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 1 and 1000")]
const fn per_cent_of(per_cent: f64) -> u32 {
    per_cent as u32
}

impl Usage {
    pub(super) fn describe(&self, out: &mut Description) {
        out.plain("participant_minutes_per_month", self.participant_minutes_per_month);
        out.plain("concurrent_participants", self.concurrent_participants);
        let shares: Vec<String> = self.warn_at.iter().map(|share| (f64::from(*share) / 100.0).to_string()).collect();
        out.plain("warn_at", format_args!("[{}]", shares.join(", ")));
    }
}
