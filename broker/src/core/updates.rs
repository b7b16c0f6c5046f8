//! Which updates agents are offered: kept in the ledger, entered in its chain, decided by people alone.

use taxdisk_protocol::update::UpdatePolicy;

use super::change::{Change, Notice};
use super::types::Refusal;
use super::{Core, Reply};

impl Core {
    pub(super) fn set_updates(&mut self, policy: Option<UpdatePolicy>, by: &str) -> Result<Reply, Refusal> {
        if let Some(policy) = &policy {
            policy.range().map_err(|text| Refusal::new("invalid_parameter", text))?;
            let unknown = policy.agents.iter().find(|id| id.parse().map_or(true, |id| !self.agents.contains_key(&id)));
            if let Some(unknown) = unknown {
                return Err(Refusal::new("invalid_parameter", format!("agents: there is no agent {unknown:?}")));
            }
        }
        // The same again changes nothing, so that a repeated call leaves no second entry.
        if self.updates == policy {
            return Ok(Reply::Done);
        }
        self.audit(None, "updates", serde_json::json!({ "by": by, "policy": policy }));
        let (notice, on) = match (&policy, self.updates.take()) {
            (Some(policy), _) => (policy.clone(), true),
            (None, Some(former)) => (former, false),
            (None, None) => return Ok(Reply::Done),
        };
        self.turn.changes.push(Change::Notice { notice: Notice::Updates(notice), on });
        self.updates = policy;
        Ok(Reply::Done)
    }

    /// What agents are offered.
    pub fn update_policy(&self) -> Option<UpdatePolicy> {
        self.updates.clone()
    }
}
