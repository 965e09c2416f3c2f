//! Server-sent events (WHATWG HTML, section 9.2) as a response body: written by a task, taken by the connection.
//!
//! One chunk waits in between at most, so a client that does not read holds up its own task and nothing else.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

/// The writing end.
pub struct Sink(mpsc::Sender<Bytes>);

/// The client does not listen any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Left;

/// Events to be sent together.
#[derive(Default)]
pub struct Chunk(String);

/// The reading end, as a body.
struct Stream(mpsc::Receiver<Bytes>);

/// Makes a response and what writes it.
pub fn response() -> (Sink, Response<Body>) {
    let (sender, receiver) = mpsc::channel(1);
    let mut response = Response::new(Body::new(Stream(receiver)));
    let headers = response.headers_mut();
    let set = [
        (header::CONTENT_TYPE, "text/event-stream"),
        // No proxy may keep, compress or gather what is to arrive at once.
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    (Sink(sender), response)
}

impl Sink {
    /// Hands over events, once the client has taken those before.
    ///
    /// # Errors
    /// [`Left`].
    pub async fn send(&self, chunk: Chunk) -> Result<(), Left> {
        if chunk.0.is_empty() {
            return Ok(());
        }
        self.0.send(Bytes::from(chunk.0)).await.map_err(|_| Left)
    }

    /// Hands over events if the client has taken those before; else they are dropped.
    pub fn offer(&self, chunk: Chunk) {
        let _ = self.0.try_send(Bytes::from(chunk.0));
    }

    /// Resolves when the client does not listen any more.
    pub async fn left(&self) {
        self.0.closed().await;
    }
}

impl Chunk {
    /// Adds an event. `name` and `id` are ours and have no line ends; `data` may.
    pub fn event(&mut self, name: Option<&str>, id: Option<&str>, data: &str) {
        if let Some(name) = name {
            self.field("event", name);
        }
        if let Some(id) = id {
            self.field("id", id);
        }
        for line in data.split(['\n', '\r']) {
            self.field("data", line);
        }
        self.0.push('\n');
    }

    /// Tells how long to wait before connecting anew.
    pub fn retry(&mut self, ms: u64) {
        self.field("retry", &ms.to_string());
    }

    /// Adds what clients pass over.
    pub fn comment(&mut self, text: &str) {
        self.0.push_str(": ");
        self.0.push_str(text);
        self.0.push_str("\n\n");
    }

    fn field(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\n"] {
            self.0.push_str(part);
        }
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_several_lines_stays_one_event() {
        let mut chunk = Chunk::default();
        chunk.retry(5);
        chunk.event(Some("progress"), Some("7-00"), "{\r\n \"a\": 1}\n");
        chunk.comment("here");
        assert_eq!(
            chunk.0,
            "retry: 5\nevent: progress\nid: 7-00\ndata: {\ndata: \ndata:  \"a\": 1}\ndata: \n\n: here\n\n"
        );
    }

    #[tokio::test]
    async fn one_chunk_waits_and_no_more() {
        let (sink, response) = response();
        let chunk = || Chunk("x".into());
        sink.send(chunk()).await.unwrap();
        sink.offer(chunk());
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), sink.send(chunk()));
        assert!(waits.await.is_err());
        drop(response);
        assert_eq!(sink.send(chunk()).await, Err(Left));
        sink.left().await;
    }
}
