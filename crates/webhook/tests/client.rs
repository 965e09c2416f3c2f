//! One request over TLS: to whom the certificate names, and to nobody else.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use attestore_webhook::client::Message;
use attestore_webhook::{Allowed, Client, Outcome, Secret};
use bytes::Bytes;
use rcgen::{CertificateParams, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A certificate authority, and a server that has a certificate of it for these names.
struct Tls {
    root: CertificateDer<'static>,
    address: SocketAddr,
    requests: Receiver<String>,
}

async fn serve(names: &[&str], status: &'static str) -> Tls {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap().der().clone();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = channel(8);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            request.truncate(length);
            let _ = sender.send(String::from_utf8(request).unwrap()).await;
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Tls {
        root,
        address,
        requests,
    }
}

fn client(roots: &[&CertificateDer<'static>], allow: &[&str]) -> Client {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add((*root).clone()).unwrap();
    }
    let allow: Vec<String> = allow.iter().map(ToString::to_string).collect();
    Client::trusting(store, Allowed::parse(&allow, false).unwrap(), TIMEOUT).unwrap()
}

async fn send(client: &Client, url: &str) -> Outcome {
    let secret = Secret::from_bytes(vec![7; 32]);
    let message = Message {
        id: "msg_1",
        timestamp_s: 1_795_312_800,
        body: Bytes::from_static(b"{}"),
    };
    client.send(url, &secret, message).await
}

fn reason(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed { reason, .. } => reason,
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn a_message_reaches_whom_the_certificate_names() {
    let mut tls = serve(&["localhost"], "200 OK").await;
    let client = client(&[&tls.root], &["127.0.0.0/8", "::1"]);
    let url = format!("https://localhost:{}/a?b=c", tls.address.port());
    assert_eq!(send(&client, &url).await, Outcome::Delivered);
    let request = tls.requests.recv().await.unwrap();
    assert!(request.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{request}");
    for header in [
        format!("host: localhost:{}\r\n", tls.address.port()).as_str(),
        "webhook-id: msg_1\r\n",
        "webhook-timestamp: 1795312800\r\n",
        "webhook-signature: v1,",
    ] {
        assert!(request.contains(header), "{header} {request}");
    }
    assert!(request.ends_with("\r\n\r\n{}"), "{request}");
}

#[tokio::test]
async fn another_name_or_an_unknown_authority_gets_nothing() {
    let mut tls = serve(&["hooks.example.com"], "200 OK").await;
    let other = serve(&["localhost"], "200 OK").await;
    let allow = ["127.0.0.0/8", "::1"];
    let url = format!("https://localhost:{}/", tls.address.port());
    assert!(reason(send(&client(&[&tls.root], &allow), &url).await).starts_with("TLS: "));
    let url = format!("https://localhost:{}/", other.address.port());
    assert!(reason(send(&client(&[&tls.root], &allow), &url).await).starts_with("TLS: "));
    assert!(tls.requests.try_recv().is_err());
}

#[tokio::test]
async fn an_address_that_is_not_allowed_gets_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = client(&[], &[]);
    for host in ["localhost", "127.0.0.1", "0x7f.1", "[::1]", "[::ffff:7f00:1]"] {
        let reason = reason(send(&client, &format!("https://{host}:{port}/")).await);
        assert!(
            reason.contains("not public") || reason.contains("does not resolve"),
            "{host}: {reason}"
        );
    }
    let connected = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(connected.is_err(), "somebody connected");
}

#[tokio::test]
async fn statuses_are_told_apart() {
    for (status, expected) in [
        ("204 x", None),
        ("410 x", Some(Outcome::Gone)),
        ("302 x", None),
        ("503 x", None),
    ] {
        let tls = serve(&["localhost"], status).await;
        let client = client(&[&tls.root], &["127.0.0.0/8", "::1"]);
        let outcome = send(&client, &format!("https://localhost:{}/", tls.address.port())).await;
        match (status, expected) {
            ("204 x", _) => assert_eq!(outcome, Outcome::Delivered),
            (_, Some(expected)) => assert_eq!(outcome, expected),
            (status, None) => assert!(reason(outcome).contains(&status[..3])),
        }
    }
}
