//! Has this server's checkpoints cosigned: in rounds, and when a client waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use attestore_disk::SystemClock;
use attestore_engine::{Engine, HEADS_TENANT};
use attestore_http::{Cosigner, Cosigning, WitnessBody, Witnesses};
use attestore_tlog::{Policy, VerifierKey};
use attestore_witness::client::{Consistency, Panel};
use parking_lot::Mutex;

use crate::failure::Failure;
use crate::files;
use crate::settings::{self, Settings};

/// The witnesses of the policy, for each log that is asked for.
pub struct Panels {
    engine: Engine,
    configured: Configured,
    panels: Mutex<BTreeMap<String, Arc<Line>>>,
    /// Held while a round of heads is made and cosigned.
    round: tokio::sync::Mutex<()>,
}

/// The witnesses of one log; one round at a time.
struct Line {
    /// Key of the log that the panel goes by.
    vkey: String,
    panel: Panel,
    turn: tokio::sync::Mutex<()>,
    /// Whether the log was held against what every witness keeps of it, or tells that it does not.
    held: AtomicBool,
    /// When the last contradiction of a witness came that was looked into, milliseconds since 1970.
    looked_ms: AtomicU64,
}

/// What the settings say of witnesses.
pub struct Configured {
    policy: Policy,
    http: attestore_outbound::Client,
    settings: settings::Witness,
}

/// Reads the policy; asks nobody yet.
///
/// # Errors
/// Usage, when the policy or the file of authorities makes no sense.
pub fn configured(settings: &Settings) -> Result<Option<Configured>, Failure> {
    let settings = settings.witness.clone();
    let usage = |key: &str, error: &dyn std::fmt::Display| {
        Failure::usage(format!("settings: witness.{key}: {error}"))
    };
    let Some(path) = &settings.policy_file else {
        return match settings.heads {
            true => Err(usage(
                "heads",
                &"there is no policy_file with witnesses for the log of heads",
            )),
            false => Ok(None),
        };
    };
    let text = files::read_text(path)?;
    let policy = Policy::parse(text.as_bytes())
        .map_err(|error| usage("policy_file", &format!("{}: {error}", path.display())))?;
    if policy.quorum().is_none() || policy.witnesses().iter().all(|witness| witness.url().is_none()) {
        let what = format!("{}: no quorum, or no witness with a URL", path.display());
        return Err(usage("policy_file", &what));
    }
    let roots = match settings.ca_file.as_deref() {
        Some(path) => attestore_outbound::roots_with(&files::read(path)?),
        None => Ok(attestore_outbound::roots_of_the_web()),
    };
    let http = roots
        .and_then(attestore_outbound::Client::new)
        .map_err(|error| usage("ca_file", &error))?;
    Ok(Some(Configured {
        policy,
        http,
        settings,
    }))
}

impl Configured {
    /// For the logs of an engine.
    pub fn panels(self, engine: &Engine) -> Arc<Panels> {
        Arc::new(Panels {
            engine: engine.clone(),
            configured: self,
            panels: Mutex::default(),
            round: tokio::sync::Mutex::default(),
        })
    }
}

/// As routes want it.
pub fn for_routes(panels: Option<&Arc<Panels>>) -> Witnesses {
    Witnesses(panels.map(|panels| Arc::new(Handle(Arc::clone(panels))) as Arc<dyn Cosigner>))
}

/// Rounds without end, of logs by themselves and of heads of all logs.
pub async fn run(panels: Arc<Panels>) {
    match panels.configured.settings.heads {
        true => drop(tokio::join!(logs(&panels), heads(&panels))),
        false => logs(&panels).await,
    }
}

async fn heads(panels: &Panels) {
    let interval = panels.configured.settings.heads_interval_ms.max(100);
    loop {
        if let Err(reason) = panels.round(None).await {
            tracing::warn!(tenant = HEADS_TENANT, reason, "no witnessed round of heads");
        }
        tokio::time::sleep(Duration::from_millis(interval)).await;
    }
}

