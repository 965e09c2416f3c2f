//! `[http]`: limits of the HTTP side.

use std::time::Duration;

use attestore_limit::Trusted;
use attestore_webhook::Allowed;
use serde::{Deserialize, Serialize};

/// Limits of the HTTP side.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Bytes of a request body on the wire.
    pub body_bytes_max: usize,
    /// Bytes of a request body after decompression.
    pub decoded_bytes_max: usize,
    /// Events in one request.
    pub events_max: usize,
    /// Bytes of memory for the bodies of all requests that are being received, beyond the first 64 KiB of each; further ones get 503.
    pub bodies_bytes_max: usize,
    /// Connections served at once. When they run out, those that keep one without asking for anything make room.
    pub connections_max: usize,
    /// Connections of one address at once; of IPv6, of one /64. Proxies in `proxy.trusted` have no such limit.
    pub address_connections_max: usize,
    /// Requests on one connection, after which it is closed and the client makes another.
    pub connection_requests_max: u32,
    /// Milliseconds that a client has for TLS and for the head of a request.
    pub header_timeout_ms: u64,
    /// Milliseconds that a client has for the body of a request, and to take any of an answer.
    pub body_timeout_ms: u64,
    /// Milliseconds for which a connection is kept between an answer and the next request.
    pub idle_timeout_ms: u64,
    /// Milliseconds that requests under way get when the server stops.
    pub drain_timeout_ms: u64,
    /// Tails at once, of all tenants; each is a connection.
    pub tails_max: usize,
    /// Tails of one tenant at once.
    pub tenant_tails_max: usize,
}

impl Default for Http {
    fn default() -> Self {
        let http = attestore_http::Settings::default();
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            body_bytes_max: http.body.wire_bytes_max,
            decoded_bytes_max: http.body.decoded_bytes_max,
            events_max: http.body.events_max,
            bodies_bytes_max: 512 << 20,
            connections_max: http.connections_max,
            address_connections_max: http.address_connections_max,
            connection_requests_max: http.connection_requests_max,
            header_timeout_ms: ms(http.header_timeout),
            body_timeout_ms: ms(http.body.deadline),
            idle_timeout_ms: ms(http.idle_timeout),
            drain_timeout_ms: ms(http.drain_timeout),
            tails_max: http.tails_max,
            tenant_tails_max: http.tenant_tails_max,
        }
    }
}

impl Http {
    /// As the HTTP side wants it.
    pub fn settings(&self, webhooks: Allowed, proxies: Trusted) -> attestore_http::Settings {
        attestore_http::Settings {
            body: attestore_http::Limits {
                wire_bytes_max: self.body_bytes_max,
                decoded_bytes_max: self.decoded_bytes_max,
                deadline: Duration::from_millis(self.body_timeout_ms),
                events_max: self.events_max,
                memory: attestore_http::Memory::new(self.bodies_bytes_max),
            },
            connections_max: self.connections_max.max(1),
            address_connections_max: self.address_connections_max.max(1),
            connection_requests_max: self.connection_requests_max.max(1),
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
            tails_max: self.tails_max,
            tenant_tails_max: self.tenant_tails_max,
            webhooks,
            proxies,
            ..attestore_http::Settings::default()
        }
    }
}
