//! What is known about a request before it is looked at: its id, and the connection that it came over.

use std::net::IpAddr;
use std::sync::Arc;

use attestore_engine::Principal;
use axum::http::Extensions;

use super::line::Line;
use super::request_id::RequestId;

/// Goes with every request that came over a connection.
#[derive(Clone)]
pub struct About {
    id: RequestId,
    line: Option<Arc<Line>>,
    client: Option<IpAddr>,
}

impl About {
    /// A request over this line, from this client.
    pub fn new(id: RequestId, line: Arc<Line>, client: Option<IpAddr>) -> Self {
        Self {
            id,
            line: Some(line),
            client,
        }
    }

    /// What goes with a request. Without a connection, as in tests of the router alone, that is nothing but an id.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_else(|| Self {
            id: RequestId::made(),
            line: None,
            client: None,
        })
    }

    /// The request's id.
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// The client's address: the other end of the connection, or what a trusted proxy says. None on the Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        self.client
    }

    /// Who the client's certificate is of, if a rule knows it. It may have expired since the connection was made: see
    /// [`Principal::expires_at_ms`].
    pub fn certificate(&self) -> Option<&Arc<Principal>> {
        self.line()?.certificate.get()
    }

    /// Whether the connection is protected by TLS that ends here.
    pub fn is_tls(&self) -> bool {
        self.line().is_some_and(|line| line.secure)
    }

    pub(crate) fn line(&self) -> Option<&Arc<Line>> {
        self.line.as_ref()
    }
}
