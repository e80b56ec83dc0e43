//! `[policy]`: who may call whom, and who is asked about it.

use std::time::Duration;

use super::describe::Description;
use super::fields::Fields;
use super::kind;
use super::webhooks::{HINT, SigningSecret, signing};

/// `[policy]`.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whose calls ring a user.
    pub allow: Allow,
    /// Who is asked on each invite, if anybody is.
    pub hook: Option<Hook>,
}

/// Whose calls ring a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// Everybody's.
    All,
    /// Those of the contacts that the backend has listed for them.
    Contacts,
}

/// The app's backend, which is asked whether a call may be.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Where questions are posted to.
    pub url: String,
    /// The secrets, each of which signs.
    pub secrets: Vec<SigningSecret>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Whether calls go on where there is none.
    pub fails_open: bool,
}

const ALLOW: &[(&str, Allow)] = &[("all", Allow::All), ("contacts", Allow::Contacts)];
const ON_FAILURE: &[(&str, bool)] = &[("open", true), ("closed", false)];

pub(super) fn read(fields: &mut Fields) -> Option<Policy> {
    let allow = fields.required("allow", &kind::one_of(ALLOW));
    let is_asked = fields.has("url");
    let url = fields.optional("url", &kind::safe_url("https://api.example.com/may-call"));
    let timeout = fields.required("timeout", &kind::duration("50ms", "10s", "1s"));
    let fails_open = fields.required("on_failure", &kind::one_of(ON_FAILURE));
    if !is_asked {
        for key in ["secrets", "secrets_file"] {
            fields.refuse(key, "is only for a policy.url");
        }
        return Some(Policy { allow: allow?, hook: None });
    }
    let secrets = fields.secrets("secrets", 1, HINT).and_then(|secrets| signing(fields, &secrets));
    let hook = Hook { url: url?, secrets: secrets?, timeout: timeout?, fails_open: fails_open? };
    Some(Policy { allow: allow?, hook: Some(hook) })
}

impl Policy {
    pub(super) fn describe(&self, out: &mut Description) {
        out.one_of("allow", self.allow, ALLOW);
        let Some(hook) = &self.hook else { return out.text("url", "") };
        // A query may have a token in it.
        out.text("url", hook.url.split('?').next().unwrap_or_default());
        out.secret("secrets");
        out.duration("timeout", hook.timeout);
        out.one_of("on_failure", hook.fails_open, ON_FAILURE);
    }
}
