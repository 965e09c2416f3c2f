//! Serving connections: from the accepted socket to the router and back.
//!
//! ```text
//! accept ─▶ crowd (limits) ─▶ stream ─▶ [tls] ─▶ polite ─▶ HTTP/1.1 ─▶ front (id, headers) ─▶ router
//! ```
//!
//! Limits that hold for every connection live here: how many at once, how many from one address, how long a client may take
//! over its head, and how long it may keep a connection without asking for anything. A panic in one request neither ends
//! the process nor answers with its message.

mod about;
mod crowd;
mod framing;
mod front;
mod head;
mod headers;
mod line;
mod listen;
mod polite;
mod refusal;
mod request_id;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

use self::crowd::{Crowd, Seat, TICK};
use self::front::{Front, Rules};
use self::line::{Line, Socket};
use self::polite::Polite;
use self::refusal::{Refusal, TLS_HANDSHAKE};
use self::stream::Stream;
use crate::at_once::AtOnce;
use crate::ending::End;
use crate::server::Settings;
use crate::tls::Tls;

pub use self::about::About;
pub use self::listen::Listeners;
pub use self::request_id::RequestId;

/// Serves until `stop` resolves, then drains the requests under way.
///
/// # Errors
/// Never at present; a failing `accept` is retried.
pub async fn serve(
    listeners: impl Into<Listeners>,
    router: Router,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let listeners = listeners.into();
    let crowd = Crowd::new(crowd::Limits {
        all: settings.connections_max,
        address: settings.address_connections_max,
        head: settings.header_timeout,
        idle: settings.idle_timeout,
    });
    let graceful = GracefulShutdown::new();
    let (end, ending) = End::new();
    let ticking = tokio::spawn(tick(Arc::clone(&crowd)));
    let server = Server {
        http: http(),
        router,
        tls: listeners.tls(),
        rules: Arc::new(Rules {
            requests_max: settings.connection_requests_max,
            proxies: settings.proxies.clone(),
        }),
        patience: settings.body.deadline,
    };
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listeners.accept() => accepted,
            () = &mut stop => break,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the client went away: wait a moment instead of spinning.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let secure = server.tls.is_some() && matches!(socket, Socket::Tcp(_));
        let line = Arc::new(Line::new(socket, peer, secure, ending.clone(), crowd.ticks()));
        let exempt = server.rules.is_proxy(&line);
        let seat = tokio::select! {
            seat = seat(&crowd, &line, exempt) => seat,
            () = &mut stop => break,
        };
        match seat {
            Ok(seat) => server.spawn(line, seat, graceful.watcher()),
            Err(refusal) => {
                polite::count(refusal);
                line.close(&refusal.bytes(secure));
            }
        }
    }
    drop(listeners);
    end.begin();
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(settings.drain_timeout) => {
            tracing::warn!("requests were still under way when the time to drain was over");
        }
    }
    ticking.abort();
    Ok(())
}

fn http() -> Builder {
    let mut http = Builder::new();
    // Who closes its side after a request waits for the answer; searches see to it that nobody is gone: `Peer::left`.
    // How long a head may take is the crowd's: `Crowd::tick`.
    http.timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .half_close(true);
    http
}

/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// How long a newcomer waits for a place when all are at work.
const SEAT_WAIT: Duration = Duration::from_secs(1);

async fn tick(crowd: Arc<Crowd>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        crowd.tick();
    }
}

/// A place, once there is one.
async fn seat(crowd: &Arc<Crowd>, line: &Arc<Line>, exempt: bool) -> Result<Seat, Refusal> {
    let first = crowd.enter(line, exempt);
    if !matches!(first, Err(Refusal::Crowded)) {
        return first;
    }
    let wait = async {
        loop {
            crowd.freed().await;
            match crowd.enter(line, exempt) {
                Err(Refusal::Crowded) => {}
                done => return done,
            }
        }
    };
    tokio::time::timeout(SEAT_WAIT, wait)
        .await
        .unwrap_or(Err(Refusal::Crowded))
}

/// What every connection is served with.
struct Server {
    http: Builder,
    router: Router,
    tls: Option<Arc<Tls>>,
    rules: Arc<Rules>,
    patience: Duration,
}

impl Server {
    fn spawn(&self, line: Arc<Line>, seat: Seat, watcher: Watcher) {
        let stream = Stream::new(Arc::clone(&line), self.patience);
        let service = TowerToHyperService::new(self.router.clone());
        let service = Front::new(service, Arc::clone(&line), Arc::clone(&self.rules));
        let http = self.http.clone();
        match self.tls.clone().filter(|_| line.secure) {
            None => tokio::spawn(async move {
                talk(&http, stream, line, service, watcher).await;
                drop(seat);
            }),
            Some(tls) => tokio::spawn(async move {
                let ending = line.ending.clone();
                let secured = tokio::select! {
                    secured = secured(&tls, stream, &line) => secured,
                    () = ending.wait() => None,
                };
                if let Some(stream) = secured {
                    talk(&http, stream, line, service, watcher).await;
                }
                drop(seat);
            }),
        };
    }
}

/// Serves the requests of a connection.
async fn talk<S>(
    http: &Builder,
    stream: S,
    line: Arc<Line>,
    service: Front<TowerToHyperService<Router>>,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(Polite::new(stream, line));
    let connection = watcher.watch(http.serve_connection(stream, service));
    if let Err(error) = AtOnce::new(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}

/// Agrees on TLS. Somebody who speaks HTTP without it is told so.
async fn secured(
    tls: &Tls,
    stream: Stream,
    line: &Arc<Line>,
) -> Option<tokio_rustls::server::TlsStream<Stream>> {
    let mut first = [0];
    if line.socket.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first[0] != TLS_HANDSHAKE && first[0].is_ascii_alphabetic() {
        polite::count(Refusal::PlainToTls);
        let _ = line.socket.try_write(&Refusal::PlainToTls.bytes(false));
        return None;
    }
    match tls.accept(stream).await {
        Ok((stream, principal)) => {
            if let Some(principal) = principal {
                let _ = line.certificate.set(principal);
            }
            Some(stream)
        }
        Err(error) => {
            metrics::counter!("attestore_tls_handshakes_failed_total").increment(1);
            tracing::debug!(%error, "TLS was not agreed on");
            None
        }
    }
}
