//! A client's connection as everybody else sees it: where it comes from, who it is, and what it is doing.
//!
//! What it is doing is one number, written by the connection's task and read by [`super::crowd`], which ends connections
//! that keep others waiting. Time is counted in ticks of the crowd, so that no request pays for a clock or a timer.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use attestore_engine::Principal;
use rustix::net::{RecvFlags, Shutdown};
use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

use crate::ending::Ending;

/// A stream of bytes to a client.
pub enum Socket {
    /// Over the network.
    Tcp(TcpStream),
    /// On this machine.
    Unix(UnixStream),
}

/// A connection. See the module.
pub struct Line {
    /// Its bytes.
    pub socket: Socket,
    /// Tells when the server is about to stop.
    pub ending: Ending,
    /// Whether it is protected by TLS.
    pub secure: bool,
    /// The other end, unless it is on this machine.
    pub peer: Option<IpAddr>,
    /// Who the client's certificate is of.
    pub certificate: OnceLock<Arc<Principal>>,
    /// The head that came last says twice, and in two ways, how long its body is.
    pub ambiguous: AtomicBool,
    requests: AtomicU32,
    doing: AtomicU64,
    ticks: Arc<AtomicU64>,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Nothing was asked yet; perhaps TLS is being agreed on.
    New,
    /// It waits for the next request.
    Idle,
    /// A head has begun to come.
    Head,
    /// A request is worked on.
    Busy,
    /// The answer was handed over, and may still be on its way.
    Answered,
    /// It was ended from here.
    Ended,
}

impl Doing {
    const ALL: [Self; 6] = [
        Self::New,
        Self::Idle,
        Self::Head,
        Self::Busy,
        Self::Answered,
        Self::Ended,
    ];
}

/// Bits of the number that say what; the others say since when.
const DOING_BITS: u32 = 3;

impl Line {
    /// Takes a connection that was just made.
    pub fn new(
        socket: Socket,
        peer: Option<IpAddr>,
        secure: bool,
        ending: Ending,
        ticks: Arc<AtomicU64>,
    ) -> Self {
        let line = Self {
            socket,
            ending,
            secure,
            peer: peer.map(|address| address.to_canonical()),
            certificate: OnceLock::new(),
            ambiguous: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            doing: AtomicU64::new(0),
            ticks,
        };
        line.set(Doing::New);
        line
    }

    /// What it is doing.
    pub fn doing(&self) -> Doing {
        Self::split(self.doing.load(Ordering::Relaxed)).0
    }

    /// What it is doing, and for how many ticks.
    pub fn since(&self) -> (Doing, u64) {
        let (doing, tick) = Self::split(self.doing.load(Ordering::Relaxed));
        (doing, self.ticks.load(Ordering::Relaxed).saturating_sub(tick))
    }

    /// From now on it does this. What was ended stays so: then this is false.
    pub fn set(&self, doing: Doing) -> bool {
        let now = self.ticks.load(Ordering::Relaxed);
        self.change(|was| (was != Doing::Ended).then_some((doing, Some(now))))
    }

    /// Bytes have come. The time for the first head of a connection began with the connection.
    pub fn heard(&self) {
        let now = self.ticks.load(Ordering::Relaxed);
        self.change(|was| match was {
            Doing::Idle => Some((Doing::Head, Some(now))),
            Doing::New if !self.secure => Some((Doing::Head, None)),
            _ => None,
        });
    }

    /// Makes it do something else since a tick, or since when it did what it did.
    fn change(&self, to: impl Fn(Doing) -> Option<(Doing, Option<u64>)>) -> bool {
        let next = |number| {
            let (was, since) = Self::split(number);
            let (doing, tick) = to(was)?;
            Some((tick.unwrap_or(since) << DOING_BITS) | doing as u64)
        };
        self.doing
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }

    fn split(number: u64) -> (Doing, u64) {
        let mask = (1 << DOING_BITS) - 1;
        let at = usize::try_from(number & mask).unwrap_or_default();
        (
            Doing::ALL.get(at).copied().unwrap_or(Doing::Ended),
            number >> DOING_BITS,
        )
    }

    /// Counts a request; returns how many there were with it.
    pub fn count(&self) -> u32 {
        self.requests.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Takes the connection away from its client unless it is at work. A request that was read already is not begun then.
    pub fn claim(&self) -> bool {
        let now = self.ticks.load(Ordering::Relaxed);
        let quiet = |was| !matches!(was, Doing::Busy | Doing::Answered | Doing::Ended);
        self.change(|was| quiet(was).then_some((Doing::Ended, Some(now))))
    }

    /// Closes a connection that was claimed: whoever reads from it finds its end. Says why, if that can be said.
    pub fn close(&self, why: &[u8]) {
        if !why.is_empty() && !self.secure {
            // It is told if it listens; nobody waits for it.
            let _ = self.socket.try_write(why);
        }
        self.socket.shutdown(Shutdown::Both);
    }

    /// Resolves when the client has closed its side, or the connection is broken. A client that sent another request
    /// meanwhile counts as there.
    pub async fn left(&self) {
        let mut head = [0; CLOSE_NOTIFY.len()];
        let sent_more = match self.socket.peek(&mut head).await {
            Ok(bytes) => bytes > 0 && !(self.secure && head.get(..bytes) == Some(&CLOSE_NOTIFY[..])),
            Err(_) => false,
        };
        if sent_more {
            std::future::pending().await
        }
    }

    /// What connections are counted under: an IPv4 address, or the network that one owner of IPv6 addresses has.
    pub fn origin(&self) -> Option<IpAddr> {
        self.peer.map(|peer| match peer {
            IpAddr::V4(_) => peer,
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & V6_NETWORK)),
        })
    }
}

/// How a record of TLS 1.3 begins in which nothing but an alert is: such a client says goodbye (RFC 8446, sections 5.2 and 6.1).
const CLOSE_NOTIFY: [u8; 5] = [0x17, 0x03, 0x03, 0x00, 0x13];
/// The first 64 bits.
const V6_NETWORK: u128 = !(u64::MAX as u128);

impl Socket {
    pub(super) async fn readable(&self) -> io::Result<Ready> {
        match self {
            Self::Tcp(stream) => stream.ready(Interest::READABLE).await,
            Self::Unix(stream) => stream.ready(Interest::READABLE).await,
        }
    }

    /// Looks at the first bytes that wait to be read, once there are some or there is an end.
    pub(super) async fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.readable().await?;
            let peeked = match self {
                Self::Tcp(stream) => stream.try_io(Interest::READABLE, || peek(stream, into)),
                Self::Unix(stream) => stream.try_io(Interest::READABLE, || peek(stream, into)),
            };
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// No more in this direction. A connection that is gone already is as good.
    pub(super) fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Self::Tcp(stream) => rustix::net::shutdown(stream, how),
            Self::Unix(stream) => rustix::net::shutdown(stream, how),
        };
    }
}

fn peek(stream: impl std::os::fd::AsFd, into: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(stream, into, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.0)
}
