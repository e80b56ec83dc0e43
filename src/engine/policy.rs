//! Whether a call may be: what is asked before anything of it is claimed, and what the answer means for an invite.
//!
//! Who is asked, and how, is `outbound`'s; whose contacts a user has, the store's.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Engine, EngineError, InviteRequest};
use crate::domain::UserId;
use crate::store::Admits;

/// How many contacts a user may have.
pub const MOST_CONTACTS: usize = 5000;

/// Who may call whom.
#[derive(Clone, Default)]
pub struct Policy {
    /// Who is asked on each invite, if anybody is.
    pub hook: Option<Arc<dyn Hook>>,
    /// Whether only a user's contacts may call them.
    pub contacts_only: bool,
}

/// Whoever rules on calls.
#[async_trait]
pub trait Hook: Send + Sync {
    /// Whether this call may be; it ends within the time that is configured.
    async fn ask(&self, request: &InviteRequest) -> Result<(), EngineError>;
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_asked, contacts_only) = (self.hook.is_some(), self.contacts_only);
        f.debug_struct("Policy").field("is_asked", &is_asked).field("contacts_only", &contacts_only).finish()
    }
}

impl Engine {
    /// Asks whoever rules on calls, if there is anybody.
    pub(super) async fn ask_policy(&self, request: &InviteRequest) -> Result<(), EngineError> {
        match &self.settings().policy.hook {
            Some(hook) => hook.ask(request).await,
            None => Ok(()),
        }
    }

    /// Lists a user's contacts, in place of those who were.
    pub async fn put_contacts(&self, user: &UserId, peers: &[UserId]) -> Result<(), EngineError> {
        Ok(self.store().put_contacts(user, peers).await?)
    }

    /// Adds a contact of a user or takes one off; says whether that changed anything.
    pub async fn set_contact(&self, user: &UserId, peer: &UserId, listed: bool) -> Result<bool, EngineError> {
        Ok(self.store().set_contact(user, peer, listed, MOST_CONTACTS).await?)
    }

    /// A user's contacts, in order.
    pub async fn contacts(&self, user: &UserId) -> Result<Vec<UserId>, EngineError> {
        Ok(self.store().contacts(user).await?)
    }

    /// Whose calls the callee takes. The app's backend decides for itself whom it lets call.
    pub(super) fn admits(&self, request: &InviteRequest) -> Admits {
        let contacts_only = self.settings().policy.contacts_only && !request.by_service;
        if contacts_only { Admits::Contacts } else { Admits::All }
    }
}
