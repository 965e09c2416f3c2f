//! Answers of every shape, from a server that sends what it is told to.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Body, Client, Configured, Error, Limits, Request, Response, Rule, Url, UrlError};

const LIMITS: Limits = Limits {
    time: Duration::from_secs(5),
    body: Body::Whole(1000),
};

/// Answers one connection with these bytes and hands back what it was asked.
async fn answering(answer: &'static [u8], close: bool) -> (Url, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prefix", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).await.unwrap();
        stream.write_all(answer).await.unwrap();
        if !close {
            let _ = stream.read(&mut head).await;
        }
        String::from_utf8_lossy(&head[..length]).into_owned()
    });
    (Url::parse(&url).unwrap(), asked)
}

async fn get(url: &Url, limits: Limits) -> Result<Response, Error> {
    let client = Client::new(super::roots_of_the_web()).unwrap();
    let rule = Configured { loopback_http: true };
    client.send(url, &rule, Request::new(Bytes::new()), limits).await
}

#[tokio::test]
async fn an_answer_of_any_status_is_handed_back() {
    let (url, asked) = answering(
        b"HTTP/1.1 409 Conflict\r\ncontent-type: text/x.tlog.size\r\ncontent-length: 3\r\n\r\n17\n",
        false,
    )
    .await;
    let response = get(&url.below("add-checkpoint"), LIMITS).await.unwrap();
    assert_eq!(response.status.as_u16(), 409);
    assert_eq!(response.headers["content-type"], "text/x.tlog.size");
    assert_eq!(response.body, "17\n");
    let asked = asked.await.unwrap();
    assert!(
        asked.starts_with("GET /prefix/add-checkpoint HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains(&format!("host: {}\r\n", url.authority)), "{asked}");
    assert!(asked.contains("connection: close\r\n"), "{asked}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (url, _asked) = answering(
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        false,
    )
    .await;
    assert_eq!(get(&url, LIMITS).await.unwrap().status.as_u16(), 302);
}

#[tokio::test]
async fn bodies_come_whole_or_not_at_all() {
    let (url, _asked) = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", true).await;
    assert_eq!(get(&url, LIMITS).await.err(), Some(Error::Body));
    let long: &'static [u8] = Vec::leak(
        [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n"[..],
            &[b'x'; 1001],
        ]
        .concat(),
    );
    let (url, _asked) = answering(long, false).await;
    assert_eq!(get(&url, LIMITS).await.err(), Some(Error::Body));
    let ignored = Limits {
        body: Body::Ignored(10, Duration::from_secs(1)),
        ..LIMITS
    };
    let (url, _asked) = answering(long, false).await;
    assert_eq!(get(&url, ignored).await.unwrap().body, "");
}

#[tokio::test]
async fn what_is_no_http_or_never_comes_is_an_error() {
    let (url, _asked) = answering(b"SSH-2.0-x\r\n", false).await;
    assert!(matches!(get(&url, LIMITS).await, Err(Error::Http(_))));
    let (url, _asked) = answering(b"", true).await;
    assert!(matches!(get(&url, LIMITS).await, Err(Error::Http(_))));
    let soon = Limits {
        time: Duration::from_millis(50),
        ..LIMITS
    };
    let (url, _asked) = answering(b"HTTP/1.1 200 OK\r\n", false).await;
    assert_eq!(get(&url, soon).await.err(), Some(Error::Time(soon.time)));
}

#[tokio::test]
async fn the_rule_is_asked_about_every_address() {
    struct Nobody;
    impl Rule for Nobody {
        fn judge(&self, url: &Url, address: IpAddr) -> Result<(), String> {
            assert!(address.is_loopback() && url.host == "127.0.0.1");
            Err("not this one".into())
        }
    }
    let (url, asked) = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true).await;
    let client = Client::new(super::roots_of_the_web()).unwrap();
    let answer = client
        .send(&url, &Nobody, Request::new(Bytes::new()), LIMITS)
        .await;
    assert_eq!(answer.err(), Some(Error::Refused("not this one".into())));
    assert!(!asked.is_finished(), "nobody connected");
    asked.abort();
}

#[test]
fn configured_urls_are_https_or_of_this_machine() {
    let (strict, trial) = (Configured::default(), Configured { loopback_http: true });
    for (url, want_strict, want_trial) in [
        ("https://witness.example/w1", None, None),
        ("https://10.0.0.1:8443/", None, None),
        ("http://127.0.0.1:9/", Some(UrlError::Insecure), None),
        ("http://[::1]:9/", Some(UrlError::Insecure), None),
        ("http://LOCALHOST/", Some(UrlError::Insecure), None),
        (
            "http://witness.example/",
            Some(UrlError::Insecure),
            Some(UrlError::Insecure),
        ),
        (
            "http://10.0.0.1/",
            Some(UrlError::Insecure),
            Some(UrlError::Insecure),
        ),
        (
            "https://a:b@witness.example/",
            Some(UrlError::Credentials),
            Some(UrlError::Credentials),
        ),
        (
            "https://w.example/#a",
            Some(UrlError::Malformed),
            Some(UrlError::Malformed),
        ),
        (
            "ftp://w.example/",
            Some(UrlError::Malformed),
            Some(UrlError::Malformed),
        ),
        ("w.example", Some(UrlError::Malformed), Some(UrlError::Malformed)),
        ("/path", Some(UrlError::Malformed), Some(UrlError::Malformed)),
        ("", Some(UrlError::Malformed), Some(UrlError::Malformed)),
    ] {
        assert_eq!(strict.url(url).err(), want_strict, "{url}");
        assert_eq!(trial.url(url).err(), want_trial, "{url}");
    }
    let plain = Url::parse("http://localhost/").unwrap();
    assert!(
        trial.judge(&plain, "10.0.0.1".parse().unwrap()).is_err(),
        "a name may stand for anything"
    );
    assert!(trial.judge(&plain, "127.0.0.2".parse().unwrap()).is_ok());
}

#[test]
fn paths_are_put_below_a_prefix() {
    for (prefix, path) in [
        ("https://w.example", "/add-checkpoint"),
        ("https://w.example/", "/add-checkpoint"),
        ("https://w.example/a/b", "/a/b/add-checkpoint"),
        ("https://w.example/a/?x=y", "/a/add-checkpoint"),
    ] {
        assert_eq!(
            Url::parse(prefix).unwrap().below("add-checkpoint").path,
            path,
            "{prefix}"
        );
    }
}
