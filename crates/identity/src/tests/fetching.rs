use std::sync::Arc;

use base64::Engine as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::Fetch;
use crate::https::Client;

/// Answers every connection with these bytes; returns its port.
async fn answering(answer: Vec<u8>, tls: Option<Arc<ServerConfig>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (answer, tls) = (answer.clone(), tls.clone());
            tokio::spawn(async move {
                let mut head = [0; 2048];
                if let Some(tls) = tls {
                    let Ok(mut stream) = TlsAcceptor::from(tls).accept(stream).await else {
                        return;
                    };
                    let _ = stream.read(&mut head).await;
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                } else {
                    let _ = stream.read(&mut head).await;
                    let _ = stream.write_all(&answer).await;
                }
            });
        }
    });
    port
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

#[tokio::test]
async fn documents_come_whole_or_not_at_all() {
    let client = Client::new(None, true).unwrap();
    let elsewhere = answering(answer("200 OK", "", "stolen"), None).await;
    let redirect = format!("location: http://127.0.0.1:{elsewhere}/\r\n");
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_vec();
    for (what, bytes, want) in [
        ("plain", answer("200 OK", "", "{}"), Some("{}")),
        ("chunked", chunked, Some("{}")),
        ("redirect", answer("302 Found", &redirect, ""), None),
        ("failure", answer("500 Oops", "", "{}"), None),
        (
            "cut",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}".to_vec(),
            None,
        ),
        (
            "too long",
            answer("200 OK", "", &" ".repeat((256 << 10) + 1)),
            None,
        ),
        ("no HTTP", b"SSH-2.0-x\r\n".to_vec(), None),
    ] {
        let port = answering(bytes, None).await;
        let got = client.fetch(&format!("http://127.0.0.1:{port}/keys")).await;
        assert_eq!(got.ok().as_deref(), want.map(str::as_bytes), "{what}");
    }
}

#[tokio::test]
async fn certificates_are_verified() {
    let ours = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(ours.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![ours.cert.der().clone()], key)
        .unwrap();
    let port = answering(answer("200 OK", "", "{}"), Some(Arc::new(config))).await;
    let lines = base64::engine::general_purpose::STANDARD.encode(ours.cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n");
    let trusting = Client::new(Some(pem.as_bytes()), false).unwrap();
    let got = trusting.fetch(&format!("https://localhost:{port}/")).await;
    assert_eq!(got.unwrap().as_ref(), b"{}");
    assert!(
        trusting
            .fetch(&format!("https://127.0.0.1:{port}/"))
            .await
            .is_err(),
        "another name"
    );
    let stranger = Client::new(None, false).unwrap();
    assert!(
        stranger
            .fetch(&format!("https://localhost:{port}/"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn plain_http_is_refused_without_leave() {
    let port = answering(answer("200 OK", "", "{}"), None).await;
    let client = Client::new(None, false).unwrap();
    assert!(client.fetch(&format!("http://127.0.0.1:{port}/")).await.is_err());
    assert!(Client::new(Some(b"nothing"), false).is_err());
}
