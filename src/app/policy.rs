//! Has the engine's question whether a call may be asked of the app's backend.

use async_trait::async_trait;

use crate::engine::policy::Hook;
use crate::engine::{EngineError, InviteRequest};
use crate::outbound::policy::{By, Policy, Question, Ruling};
use crate::outbound::record::PartyView;

#[async_trait]
impl Hook for Policy {
    async fn ask(&self, request: &InviteRequest) -> Result<(), EngineError> {
        let question = Question {
            caller: PartyView::from(&request.caller),
            callee: &request.callee,
            media: request.media,
            metadata: request.metadata.as_deref(),
            test: request.test,
            asked_by: if request.by_service { By::Service } else { By::User },
        };
        match self.ask(&request.caller.id, &question).await {
            Ruling::Allowed => Ok(()),
            Ruling::Refused(reason) => Err(EngineError::CallRefused(reason)),
            Ruling::Unknown => Err(EngineError::PolicyUnavailable),
            Ruling::TooMany => Err(EngineError::TooManyInvites),
        }
    }
}