async fn logs(panels: &Arc<Panels>) {
    // What was rolled back shows soon, and not only when something is added to it.
    if let Err(reason) = panels.hold_all_against_kept().await {
        tracing::warn!(reason, "logs are not held against what witnesses keep");
    }
    loop {
        tokio::time::sleep(Duration::from_millis(
            panels.configured.settings.interval_ms.max(100),
        ))
        .await;
        let names = {
            let panels = Arc::clone(panels);
            tokio::task::spawn_blocking(move || panels.tenants(|witnessed, size| witnessed < size)).await
        };
        match names {
            Ok(Ok(names)) => {
                for name in names {
                    if let Err(reason) = panels.cosign(&name).await {
                        tracing::warn!(tenant = %name, reason, "not witnessed");
                    }
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "the list of tenants cannot be read"),
            Err(error) => tracing::error!(%error, "the round of witnesses broke down"),
        }
    }
}

impl Panels {
    /// Has what is newest of a log witnessed: its own checkpoint, or a round of heads that has it.
    async fn witness(&self, tenant: &str) -> Result<(), String> {
        let settings = &self.configured.settings;
        match settings.heads && tenant != HEADS_TENANT && !names(&settings.tenants, tenant) {
            true => self.round(Some(tenant)).await,
            false => self.cosign(tenant).await,
        }
    }

    /// Makes a round of heads if one moved, and has the newest cosigned. With a tenant, only if none has its head yet.
    async fn round(&self, tenant: Option<&str>) -> Result<(), String> {
        let wanted = match tenant.map(str::to_owned) {
            Some(name) => {
                let (engine, of) = (self.engine.clone(), name.clone());
                Some((blocking(move || engine.tenant(&of)).await?.size, name))
            }
            None => None,
        };
        // Who waits here for its head finds it in the round of whoever came before, or makes the one for all that wait.
        let _turn = self.round.lock().await;
        let engine = self.engine.clone();
        // A log of heads that was rolled back takes no rounds.
        if blocking(move || engine.tenant(HEADS_TENANT)).await.is_ok() {
            let line = self.line(HEADS_TENANT).await?;
            let _turn = line.turn.lock().await;
            self.hold_against_kept(HEADS_TENANT, &line).await;
        }
        let engine = self.engine.clone();
        let done = blocking(move || {
            let covered = wanted
                .is_some_and(|(size, name)| engine.slot(&name).is_ok_and(|slot| slot.head.size >= size));
            match covered {
                true => Ok(true),
                false => engine.make_round().map(|_| false),
            }
        });
        match done.await? {
            true => Ok(()),
            false => self.cosign(HEADS_TENANT).await,
        }
    }

    /// Tenants whose logs are witnessed by themselves and have entries, if `due` says so of the sizes witnessed and now.
    fn tenants(&self, due: impl Fn(u64, u64) -> bool) -> attestore_engine::Result<Vec<String>> {
        let wanted = &self.configured.settings.tenants;
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.engine.tenants(after.as_deref(), PAGE)?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.name.clone());
            for tenant in page.into_iter().filter(|tenant| tenant.size > 0) {
                if names(wanted, &tenant.name) {
                    let size = self.engine.witnessed(&tenant.name)?.map_or(0, |kept| kept.size);
                    if due(size, tenant.size) {
                        found.push(tenant.name);
                    }
                }
            }
        }
    }

    /// Has the newest checkpoint of a log cosigned, if it is newer than the newest that is.
    async fn cosign(&self, tenant: &str) -> Result<(), String> {
        let line = self.line(tenant).await?;
        // Who waits here finds its work done.
        let _turn = line.turn.lock().await;
        self.hold_against_kept(tenant, &line).await;
        let (engine, name) = (self.engine.clone(), tenant.to_owned());
        let newest = blocking(move || {
            let kept = engine.witnessed(&name)?.map_or(0, |kept| kept.size);
            match engine.tenant(&name)?.size {
                size if size <= kept => Ok(None),
                _ => engine.checkpoint(&name).map(Some),
            }
        });
        let Some(note) = newest.await? else { return Ok(()) };
        let (engine, name) = (self.engine.clone(), tenant.to_owned());
        let consistency: Consistency = Arc::new(move |from, to| {
            let proof = engine.consistency(&name, from, to);
            proof.map(|proof| proof.hashes).map_err(|error| error.to_string())
        });
        let within = Duration::from_millis(self.configured.settings.timeout_ms);
        let collected = line.panel.collect(&note, &consistency, within).await;
        let collected = collected.map_err(|error| error.to_string())?;
        for (witness, error) in &collected.failures {
            metrics::counter!("attestore_witness_failures_total", "witness" => witness.clone()).increment(1);
            if error.is_evidence() {
                metrics::counter!("attestore_witness_evidence_total", "witness" => witness.clone())
                    .increment(1);
                tracing::error!(tenant, witness, %error, "a witness contradicts this log");
            } else {
                tracing::warn!(witness, %error, "a witness did not cosign");
            }
        }
        self.hold_against_kept(tenant, &line).await;
        if !collected.verdict.quorum {
            let said: Vec<String> = collected
                .failures
                .iter()
                .map(|(witness, error)| format!("{witness}: {error}"))
                .collect();
            let count = collected.verdict.cosigned.len();
            return Err(format!("{count} cosignatures are no quorum; {}", said.join("; ")));
        }
        metrics::counter!("attestore_witnessed_checkpoints_total").increment(1);
        let (engine, name) = (self.engine.clone(), tenant.to_owned());
        let note = collected.note.to_note();
        blocking(move || engine.keep_witnessed(&name, &note)).await
    }

    async fn line(&self, tenant: &str) -> Result<Arc<Line>, String> {
        let (engine, name) = (self.engine.clone(), tenant.to_owned());
        let vkey = blocking(move || engine.vkey(&name)).await?;
        if let Some(line) = self.panels.lock().get(tenant)
            && line.vkey == vkey
        {
            return Ok(Arc::clone(line));
        }
        let key = VerifierKey::parse(&vkey).map_err(|error| error.to_string())?;
        let clock: Arc<dyn attestore_disk::Clock> = Arc::new(SystemClock);
        let Configured {
            policy,
            http,
            settings,
        } = &self.configured;
        let timeout = Duration::from_millis(settings.timeout_ms);
        let loopback = settings.allow_loopback_http;
        let panel = Panel::new(policy.clone(), key, http, &clock, timeout, loopback)?;
        let line = Arc::new(Line {
            vkey,
            panel,
            turn: tokio::sync::Mutex::new(()),
            held: AtomicBool::new(false),
            looked_ms: AtomicU64::new(0),
        });
        self.panels.lock().insert(tenant.to_owned(), Arc::clone(&line));
        Ok(line)
    }

    /// Holds every log that is witnessed by itself against what its witnesses keep of it.
    async fn hold_all_against_kept(self: &Arc<Self>) -> Result<(), String> {
        let panels = Arc::clone(self);
        for name in blocking(move || panels.tenants(|_, _| true)).await? {
            let line = self.line(&name).await?;
            let _turn = line.turn.lock().await;
            self.hold_against_kept(&name, &line).await;
        }
        Ok(())
    }

    /// Holds a log against what its witnesses keep of it, unless that is done. One that does not extend what its own key once signed
    /// was rolled back. Witnesses that cannot be asked are asked again the next time.
    async fn hold_against_kept(&self, tenant: &str, line: &Line) {
        let contradicted_ms = contradicted_ms(&line.panel);
        if line.held.load(Relaxed) && contradicted_ms <= line.looked_ms.load(Relaxed) {
            return;
        }
        let mut all = true;
        for (witness, kept) in line.panel.kept().await {
            let note = match kept {
                Ok(Some(note)) => note,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(tenant, witness, %error, "does not tell what it keeps");
                    all = false;
                    continue;
                }
            };
            let (engine, name) = (self.engine.clone(), tenant.to_owned());
            match blocking(move || engine.hold_against(&name, &note)).await {
                Ok(None) => {}
                Ok(Some(reason)) => {
                    tracing::error!(tenant, witness, reason, "rolled back: its appends are refused")
                }
                // By a key that this directory does not know: of another log, or the directory is older than the key.
                Err(reason) => tracing::error!(
                    tenant,
                    witness,
                    reason,
                    "a witness keeps a checkpoint that this log cannot have signed"
                ),
            }
        }
        line.held.store(all, Relaxed);
        line.looked_ms.store(contradicted_ms, Relaxed);
    }
}

