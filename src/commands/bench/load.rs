//! A closed-loop HTTP/1.1 load: keep-alive connections that send ready-made requests and time the answers. It does as
//! little as it can, because it shares the cores with the server that it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::append::{histogram, record};
use crate::failure::Failure;

/// Different requests that the connections cycle through.
const REQUESTS: usize = 64;

/// Ready-made requests to one route.
pub struct Target {
    address: SocketAddr,
    requests: Arc<Vec<Bytes>>,
}

impl Target {
    /// Renders requests of `batch` events each from the pool.
    pub fn new(address: SocketAddr, path: &str, credential: &str, pool: &[Bytes], batch: usize) -> Self {
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
                    "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {credential}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
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
        }
    }
}

/// What a load measured.
pub struct Load {
    /// Nanoseconds per accepted request.
    pub times: Histogram<u64>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

/// Drives `clients` connections for `duration`.
///
/// # Errors
/// When a connection breaks or a request is refused for another reason than being asked to wait.
pub async fn run(target: &Target, clients: usize, duration: Duration) -> Result<Load, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let connections: Vec<_> = (0..clients)
        .map(|client| {
            let (requests, stop, address) = (Arc::clone(&target.requests), Arc::clone(&stop), target.address);
            tokio::spawn(async move { connection(address, &requests, client, &stop).await })
        })
        .collect();
    tokio::time::sleep(duration).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = histogram();
    for connection in connections {
        let one = connection.await.map_err(|e| Failure::failed(e.to_string()))??;
        times.add(one).map_err(|e| Failure::failed(e.to_string()))?;
    }
    Ok(Load {
        times,
        elapsed: started.elapsed(),
    })
}

async fn connection(
    address: SocketAddr,
    requests: &[Bytes],
    client: usize,
    stop: &AtomicBool,
) -> Result<Histogram<u64>, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut times = histogram();
    let mut buffer = Vec::with_capacity(1 << 16);
    for n in client.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let started = Instant::now();
        stream.write_all(&requests[n % requests.len()]).await?;
        match answer(&mut stream, &mut buffer).await? {
            201 => record(&mut times, started.elapsed()),
            503 => tokio::time::sleep(Duration::from_millis(20)).await,
            status => {
                return Err(Failure::failed(format!(
                    "the server answered {status}: {}",
                    String::from_utf8_lossy(&buffer)
                )));
            }
        }
    }
    Ok(times)
}

/// Reads one answer with a Content-Length and returns its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16, Failure> {
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
