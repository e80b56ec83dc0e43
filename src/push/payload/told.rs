//! The facts of a push: what privacy lets out, and what there is room for.

use std::fmt;

use serde_json::Value as Json;

use crate::config::push::Privacy;
use crate::domain::{Party, Timestamp};
use crate::push::message::{Message, Push};

/// What is told of a message; profiles and words take names, avatars and metadata from here only.
#[derive(Clone)]
pub(in crate::push) struct Told<'a> {
    pub message: &'a Message,
    /// When it is sent.
    pub now: Timestamp,
    /// Who calls; a cancel does not say.
    pub caller: Option<Caller<'a>>,
    pub metadata: Option<&'a Json>,
}

/// What is told of the caller.
#[derive(Clone, Copy)]
pub(in crate::push) struct Caller<'a> {
    pub id: &'a str,
    pub name: Option<&'a str>,
    pub avatar: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// What is told by a push that is sent `now`.
    pub(in crate::push) fn new(push: &'a Push, privacy: Privacy, now: Timestamp) -> Self {
        let (caller, metadata) = match &push.message {
            Message::Ring(ring) => (Some(&ring.caller), ring.metadata.as_deref()),
            Message::Cancel { .. } | Message::Proof { .. } => (None, None),
            Message::Missed { caller, .. } => (Some(caller), None),
        };
        let caller = caller.map(|party| Caller::new(party, privacy));
        Self { message: &push.message, now, caller, metadata }
    }

    /// The caller's name, if it is told.
    pub(in crate::push) fn caller_name(&self) -> Option<&'a str> {
        self.caller?.name
    }

    /// Leaves out what is needed least: the metadata, then the avatar, then at least `excess` bytes of the name.
    fn shrink(&mut self, excess: usize, left_out: &mut LeftOut) -> Result<(), TooLarge> {
        if self.metadata.take().is_some() {
            left_out.metadata = true;
            return Ok(());
        }
        let caller = self.caller.as_mut().ok_or(TooLarge)?;
        if caller.avatar.take().is_some() {
            left_out.avatar = true;
            return Ok(());
        }
        let name = caller.name.ok_or(TooLarge)?;
        let keep = name.floor_char_boundary(name.len().saturating_sub(excess));
        caller.name = Some(&name[..keep]).filter(|name| !name.is_empty());
        left_out.name = true;
        Ok(())
    }
}

impl<'a> Caller<'a> {
    fn new(party: &'a Party, privacy: Privacy) -> Self {
        let (name, avatar) = match privacy {
            Privacy::Full => (party.name.as_deref(), party.avatar.as_deref()),
            Privacy::NoNames => (None, None),
        };
        Self { id: party.id.as_str(), name, avatar }
    }

    /// What a kit shows that cannot do without a name.
    pub(super) fn shown(&self) -> &'a str {
        self.name.unwrap_or(self.id)
    }
}

/// What a push had no room for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The app's metadata.
    pub metadata: bool,
    /// The caller's avatar.
    pub avatar: bool,
    /// The end of the caller's name, or all of it.
    pub name: bool,
}

impl fmt::Display for LeftOut {
    /// Names it, for logs; nothing if there was room for all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.metadata, "metadata"), (self.avatar, "avatar"), (self.name, "name")];
        let parts: Vec<_> = parts.into_iter().filter(|(left_out, _)| *left_out).map(|(_, part)| part).collect();
        f.write_str(&parts.join(", "))
    }
}

/// A payload that no leaving out makes small enough.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::push) struct TooLarge;

/// Leaves out of what is told until what `render` makes of it has at most `limit` bytes; gives that, and what was left out.
pub(in crate::push) fn fit<T>(
    mut told: Told,
    limit: usize,
    render: impl Fn(&Told) -> (usize, T),
) -> Result<(T, LeftOut), TooLarge> {
    let mut left_out = LeftOut::default();
    loop {
        let (size, rendered) = render(&told);
        if size <= limit {
            return Ok((rendered, left_out));
        }
        told.shrink(size - limit, &mut left_out)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CallId, StopReason};

    const CANCEL: Message =
        Message::Cancel { call_id: CallId::from_uuid(uuid::Uuid::nil()), reason: StopReason::Cancelled };

    fn told(name: &str) -> Told<'_> {
        let caller = Caller { id: "zoe", name: Some(name), avatar: Some("https://example.com/z.png") };
        Told { message: &CANCEL, now: Timestamp::default(), caller: Some(caller), metadata: Some(&Json::Null) }
    }

    fn render(told: &Told) -> (usize, String) {
        let caller = told.caller.expect("a caller");
        let mut text = format!("id={};", caller.id);
        text.extend(caller.name.map(|name| format!("name={name};")));
        text.extend(caller.avatar.map(|avatar| format!("avatar={avatar};")));
        text.extend(told.metadata.map(|metadata| format!("metadata={metadata};")));
        (text.len(), text)
    }

    #[test]
    fn the_least_needed_goes_first() {
        let whole = render(&told("Zoë")).0;
        for (limit, expected, left_out) in [
            (whole, "id=zoe;name=Zoë;avatar=https://example.com/z.png;metadata=null;", ""),
            (whole - 1, "id=zoe;name=Zoë;avatar=https://example.com/z.png;", "metadata"),
            (20, "id=zoe;name=Zoë;", "metadata, avatar"),
            (16, "id=zoe;name=Zo;", "metadata, avatar, name"),
            (14, "id=zoe;name=Z;", "metadata, avatar, name"),
            (13, "id=zoe;", "metadata, avatar, name"),
        ] {
            let (text, left) = fit(told("Zoë"), limit, render).expect("room");
            assert_eq!((text.as_str(), left.to_string().as_str()), (expected, left_out), "{limit}");
        }
        assert_eq!(fit(told("Zoë"), 6, render), Err(TooLarge));
    }
}
