//! A start without a root: what waits for one, and opens the engine behind the seal once it is there.

use std::sync::Arc;
use std::time::Duration;

use attestore_disk::Disk;
use attestore_http::sealed::{Opening, Refusal, Seal};
use attestore_keys::{Error, FileRoot, Provider, RootProvider};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::server::Server;
use crate::failure::Failure;
use crate::root::{self, Refused, Secret};
use crate::settings::Settings;

/// The root at the start of a server.
pub enum Root {
    /// It is open.
    Open(Arc<dyn RootProvider>),
    /// Somebody has to open it; or, with `again`, it may open by itself once its provider is back.
    Sealed {
        /// Whether to look whether it does.
        again: bool,
    },
}

/// Opens the root for a server, or says that it starts sealed.
///
/// # Errors
/// When the root does not open and settings do not want a sealed start, or another try would not help; when there is nothing yet to be
/// unsealed.
pub fn root(settings: &Settings, disk: &Arc<dyn Disk>, sealed: bool) -> Result<Root, Failure> {
    let refused = match sealed {
        true => None,
        false => match root::open(disk, Some(&settings.root), true, &Secret::Found) {
            Ok(root) => return Ok(Root::Open(root)),
            Err(Refused::Keys(error)) if settings.root.sealed_start => Some(error),
            Err(refused) => return Err(refused.into()),
        },
    };
    if !FileRoot::exists(&**disk, "keys".as_ref()).map_err(Refused::from)? {
        return Err(Failure::usage(
            "there is no root key yet: the first start of a data directory needs its passphrase or PIN, it cannot be sealed",
        ));
    }
    if Provider::from(settings.root.provider) == Provider::File {
        return Err(Failure::usage(
            "a root in the open is never sealed: set root.provider",
        ));
    }
    if let Some(error) = &refused {
        tracing::warn!(%error, "the root does not open: the server starts sealed");
    }
    // A wrong PIN is not tried again: tokens lock after some.
    let again = matches!(
        &refused,
        Some(Error::MissingKey { .. } | Error::Unreachable { .. })
    ) && settings.root.provider != crate::settings::RootProviderName::Passphrase;
    Ok(Root::Sealed { again })
}

/// A root that was opened, and by whom.
type Opened = (Arc<dyn RootProvider>, Option<Opening>);

/// What goes on behind a seal.
pub struct Sealed {
    server: Arc<Server>,
    disk: Arc<dyn Disk>,
    seal: Seal,
    again: bool,
    address: Option<String>,
    opened: mpsc::Receiver<Opened>,
}

impl Sealed {
    /// Puts a seal before a server.
    pub fn begin(
        server: Arc<Server>,
        disk: Arc<dyn Disk>,
        again: bool,
        address: Option<String>,
    ) -> (Seal, Self) {
        let (found, opened) = mpsc::channel(1);
        let from_anywhere = server.settings().root.unseal_from_anywhere;
        let (of, at) = (Arc::clone(&server), Arc::clone(&disk));
        let opener = move |secret: Zeroizing<String>, opening: &Opening| -> Result<(), Refusal> {
            let root = root::open(&at, Some(&of.settings().root), false, &Secret::Given(secret));
            let root = root.map_err(refusal)?;
            // One root is enough: whoever came first opens the server.
            let _ = found.try_send((root, Some(*opening)));
            Ok(())
        };
        let seal = Seal::new(Box::new(opener), from_anywhere);
        let sealed = Self {
            server,
            disk,
            seal: seal.clone(),
            again,
            address,
            opened,
        };
        (seal, sealed)
    }

    /// Waits for a root, opens the engine, and lets requests through. Returns only when that fails.
    pub async fn run(mut self) -> Failure {
        let (root, opening) = tokio::select! {
            Some(opened) = self.opened.recv() => opened,
            root = comes_back(&self.server, &self.disk), if self.again => (root, None),
            else => return Failure::failed("nobody can unseal the server any more"),
        };
        let (server, disk) = (Arc::clone(&self.server), Arc::clone(&self.disk));
        let engine = tokio::task::spawn_blocking(move || server.open(disk, root)).await;
        let engine = match engine {
            Ok(Ok(engine)) => engine,
            Ok(Err(failure)) => return failure,
            Err(error) => return Failure::failed(error.to_string()),
        };
        if let Some(opening) = opening
            && let Err(error) = engine.record_unsealed(opening.address, opening.refused)
        {
            tracing::error!(%error, "who unsealed the server could not be recorded");
        }
        match self.server.begin(&engine, self.address.as_deref()) {
            Ok(router) => self.seal.open(router),
            Err(failure) => return failure,
        }
        tracing::info!(address = self.address.unwrap_or_default(), "serving");
        std::future::pending().await
    }
}

/// The root, once its provider is back by itself. It gives up, and leaves it to the operator, where the secret turns out to be wrong.
async fn comes_back(server: &Arc<Server>, disk: &Arc<dyn Disk>) -> Arc<dyn RootProvider> {
    loop {
        tokio::time::sleep(LOOK).await;
        let (server, disk) = (Arc::clone(server), Arc::clone(disk));
        let tried = tokio::task::spawn_blocking(move || {
            root::open(&disk, Some(&server.settings().root), false, &Secret::Found)
        });
        match tried.await {
            Ok(Ok(root)) => return root,
            Ok(Err(Refused::Keys(Error::MissingKey { .. } | Error::Unreachable { .. }))) => {}
            Ok(Err(refused)) => {
                tracing::error!(error = Failure::from(refused).message, "the root does not open");
                return std::future::pending().await;
            }
            Err(_) => return std::future::pending().await,
        }
    }
}

fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::Keys(Error::WrongKey { .. }) => Refusal::Wrong,
        refused => Refusal::Unavailable(Failure::from(refused).message),
    }
}

/// How often it is tried whether the provider is back.
const LOOK: Duration = Duration::from_secs(5);
