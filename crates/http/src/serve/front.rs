//! The first and last hand on every request of a connection: gives it an id, says where it came from, refuses what no route
//! should see, and finishes the answer.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use attestore_limit::Trusted;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;

use super::about::About;
use super::framing;
use super::headers;
use super::line::{Doing, Line};
use super::request_id::RequestId;
use crate::problem::Problem;

/// What holds for the requests of every connection.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Requests on one connection, after which it is closed.
    pub requests_max: u32,
    /// Who is believed about the client's address.
    pub proxies: Trusted,
}

impl Rules {
    /// The client's address: that of the connection, or what a trusted proxy says. A proxy on this machine's Unix socket has
    /// none; it is trusted where 127.0.0.1 is.
    fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        if self.proxies.trusted.is_empty() {
            return peer;
        }
        let values = headers.get_all(self.proxies.header.name()).iter();
        let from = peer.unwrap_or(HERE);
        let client = self.proxies.client(from, values.map(HeaderValue::as_bytes));
        (client != from).then_some(client).or(peer)
    }

    /// Whether the connection stands for many clients.
    pub fn is_proxy(&self, line: &Line) -> bool {
        line.peer.is_some_and(|peer| self.proxies.is_trusted(peer))
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A service with the requests of one connection. See the module.
pub struct Front<S> {
    service: S,
    line: Arc<Line>,
    rules: Arc<Rules>,
}

impl<S> Front<S> {
    /// Puts it before a service.
    pub fn new(service: S, line: Arc<Line>, rules: Arc<Rules>) -> Self {
        Self { service, line, rules }
    }
}

impl<S> Service<Request<Incoming>> for Front<S>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let line = &self.line;
        // A connection that was ended meanwhile must not act: its client is told of a broken one, and will try again.
        let ended = !line.set(Doing::Busy);
        let id = RequestId::of(request.headers());
        let is_ambiguous = line.ambiguous.load(Ordering::Relaxed);
        let refused = if ended {
            Some(over())
        } else if is_ambiguous && request.headers().contains_key(TRANSFER_ENCODING) {
            Some(ambiguous())
        } else {
            framing::check(request.version(), request.headers()).err()
        };
        let is_last = line.count() >= self.rules.requests_max;
        let is_last = is_last || refused.is_some();
        let future = refused.is_none().then(|| {
            let client = self.rules.client(line.peer, request.headers());
            let about = About::new(id.clone(), Arc::clone(line), client);
            request.extensions_mut().insert(about);
            self.service.call(request)
        });
        Answering {
            future,
            refused,
            id,
            line: Arc::clone(line),
            is_last,
        }
    }
}

pin_project! {
    /// An answer in the making.
    pub struct Answering<F> {
        #[pin]
        future: Option<F>,
        refused: Option<Problem>,
        id: RequestId,
        line: Arc<Line>,
        is_last: bool,
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.future.as_pin_mut() {
            Some(future) => match ready!(future.poll(context)) {
                Ok(response) => response,
                Err(never) => match never {},
            },
            None => this.refused.take().unwrap_or_else(ambiguous).into_response(),
        };
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            // The framework has measured the body that it was given.
            response.headers_mut().remove(CONTENT_LENGTH);
            *response.body_mut() = problem.with_request_id(this.id.as_str()).to_body();
        }
        let all = response.headers_mut();
        headers::add(all, this.line.secure);
        all.insert(RequestId::HEADER, this.id.value());
        if *this.is_last {
            all.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if response.body().size_hint().exact().is_some() {
            this.line.set(Doing::Answered);
            return Poll::Ready(Ok(response));
        }
        let line = Arc::clone(this.line);
        Poll::Ready(Ok(response.map(|body| Body::new(Flowing { body, line }))))
    }
}

fn over() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "connection_ended",
        "the connection was ended",
    )
}

fn ambiguous() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "ambiguous_length",
        "send either Content-Length or Transfer-Encoding, not both",
    )
}

/// A body whose length is not known: while it flows, the connection is at work.
struct Flowing {
    body: Body,
    line: Arc<Line>,
}

impl HttpBody for Flowing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}

impl Drop for Flowing {
    fn drop(&mut self) {
        self.line.set(Doing::Answered);
    }
}
