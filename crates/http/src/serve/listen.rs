//! Where connections come from.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

use super::line::Socket;
use crate::tls::Tls;

/// What a server listens on: an address, with TLS or without, a Unix socket, or both.
#[derive(Default)]
pub struct Listeners {
    tcp: Option<TcpListener>,
    unix: Option<UnixListener>,
    tls: Option<Arc<Tls>>,
}

impl Listeners {
    /// Also listens on an address; with `tls`, every connection there speaks TLS.
    #[must_use]
    pub fn tcp(self, listener: TcpListener, tls: Option<Arc<Tls>>) -> Self {
        Self {
            tcp: Some(listener),
            tls,
            ..self
        }
    }

    /// Also listens on a Unix socket, without TLS.
    #[must_use]
    pub fn unix(self, listener: UnixListener) -> Self {
        Self {
            unix: Some(listener),
            ..self
        }
    }

    pub(super) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        let tcp = async {
            match &self.tcp {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let unix = async {
            match &self.unix {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = tcp => {
                let (stream, peer) = accepted?;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                Ok((Socket::Tcp(stream), Some(peer.ip())))
            }
            accepted = unix => Ok((Socket::Unix(accepted?.0), None)),
        }
    }
}

impl From<TcpListener> for Listeners {
    fn from(listener: TcpListener) -> Self {
        Self::default().tcp(listener, None)
    }
}
