//! Verifies one tenant's log while the instance runs: re-hashes every record from disk against the signed checkpoint.

use attestore_tlog::{Hash, open_checkpoint, verify_consistency};
use serde::{Serialize, Serializer};

use super::{Problem, records::check_tenant};
use crate::{
    Engine,
    error::{Error, Result},
    heads::checkpoint,
    read::{snapshot, tree},
};

/// What verifying a tenant's log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Name of the log.
    pub origin: String,
    /// Number of entries verified.
    pub size: u64,
    /// Root over them.
    #[serde(serialize_with = "as_text")]
    pub root: Hash,
    /// The signed checkpoint that was verified against.
    pub checkpoint: String,
    /// Records whose commitment was recomputed.
    pub records: u64,
    /// Personal groups whose commitment was recomputed.
    pub groups_opened: u64,
    /// Personal groups that were erased: their commitments stand, their bytes are gone.
    pub groups_erased: u64,
    /// Stored tree nodes that were recomputed.
    pub nodes: u64,
    /// Records that can be read.
    pub live: u64,
    /// Records that were purged.
    pub purged: u64,
    /// Records that were erased whole. Live, purged and erased records are all of the tree's.
    pub erased: u64,
    /// What does not hold; empty if all is well.
    pub problems: Vec<Problem>,
}

fn as_text<S: Serializer>(hash: &Hash, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}

impl VerifyReport {
    /// Says whether everything held.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Engine {
    /// Verifies a tenant's log: every entry, stored node and record against a checkpoint signed now, and that against the
    /// head register. `progress` gets how many of how many records are done. Reads all of the tenant's data.
    ///
    /// # Errors
    /// Only if it could not begin; what it finds is in the report.
    pub fn verify(&self, tenant: &str, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant)?;
        let registered = inner.heads.register().head(&tenant.origin);
        // A flush meanwhile moves records; what failed for that reason alone is checked again on a newer snapshot.
        let checked = snapshot(&tenant, |view| {
            let checked = check_tenant(inner, &tenant, view, progress);
            let moved = !std::sync::Arc::ptr_eq(&tenant.view().flushed, &view.flushed);
            if moved && !checked.problems.is_empty() {
                return Err(Error::Io("flushed while it was verified".to_owned()));
            }
            Ok((checked, view.clone()))
        });
        let (mut checked, view) = checked?;
        let note = match checkpoint::at_least(inner, &tenant, view.size) {
            Ok(signed) => {
                match open_checkpoint(&signed.note, &checkpoint::verifier(&tenant)) {
                    Ok(opened) if opened.size() >= view.size => {
                        let newer = tenant.view();
                        let reader = tree::reader(inner, &tenant, &newer);
                        let proof = attestore_tlog::consistency_proof(&reader, view.size, opened.size());
                        let holds = proof.is_ok_and(|proof| {
                            let root = checked.root.unwrap_or(view.root);
                            verify_consistency(view.size, opened.size(), root, opened.root(), &proof).is_ok()
                        });
                        if !holds {
                            checked.problem(Problem::damage(
                                "heads",
                                0,
                                "the checkpoint is not of these entries",
                            ));
                        }
                    }
                    Ok(_) => {
                        checked.problem(Problem::damage("heads", 0, "the checkpoint is of fewer entries"))
                    }
                    Err(error) => checked.problem(Problem::damage("heads", 0, error.to_string())),
                }
                signed.note.to_string()
            }
            Err(error) => {
                checked.problem(Problem::of(&error, "heads"));
                String::new()
            }
        };
        if let Some(head) = registered {
            let root = tree::root_at(inner, &tenant, &view, head.size);
            if root.as_ref().ok() != Some(&head.root) {
                let reason = format!("the registered head of {} entries is not of this log", head.size);
                checked.problem(Problem {
                    kind: super::ProblemKind::Rollback,
                    ..Problem::damage("heads", 0, reason)
                });
            }
        }
        Ok(VerifyReport {
            origin: tenant.origin.clone(),
            size: view.size,
            root: checked.root.unwrap_or(view.root),
            checkpoint: note,
            records: checked.records,
            groups_opened: checked.groups_opened,
            groups_erased: checked.groups_erased,
            nodes: checked.nodes,
            live: checked.tally.live,
            purged: checked.tally.purged,
            erased: checked.tally.erased,
            problems: checked.problems,
        })
    }
}
