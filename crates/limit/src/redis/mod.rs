//! The store on Redis: scripts that count by Redis's own clock.
//!
//! Every script touches one key, so a cluster may hold them. Keys end by themselves soon after their window. Whoever empties
//! Redis resets the limits, and nothing else.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, Pipeline, RedisError};

use crate::rate::Kind;
use crate::store::{self, Answer, Ask, Store};
use crate::{MS, Rate, Redis};

/// A connection to Redis, made when it is needed and dropped after any error.
pub struct RedisStore {
    client: Client,
    connection: Option<Connected>,
    timeout: Duration,
    servers_key: String,
    /// What this server is called among others: random.
    name: String,
}

struct Connected {
    connection: MultiplexedConnection,
    /// Digests of the scripts: window, gcra, servers.
    scripts: [String; 3],
}

impl RedisStore {
    /// Reads the address; connects to nothing yet. `name` tells this server from others and is random.
    ///
    /// # Errors
    /// Of an address that makes no sense.
    pub fn new(settings: &Redis, name: u64) -> Result<Self, RedisError> {
        Ok(Self {
            client: Client::open(settings.url.as_str())?,
            connection: None,
            timeout: Duration::from_millis(settings.timeout_ms.clamp(1, TIMEOUT_MS_MAX)),
            servers_key: format!("{}servers", settings.prefix),
            name: format!("{name:016x}"),
        })
    }

    async fn connected(&mut self) -> Result<&mut Connected, RedisError> {
        if self.connection.is_none() {
            // Connecting is several round trips.
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(self.timeout * 3))
                .set_response_timeout(Some(self.timeout));
            let mut connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            let mut scripts: [String; 3] = Default::default();
            for (digest, text) in scripts.iter_mut().zip(SCRIPTS) {
                *digest = redis::cmd("SCRIPT")
                    .arg("LOAD")
                    .arg(text)
                    .query_async(&mut connection)
                    .await?;
            }
            self.connection = Some(Connected { connection, scripts });
        }
        self.connection
            .as_mut()
            .ok_or_else(|| RedisError::from((ErrorKind::Io, "not connected")))
    }

    async fn try_exchange(&mut self, asks: &[Ask]) -> Result<Vec<Answer>, RedisError> {
        let connected = self.connected().await?;
        let mut pipeline = Pipeline::with_capacity(asks.len());
        for ask in asks {
            let script = match ask.rate.kind() {
                Kind::Window => &connected.scripts[0],
                Kind::Gcra { .. } => &connected.scripts[1],
            };
            let command = pipeline.cmd("EVALSHA").arg(script).arg(1).arg(&*ask.name);
            let (slot, back) = ask.back.unwrap_or_default();
            match ask.rate.kind() {
                Kind::Window => command
                    .arg(ask.rate.count())
                    .arg(slot_us(&ask.rate))
                    .arg(store::COUNTED_SLOTS)
                    .arg(store::VALID_SLOTS)
                    .arg(ask.want)
                    .arg(ask.debt)
                    .arg(slot)
                    .arg(back),
                Kind::Gcra { burst } => command
                    .arg((ask.rate.window_ns() / u64::from(ask.rate.count())).max(1))
                    .arg(burst)
                    .arg(ask.want)
                    .arg(ask.debt)
                    .arg(back)
                    .arg(gcra_valid_us(&ask.rate)),
            };
        }
        let rows: Vec<(u64, u64, u64, u64, u64)> = pipeline.query_async(&mut connected.connection).await?;
        if rows.len() != asks.len() {
            return Err((ErrorKind::UnexpectedReturnType, "as many answers as questions").into());
        }
        let us = |us: u64| us.saturating_mul(1000);
        Ok(rows
            .into_iter()
            .map(|(granted, remaining, wait_us, valid_us, slot)| Answer {
                granted,
                remaining,
                wait_ns: us(wait_us),
                valid_ns: us(valid_us),
                slot,
            })
            .collect())
    }

    async fn try_beat(&mut self) -> Result<u32, RedisError> {
        let (key, name) = (self.servers_key.clone(), self.name.clone());
        let connected = self.connected().await?;
        redis::cmd("EVALSHA")
            .arg(&connected.scripts[2])
            .arg(1)
            .arg(key)
            .arg(name)
            .arg(SERVER_MS)
            .query_async(&mut connected.connection)
            .await
    }
}

impl Store for RedisStore {
    type Error = RedisError;

    async fn exchange(&mut self, asks: &[Ask]) -> Result<Vec<Answer>, RedisError> {
        let answers = self.try_exchange(asks).await;
        if answers.is_err() {
            self.connection = None;
        }
        answers
    }

    async fn beat(&mut self) -> Result<u32, RedisError> {
        let servers = self.try_beat().await;
        if servers.is_err() {
            self.connection = None;
        }
        servers
    }
}

/// Microseconds of a slot.
fn slot_us(rate: &Rate) -> u64 {
    (rate.window_ms() * 1000).div_ceil(store::SLOTS)
}

/// Tokens of an even rate are taken ahead for a hundredth of the window.
fn gcra_valid_us(rate: &Rate) -> u64 {
    (rate.window_ns() / MS * 1000 / 100).clamp(10_000, 1_000_000)
}

const SCRIPTS: [&str; 3] = [
    include_str!("window.lua"),
    include_str!("gcra.lua"),
    include_str!("servers.lua"),
];
/// A server that said nothing for so long is not counted.
const SERVER_MS: u64 = 5000;
const TIMEOUT_MS_MAX: u64 = 10_000;
