//! The bytes of a connection, as the server reads and writes them.
//!
//! A client that does not take its answers keeps a connection from others, and loses it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::line::{Doing, Line, Socket};

/// Reads and writes a [`Line`].
pub struct Stream {
    line: Arc<Line>,
    /// How long the client may take nothing of what is written.
    patience: Duration,
    /// Runs while nothing is taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    /// Writing fails when the client takes nothing for as long as `patience`.
    pub fn new(line: Arc<Line>, patience: Duration) -> Self {
        Self {
            line,
            patience,
            stalled: None,
        }
    }

    /// Tries until it need not wait, and fails when it has waited for too long.
    fn write(
        &mut self,
        context: &mut Context<'_>,
        attempt: impl Fn(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let ready = match &self.line.socket {
                Socket::Tcp(stream) => stream.poll_write_ready(context),
                Socket::Unix(stream) => stream.poll_write_ready(context),
            };
            if ready.is_pending() {
                let patience = self.patience;
                let stalled = self
                    .stalled
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                ready!(stalled.as_mut().poll(context));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            ready!(ready)?;
            match attempt(&self.line.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    self.stalled = None;
                    return Poll::Ready(done);
                }
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = &self.line;
        loop {
            let done = match &line.socket {
                Socket::Tcp(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    stream.try_read_buf(buf)
                }
                Socket::Unix(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    stream.try_read_buf(buf)
                }
            };
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    if matches!(line.doing(), Doing::New | Doing::Idle) {
                        line.heard();
                    }
                    return Poll::Ready(done.map(drop));
                }
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |socket| socket.try_write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |socket| match socket {
            Socket::Tcp(stream) => stream.try_write_vectored(bufs),
            Socket::Unix(stream) => stream.try_write_vectored(bufs),
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.socket.shutdown(Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Others may hold the line for a while; the client must not wait for them.
        self.line.socket.shutdown(Shutdown::Write);
    }
}
