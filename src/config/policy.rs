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
    /// How long an answer may take.
    pub timeout: Duration,
    /// Whether calls go on where there is none.
    pub fails_open: bool,
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
}

const ALLOW: &[(&str, Allow)] = &[("all", Allow::All), ("contacts", Allow::Contacts)];
const ON_FAILURE: &[(&str, bool)] = &[("open", true), ("closed", false)];

pub(super) fn read(fields: &mut Fields) -> Option<Policy> {
    let allow = fields.required("allow", &kind::one_of(ALLOW));
    let is_asked = fields.has("url");
    let url = fields.optional("url", &kind::safe_url("https://api.example.com/may-call"));
    let timeout = fields.required("timeout", &kind::duration("50ms", "10s", "1s"));
    let fails_open = fields.required("on_failure", &kind::one_of(ON_FAILURE));
    let hook = if is_asked {
        let secrets = fields.secrets("secrets", 1, HINT).and_then(|secrets| signing(fields, &secrets));
        Some(Hook { url: url?, secrets: secrets? })
    } else {
        fields.ignore(&["secrets", "secrets_file"]);
        None
    };
    Some(Policy { allow: allow?, hook, timeout: timeout?, fails_open: fails_open? })
}

impl Policy {
    pub(super) fn describe(&self, out: &mut Description) {
        out.one_of("allow", self.allow, ALLOW);
        // A query may have a token in it.
        let url = self.hook.as_ref().and_then(|hook| hook.url.split('?').next());
        out.optional("url", url);
        if let Some(hook) = &self.hook {
            out.hides([&hook.url]);
            out.secret("secrets", hook.secrets.iter().map(SigningSecret::reveal));
        }
        out.duration("timeout", self.timeout);
        out.one_of("on_failure", self.fails_open, ON_FAILURE);
    }
}
