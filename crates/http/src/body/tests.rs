use std::io::Write;

use axum::http::HeaderValue;

use super::*;

fn limits() -> Limits {
    Limits {
        wire_bytes_max: 1 << 20,
        decoded_bytes_max: 1 << 16,
        ..Limits::default()
    }
}

fn encoded(name: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    headers
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

#[tokio::test]
async fn bodies_come_back_whole_in_every_encoding() {
    let text = b"{\"a\":1}".repeat(100);
    for (name, wire) in [
        ("identity", text.clone()),
        ("gzip", gzip(&text)),
        ("zstd", zstd::encode_all(&text[..], 3).expect("zstd")),
    ] {
        let got = read(&encoded(name), Body::from(wire), &limits())
            .await
            .expect("a good body");
        assert_eq!(got, text, "{name}");
    }
}

#[tokio::test]
async fn bombs_are_refused_after_the_decoded_limit() {
    let zeros = vec![0u8; 50 << 20];
    for (name, wire) in [
        ("gzip", gzip(&zeros)),
        ("zstd", zstd::encode_all(&zeros[..], 3).expect("zstd")),
    ] {
        assert!(wire.len() < 1 << 20);
        let problem = read(&encoded(name), Body::from(wire), &limits())
            .await
            .expect_err("a bomb");
        assert_eq!((problem.status, problem.code), (413, "body_too_large"), "{name}");
    }
}

#[tokio::test]
async fn the_decoded_limit_holds_to_the_byte() {
    let max = limits().decoded_bytes_max;
    for length in [
        0,
        1,
        (16 << 10) - 1,
        16 << 10,
        (16 << 10) + 1,
        max - 1,
        max,
        max + 1,
    ] {
        let wire = Body::from(gzip(&vec![b'a'; length]));
        let got = read(&encoded("gzip"), wire, &limits()).await;
        match got {
            Ok(got) => assert!(length <= max && got.len() == length, "{length}"),
            Err(problem) => assert!(length > max && problem.code == "body_too_large", "{length}"),
        }
    }
}

#[tokio::test]
async fn wire_limit_holds_with_and_without_a_declared_length() {
    let big = vec![b' '; (1 << 20) + 1];
    let problem = read(&HeaderMap::new(), Body::from(big), &limits())
        .await
        .expect_err("too large");
    assert_eq!(problem.code, "body_too_large");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("99999999"));
    let problem = read(&headers, Body::empty(), &limits())
        .await
        .expect_err("declared too large");
    assert_eq!(problem.code, "body_too_large");
}

#[tokio::test]
async fn unknown_stacked_and_broken_encodings_are_told_apart() {
    for (name, code) in [
        ("br", "unsupported_encoding"),
        ("gzip, zstd", "unsupported_encoding"),
        ("gzip", "invalid_encoding"),
        ("zstd", "invalid_encoding"),
    ] {
        let problem = read(&encoded(name), Body::from("nonsense"), &limits())
            .await
            .expect_err(name);
        assert_eq!(problem.code, code, "{name}");
    }
}

#[tokio::test]
async fn bodies_of_all_requests_share_one_limit() {
    let limits = Limits {
        memory: Memory::new(300 << 10),
        ..limits()
    };
    let wire = vec![b'x'; 400 << 10];
    let problem = read(&HeaderMap::new(), Body::from(wire.clone()), &limits)
        .await
        .expect_err("more than there is");
    assert_eq!((problem.status, problem.code), (503, "bodies_full"));
    // What was refused has given back what it took, and so has what was read.
    for _ in 0..3 {
        let wire = wire[..350 << 10].to_vec();
        read(&HeaderMap::new(), Body::from(wire), &limits)
            .await
            .expect("it fits");
    }
}
