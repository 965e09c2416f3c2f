//! What is done between crashes.

use attestore_engine::credentials::CredentialSpec;
use attestore_engine::{Engine, Principal, Role};

use crate::model::Model;
use crate::world::World;

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Tenant(&'static str),
    /// Appends `count` events of about `bytes` bytes each about subject number `subject`.
    Append {
        tenant: &'static str,
        count: usize,
        bytes: usize,
        subject: u32,
        key: Option<u32>,
    },
    Flush,
    FlushTenant(&'static str),
    Compact(&'static str),
    Tick,
    Credential,
    Checkpoint(&'static str),
    Later(u64),
}

/// A compaction of what the canonical workload leaves: parts and segments with files of their own, of both tenants, with
/// appends in between that nothing has flushed yet.
pub(crate) fn compaction() -> Vec<Step> {
    let append = |tenant, subject| Step::Append {
        tenant,
        count: 4,
        bytes: 2500,
        subject,
        key: None,
    };
    vec![
        append("acme", 1),
        Step::Flush,
        append("acme", 5),
        Step::Append {
            tenant: "acme",
            count: 1,
            bytes: 10,
            subject: 1,
            key: Some(9),
        },
        Step::Flush,
        append("acme", 3),
        Step::FlushTenant("acme"),
        Step::Append {
            tenant: "acme",
            count: 1,
            bytes: 50,
            subject: 2,
            key: None,
        },
        Step::Append {
            tenant: "globex",
            count: 1,
            bytes: 50,
            subject: 2,
            key: None,
        },
        Step::Flush,
        append("acme", 3),
        Step::Compact("acme"),
        Step::Append {
            tenant: "acme",
            count: 1,
            bytes: 10,
            subject: 1,
            key: Some(9),
        },
        Step::Compact("globex"),
        Step::Compact("_system"),
        append("acme", 3),
        Step::Flush,
        Step::Compact("acme"),
    ]
}

/// Two tenants, subjects, flushes into both kinds of files, a switch of WAL files, a credential.
pub(crate) fn canonical() -> Vec<Step> {
    let append = |tenant, count, bytes, subject| Step::Append {
        tenant,
        count,
        bytes,
        subject,
        key: None,
    };
    vec![
        Step::Tenant("acme"),
        append("acme", 3, 100, 1),
        Step::Tenant("globex"),
        append("globex", 1, 2000, 2),
        append("acme", 2, 100, 1),
        Step::Flush,
        Step::Later(1000),
        append("acme", 4, 100, 3),
        Step::Append {
            tenant: "acme",
            count: 1,
            bytes: 10,
            subject: 1,
            key: Some(7),
        },
        Step::Append {
            tenant: "acme",
            count: 1,
            bytes: 10,
            subject: 1,
            key: Some(7),
        },
        append("globex", 4, 2500, 2),
        Step::Checkpoint("acme"),
        append("globex", 5, 2500, 4),
        append("globex", 5, 2500, 4),
        append("globex", 5, 2500, 4),
        append("globex", 5, 2500, 2),
        append("acme", 2, 100, 5),
        Step::Flush,
        append("acme", 1, 100, 5),
        Step::Credential,
        Step::Tick,
        append("acme", 1, 50, 6),
        Step::FlushTenant("acme"),
        append("acme", 1, 50, 6),
        Step::Append {
            tenant: "acme",
            count: 1,
            bytes: 10,
            subject: 1,
            key: Some(7),
        },
        Step::FlushTenant("acme"),
        Step::Append {
            tenant: "acme",
            count: 1,
            bytes: 10,
            subject: 1,
            key: Some(7),
        },
    ]
}

/// Runs steps until one fails; returns how many were done.
pub(crate) fn run(world: &World, engine: &Engine, model: &mut Model, steps: &[Step]) -> usize {
    for (done, step) in steps.iter().enumerate() {
        if take(world, engine, model, step).is_err() {
            return done;
        }
    }
    steps.len()
}

fn take(world: &World, engine: &Engine, model: &mut Model, step: &Step) -> Result<(), String> {
    let by = Principal::internal();
    let text = |error: attestore_engine::Error| error.to_string();
    match step {
        Step::Tenant(name) => {
            model.tenant_in_doubt = Some((*name).to_owned());
            engine.create_tenant(name, &by).map_err(text)?;
            model.tenant_in_doubt = None;
            model.tenants.entry((*name).to_owned()).or_default();
        }
        Step::Append {
            tenant,
            count,
            bytes,
            subject,
            key,
        } => {
            if !model.tenants.contains_key(*tenant) {
                return Ok(());
            }
            let events = (0..*count)
                .map(|index| event(index, *bytes, *subject, *key))
                .collect();
            model.append(engine, tenant, events, *key)?;
        }
        Step::Flush => drop(engine.flush().map_err(text)?),
        Step::FlushTenant(name) => {
            if model.tenants.contains_key(*name) {
                engine.flush_tenant(name).map_err(text)?;
            }
        }
        Step::Compact(name) => {
            if model.tenants.contains_key(*name) {
                engine.compact(name).map_err(text)?;
            }
        }
        Step::Tick => engine.tick(),
        Step::Credential => {
            let spec = CredentialSpec {
                name: "reader".into(),
                roles: vec![Role::Reader],
                tenants: attestore_engine::Scope::All,
                networks: Vec::new(),
                expires_at_ms: None,
            };
            engine.create_credential(spec, &by).map_err(text)?;
        }
        Step::Checkpoint(name) => {
            if model.tenants.contains_key(*name) {
                engine.checkpoint(name).map_err(text)?;
            }
        }
        Step::Later(ms) => world.clock.advance_ms(*ms),
    }
    Ok(())
}

fn event(index: usize, bytes: usize, subject: u32, key: Option<u32>) -> String {
    let key = key.map_or_else(String::new, |key| format!(r#""idempotency_key":"k{key}","#));
    let filler = "x".repeat(bytes);
    format!(
        r#"{{{key}"action":"file.read","actor":{{"type":"user","id":"u{subject}","email":"u{subject}@example.org"}},"context":{{"ip":"192.0.2.{subject}"}},"metadata":{{"n":{index},"filler":"{filler}"}}}}"#
    )
}
