//! An engine behind HTTP on a free port of this machine, for loads that come over the wire.

use std::net::SocketAddr;

use attestore_engine::credentials::CredentialSpec;
use attestore_engine::{Engine, Principal, Role, Scope};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::costs::Way;
use crate::failure::Failure;

/// A server in this process.
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    /// A credential that may append to and read the tenant.
    pub credential: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
    runtime: Handle,
}

impl Served {
    /// Starts serving `engine` on the threads of `runtime`.
    ///
    /// # Errors
    /// When there is no port, or the credential cannot be made.
    pub fn start(runtime: &Handle, engine: &Engine, tenant: &str) -> Result<Self, Failure> {
        Self::start_with(runtime, engine, tenant, &Way::default())
    }

    /// Starts serving in this way.
    ///
    /// # Errors
    /// As [`Served::start`].
    pub fn start_with(
        runtime: &Handle,
        engine: &Engine,
        tenant: &str,
        Way { settings, tls, .. }: &Way,
    ) -> Result<Self, Failure> {
        let (_, secret) = engine.create_credential(
            CredentialSpec {
                name: "bench".into(),
                roles: vec![Role::Ingest, Role::Investigator],
                tenants: Scope::one(tenant),
                networks: Vec::new(),
                expires_at_ms: None,
            },
            &Principal::internal(),
        )?;
        let router = attestore_http::router(engine.clone(), settings.clone(), None)
            .merge(attestore_http::nop_router());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let tls = tls.as_ref().map(|(server, _)| server.clone());
        let listeners = attestore_http::serve::Listeners::default().tcp(listener, tls);
        let settings = settings.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = runtime.spawn(async move {
            attestore_http::serve(listeners, router, &settings, async {
                stopped.await.unwrap_or(())
            })
            .await
        });
        Ok(Self {
            address,
            credential: secret.expose().to_owned(),
            stop,
            server,
            runtime: runtime.clone(),
        })
    }

    /// Stops, once the requests under way are answered.
    ///
    /// # Errors
    /// When serving had failed.
    pub fn stop(self) -> Result<(), Failure> {
        let _ = self.stop.send(());
        let ended = self.runtime.block_on(self.server);
        Ok(ended.map_err(|e| Failure::failed(e.to_string()))??)
    }
}
