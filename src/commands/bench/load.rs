//! A closed-loop HTTP/1.1 load: keep-alive connections that send ready-made requests and time the answers. It does as
//! little as it can, because it shares the cores with the server that it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::figures::{histogram, record};
use crate::failure::Failure;

/// Different requests that the connections cycle through.
const REQUESTS: usize = 64;

/// Ready-made requests to one route.
#[derive(Clone)]
pub struct Target {
    address: SocketAddr,
    requests: Arc<Vec<Bytes>>,
    tls: Option<TlsConnector>,
}

impl Target {
    /// Renders requests of `batch` events each from the pool.
    pub fn new(
        address: SocketAddr,
        path: &str,
        credential: &str,
        pool: &[Bytes],
        batch: usize,
        signed: bool,
    ) -> Self {
        let prefer = if signed { "Prefer: receipt=signed\r\n" } else { "" };
        let requests = (0..REQUESTS)
            .map(|n| {
                let mut body = Vec::new();
                for i in 0..batch {
                    body.extend_from_slice(&pool[(n * batch + i) % pool.len()]);
                    if batch > 1 {
                        body.push(b'\n');
                    }
                }
                let kind = if batch > 1 { "application/x-ndjson" } else { "application/json" };
                let mut request = format!(
                    "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {credential}\r\nContent-Type: {kind}\r\n{prefer}Content-Length: {}\r\n\r\n",
                    body.len()
                )
                .into_bytes();
                request.extend_from_slice(&body);
                Bytes::from(request)
            })
            .collect();
        Self {
            address,
            requests: Arc::new(requests),
            tls: None,
        }
    }

    /// The same over TLS, if there is a connector.
    pub fn over(mut self, tls: Option<&TlsConnector>) -> Self {
        self.tls = tls.cloned();
        self
    }
}

/// How far a load has come.
#[derive(Default)]
pub struct Phase(AtomicU8);

impl Phase {
    /// From now on, requests count.
    pub fn measure(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// No further requests.
    pub fn stop(&self) {
        self.0.store(2, Ordering::Relaxed);
    }

    /// Whether a request that begins now counts.
    pub fn counts(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 1
    }

    /// Whether there is nothing more to do.
    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 2
    }
}

/// What a load measured.
pub struct Load<T> {
    /// Nanoseconds per accepted request.
    pub times: Histogram<u64>,
    /// From the first request that counts to the last.
    pub elapsed: Duration,
    /// What was looked at when requests began to count.
    pub before: T,
    /// The same when they ended.
    pub after: T,
}

/// Drives `clients` connections for two durations; what happens in the first does not count. Calls `look` at both ends of
/// the second. The clients have a thread of their own, like those of another process.
///
/// # Errors
/// When a connection breaks, a request is refused for another reason than being asked to wait, or `look` fails.
pub fn run<T>(
    target: &Target,
    clients: usize,
    [warm_up, duration]: [Duration; 2],
    look: impl Fn() -> Result<T, Failure>,
) -> Result<Load<T>, Failure> {
    let phase = Arc::new(Phase::default());
    let thread = std::thread::spawn({
        let (target, phase) = (target.clone(), Arc::clone(&phase));
        move || connections(&target, clients, &phase)
    });
    std::thread::sleep(warm_up);
    let before = look();
    phase.measure();
    let started = Instant::now();
    std::thread::sleep(duration);
    phase.stop();
    let elapsed = started.elapsed();
    let after = look();
    let times = thread
        .join()
        .map_err(|_| Failure::failed("a client panicked"))??;
    Ok(Load {
        times,
        elapsed,
        before: before?,
        after: after?,
    })
}

/// All connections, on this thread.
fn connections(target: &Target, clients: usize, phase: &Arc<Phase>) -> Result<Histogram<u64>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut connections = tokio::task::JoinSet::new();
        for client in 0..clients {
            let (target, phase) = (target.clone(), Arc::clone(phase));
            connections.spawn(async move { connect(&target, client, &phase).await });
        }
        let mut times = histogram();
        while let Some(one) = connections.join_next().await {
            let one = one.map_err(|e| Failure::failed(e.to_string()))??;
            times.add(one).map_err(|e| Failure::failed(e.to_string()))?;
        }
        Ok(times)
    })
}

async fn connect(target: &Target, client: usize, phase: &Phase) -> Result<Histogram<u64>, Failure> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    match &target.tls {
        None => connection(stream, &target.requests, client, phase).await,
        Some(tls) => {
            let name = ServerName::from(target.address.ip());
            connection(tls.connect(name, stream).await?, &target.requests, client, phase).await
        }
    }
}

async fn connection(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: &[Bytes],
    client: usize,
    phase: &Phase,
) -> Result<Histogram<u64>, Failure> {
    let mut times = histogram();
    let mut buffer = Vec::with_capacity(1 << 16);
    for n in client.. {
        if phase.is_over() {
            break;
        }
        let counts = phase.counts();
        let started = Instant::now();
        stream.write_all(&requests[n % requests.len()]).await?;
        stream.flush().await?;
        match answer(&mut stream, &mut buffer).await? {
            201 if counts => record(&mut times, started.elapsed()),
            201 => {}
            503 => tokio::time::sleep(Duration::from_millis(20)).await,
            status => {
                let said = String::from_utf8_lossy(&buffer);
                return Err(Failure::failed(format!("the server answered {status}: {said}")));
            }
        }
    }
    Ok(times)
}

/// Reads one answer with a Content-Length and returns its status.
pub async fn answer(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<u16, Failure> {
    let malformed = || Failure::failed("the answer is not HTTP/1.1 with a Content-Length");
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(Failure::failed("the server closed the connection"));
        }
        let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&buffer[..end]).map_err(|_| malformed())?;
        let status = head
            .get(9..12)
            .and_then(|s| s.parse().ok())
            .ok_or_else(malformed)?;
        let length: usize = head
            .lines()
            .find_map(|l| {
                l.split_once(':')
                    .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))?
                    .1
                    .trim()
                    .parse()
                    .ok()
            })
            .ok_or_else(malformed)?;
        while buffer.len() < end + 4 + length {
            if stream.read_buf(buffer).await? == 0 {
                return Err(Failure::failed("the server closed the connection"));
            }
        }
        return Ok(status);
    }
}