/// When a witness last contradicted, milliseconds since 1970; also one whose answer came after the quorum held.
fn contradicted_ms(panel: &Panel) -> u64 {
    let failures = panel.states().filter_map(|(_, state)| state.failure);
    let evidence = failures.filter(|(_, error)| error.is_evidence());
    evidence.map(|(at_ms, _)| at_ms).max().unwrap_or(0)
}

struct Handle(Arc<Panels>);

impl Cosigner for Handle {
    fn cosign(&self, tenant: &str) -> Cosigning {
        let (panels, tenant) = (Arc::clone(&self.0), tenant.to_owned());
        Box::pin(async move { panels.witness(&tenant).await })
    }

    fn policy(&self) -> Policy {
        self.0.configured.policy.clone()
    }

    fn states(&self, tenant: &str) -> Vec<WitnessBody> {
        let line = self.0.panels.lock().get(tenant).cloned();
        let Some(line) = line else { return Vec::new() };
        line.panel
            .states()
            .map(|(name, state)| WitnessBody {
                name: name.to_owned(),
                size: state.size,
                cosigned_at: state.cosigned_ms.map(attestore_http::rfc3339_ms),
                failure: state.failure.map(|(_, error)| error.to_string()),
                failures: state.failures,
            })
            .collect()
    }
}

/// Whether the settings name a tenant, or all.
fn names(wanted: &[String], tenant: &str) -> bool {
    wanted.iter().any(|name| name == "*" || name == tenant)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> attestore_engine::Result<T> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())
}

/// Tenants that are looked at in one go.
const PAGE: usize = 256;
