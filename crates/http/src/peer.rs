//! A client's connection, and whether the client is still there.
//!
//! A client may close its side once it has sent a request and wait for the answer all the same; what it asked for is done
//! and answered. What is costly may be given up instead: whoever runs it asks [`Peer::left`]. A client that does not take
//! its answers keeps a connection from others, and loses it.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::Request;
use axum::http::request::Parts;
use hyper::service::Service;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Sleep;

use crate::ending::Ending;

/// The connection as the server reads and writes it.
pub struct Connection {
    read: Arc<OwnedReadHalf>,
    write: OwnedWriteHalf,
    /// How long the client may take nothing of what is written.
    patience: Duration,
    /// Runs while nothing is taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// The client's end of a connection. Without one, as in tests of the router alone, the client never leaves.
#[derive(Clone, Default)]
pub struct Peer(Option<Arc<OwnedReadHalf>>);

/// Tells a service whose requests it gets.
pub struct Known<S> {
    service: S,
    peer: Peer,
    ending: Option<Ending>,
}

impl<S> Known<S> {
    /// Also tells the service when the server is about to stop.
    pub fn until(self, ending: Ending) -> Self {
        Self {
            ending: Some(ending),
            ..self
        }
    }
}

impl Connection {
    /// Takes a stream, for a service that is told who is at its other end. Writing fails when the client takes nothing for as
    /// long as `patience`.
    pub fn new<S>(stream: TcpStream, service: S, patience: Duration) -> (Self, Known<S>) {
        let (read, write) = stream.into_split();
        let read = Arc::new(read);
        let peer = Peer(Some(Arc::clone(&read)));
        let connection = Self {
            read,
            write,
            patience,
            stalled: None,
        };
        let known = Known {
            service,
            peer,
            ending: None,
        };
        (connection, known)
    }

    /// Fails a write that has been pending for too long.
    fn watched<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Peer {
    /// Resolves when the client has closed its side, or the connection is broken. A client that sent another request
    /// meanwhile counts as there.
    pub async fn left(&self) {
        let sent_more = match &self.0 {
            None => true,
            Some(read) => {
                let stream: &TcpStream = (**read).as_ref();
                stream.peek(&mut [0]).await.is_ok_and(|bytes| bytes > 0)
            }
        };
        if sent_more {
            std::future::pending().await
        }
    }
}

impl<S, B> Service<Request<B>> for Known<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        if let Some(ending) = &self.ending {
            request.extensions_mut().insert(ending.clone());
        }
        self.service.call(request)
    }
}

impl<T: Sync> FromRequestParts<T> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream: &TcpStream = (*self.read).as_ref();
        loop {
            ready!(stream.poll_read_ready(context))?;
            match stream.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.write).poll_write(context, buf);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.write).poll_write_vectored(context, bufs);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
