//! Between the HTTP library and the bytes of a connection, inside of TLS: sees where heads begin and end, and gives the
//! library's own refusals, which have no body, one that says what is wrong.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::Head;
use super::line::{Doing, Line};
use super::refusal::{HTTP2, Refusal};

/// See the module.
pub struct Polite<S> {
    stream: S,
    line: Arc<Line>,
    head: Head,
    /// The refusal, and how much of it is written.
    instead: Option<(Vec<u8>, usize)>,
}

impl<S> Polite<S> {
    /// Wraps the stream of a line.
    pub fn new(stream: S, line: Arc<Line>) -> Self {
        Self {
            stream,
            line,
            head: Head::default(),
            instead: None,
        }
    }
}

impl<S: AsyncWrite + Unpin> Polite<S> {
    fn refuse(&mut self, refusal: Refusal) {
        count(refusal);
        self.instead = Some((refusal.bytes(self.line.secure), 0));
    }

    /// Writes what is left of the refusal.
    fn write_refusal(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some((bytes, written)) = &mut self.instead {
            while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
                match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    more => *written += more,
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether `buf` is the library's own refusal; makes ours of it.
    fn is_refusal(&mut self, buf: &[u8]) -> bool {
        if self.instead.is_some() {
            return true;
        }
        if matches!(self.line.doing(), Doing::Busy | Doing::Answered) {
            return false;
        }
        let Some(refusal) = Refusal::of_library(buf, self.head.beginning()) else {
            return false;
        };
        self.refuse(refusal);
        true
    }
}

/// Counts a refusal.
pub fn count(refusal: Refusal) {
    metrics::counter!("attestore_http_connections_refused_total", "reason" => refusal.code()).increment(1);
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Polite<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.instead.is_some() {
            ready!(this.write_refusal(context))?;
            return Poll::Ready(Ok(()));
        }
        let mut doing = this.line.doing();
        if doing == Doing::Answered {
            // The library wants the next head.
            this.line.set(Doing::Idle);
            this.head = Head::default();
            doing = Doing::Idle;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buf))?;
        if doing == Doing::Busy {
            return Poll::Ready(Ok(()));
        }
        this.head.read(buf.filled().get(before..).unwrap_or_default());
        if this.head.is_ambiguous() {
            this.line.ambiguous.store(true, Ordering::Relaxed);
        }
        if this.head.beginning().starts_with(HTTP2) {
            this.refuse(Refusal::Http2);
            buf.set_filled(before);
            ready!(this.write_refusal(context))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Polite<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_refusal(buf) {
            ready!(self.write_refusal(context))?;
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next())
            && self.is_refusal(only)
        {
            ready!(self.write_refusal(context))?;
            return Poll::Ready(Ok(only.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
