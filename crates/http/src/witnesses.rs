//! How routes have checkpoints witnessed: who asks the witnesses is passed in.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use attestore_tlog::Policy;
use serde::Serialize;
use utoipa::ToSchema;

/// What is under way until the newest checkpoint of a log is witnessed; ends with why it is not.
pub type Cosigning = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Who asks witnesses.
pub trait Cosigner: Send + Sync {
    /// Has the newest checkpoint of a tenant's log witnessed, and kept by the engine.
    fn cosign(&self, tenant: &str) -> Cosigning;
    /// What is known of the witnesses that are asked for a tenant's log. Empty before the first time.
    fn states(&self, tenant: &str) -> Vec<WitnessBody>;
    /// What the operator demands of witnesses.
    fn policy(&self) -> Policy;
}

/// A witness, as far as this server knows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WitnessBody {
    /// Name in the policy.
    pub name: String,
    /// Size that it last cosigned, or said that it has.
    pub size: Option<u64>,
    /// When it last cosigned, RFC 3339.
    pub cosigned_at: Option<String>,
    /// What went wrong since.
    pub failure: Option<String>,
    /// Failures since the last success.
    pub failures: u64,
}

/// Those that the settings name, if any.
#[derive(Clone, Default)]
pub struct Witnesses(pub Option<Arc<dyn Cosigner>>);

impl fmt::Debug for Witnesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Witnesses"
        } else {
            "no witnesses"
        })
    }
}
