//! What each detector finds and leaves alone.

use super::{Confidence, Detector, Detectors, Scanner};

/// Everything found in a text that stands in a field of a name: detector, value, whether it is sure.
fn found<'t>(name: &str, text: &'t str) -> Vec<(&'static str, &'t str, bool)> {
    let mut scanner = Scanner::default();
    let hits = scanner.scan(text, name, Detectors::ALL).iter();
    hits.map(|hit| {
        let sure = hit.confidence == Confidence::Sure;
        (hit.detector.as_str(), &text[hit.span.clone()], sure)
    })
    .collect()
}

/// Checks that a detector finds exactly a value, so sure, in a text; other detectors may find what they like.
#[track_caller]
fn finds(detector: &str, name: &str, text: &str, value: &str, sure: bool) {
    let mut all = found(name, text);
    all.retain(|(known, ..)| *known == detector);
    assert_eq!(
        all,
        [(Detector::from_name(detector).unwrap().as_str(), value, sure)],
        "{text}"
    );
}

#[track_caller]
fn finds_nothing(name: &str, text: &str) {
    assert_eq!(found(name, text), [], "{text}");
}

#[test]
fn names_are_unique_and_read_back() {
    for detector in Detector::ALL {
        assert_eq!(Detector::from_name(detector.as_str()), Some(*detector));
        assert!(Detectors::ALL.has(*detector));
    }
    assert_eq!(Detector::from_name("nothing"), None);
}

#[test]
fn payment_cards_need_issuer_length_and_luhn() {
    finds(
        "payment_card",
        "",
        "paid with 4111 1111 1111 1111 today",
        "4111 1111 1111 1111",
        true,
    );
    finds(
        "payment_card",
        "",
        "5500-0055-5555-5559",
        "5500-0055-5555-5559",
        true,
    );
    finds(
        "payment_card",
        "",
        "3782 822463 10005 12/26",
        "3782 822463 10005",
        true,
    );
    finds(
        "payment_card",
        "",
        "order 4111111111111111 done",
        "4111111111111111",
        false,
    );
    finds(
        "payment_card",
        "cardNumber",
        "4111111111111111",
        "4111111111111111",
        true,
    );
    finds(
        "payment_card",
        "",
        "the card: 6011000990139424.",
        "6011000990139424",
        true,
    );
    finds("payment_card", "", "2223003122003222", "2223003122003222", false);
    finds_nothing("", "4111 1111 1111 1112");
    finds_nothing("", "1732336530123456");
    finds_nothing("", "0.4111111111111111");
    finds_nothing("", "a4111111111111111");
    finds_nothing("request_id", "550e8400-e29b-41d4-a716-446655440000");
    finds_nothing("", "2026-11-23T04:35:30.123456Z");
}

#[test]
fn ibans_need_country_length_and_check_digits() {
    finds(
        "iban",
        "",
        "to DE89370400440532013000 please",
        "DE89370400440532013000",
        true,
    );
    finds(
        "iban",
        "",
        "GB82 WEST 1234 5698 7654 32",
        "GB82 WEST 1234 5698 7654 32",
        true,
    );
    finds(
        "iban",
        "",
        "FR14 2004 1010 0505 0001 3M02 606 BNP",
        "FR14 2004 1010 0505 0001 3M02 606",
        true,
    );
    finds("iban", "", "nl91abna0417164300", "nl91abna0417164300", false);
    finds_nothing("", "DE89370400440532013001");
    finds_nothing("", "DE893704004405320130001");
    finds_nothing("", "ZZ89370400440532013000");
}

#[test]
fn mail_addresses_are_found_also_in_urls() {
    finds(
        "email",
        "",
        "mail alice.o'neil+x@mail.example.co.uk, now",
        "alice.o'neil+x@mail.example.co.uk",
        true,
    );
    finds(
        "email",
        "",
        "/users/alice%40example.com/keys",
        "alice%40example.com",
        true,
    );
    finds("email", "", "<jörg@müller.de>", "jörg@müller.de", true);
    finds("email", "", "'bob@example.com.'", "bob@example.com", true);
    finds_nothing("", "left-pad@1.3.0");
    finds_nothing("", "user@localhost");
    finds_nothing("", "@example.com a@ b");
    finds_nothing("", "éa@.com");
}

#[test]
fn telephone_numbers_need_a_plus_or_context() {
    finds(
        "phone",
        "",
        "call +49 (30) 123456-78 now",
        "+49 (30) 123456-78",
        true,
    );
    finds("phone", "phoneNumber", "030 1234567", "030 1234567", true);
    finds("phone", "", "tel. 0171-1234567", "0171-1234567", true);
    finds("phone", "", "at (415) 555-2671", "(415) 555-2671", false);
    finds_nothing("", "at 030 1234567");
    finds_nothing("", "2023-07-10T11:42:23+01:00");
    finds_nothing("", "+0301234567");
}

#[test]
fn national_numbers_need_their_check_and_weak_ones_a_word() {
    for (detector, name, number, alone) in [
        ("us_ssn", "ssn", "536-90-4399", Some(false)),
        ("us_ssn", "social_security_number", "536904399", None),
        ("uk_nino", "nino", "AB 12 34 56 C", None),
        ("fr_nir", "nir", "2 85 05 78 057 589 43", Some(true)),
        ("fr_nir", "nir", "285057805758943", Some(false)),
        ("nl_bsn", "bsn", "111222333", None),
        ("de_steuer_id", "steuerId", "36574261809", Some(false)),
        ("de_steuer_id", "steuerId", "36 574 261 809", Some(true)),
        ("es_dni", "dni", "54362315K", Some(false)),
        ("es_dni", "nie", "X-2482300-W", Some(false)),
        ("it_codice_fiscale", "cf", "RCCMNL83S18D969H", Some(true)),
        ("pl_pesel", "pesel", "44051401359", Some(false)),
        ("be_nrn", "nrn", "85.07.30-033.28", Some(true)),
        ("be_nrn", "nrn", "85073003328", Some(false)),
        ("br_cpf", "cpf", "390.533.447-05", Some(true)),
        ("br_cpf", "cpf", "39053344705", Some(false)),
    ] {
        finds(detector, name, number, number, true);
        match alone {
            Some(sure) => finds(detector, "", &format!("x {number}, y"), number, sure),
            None => {
                let all = found("", number);
                assert!(
                    all.iter().all(|(known, ..)| *known != detector),
                    "{number}: {all:?}"
                );
            }
        }
        let last = number.chars().last().unwrap();
        let wrong = format!(
            "{}{}",
            &number[..number.len() - 1],
            if last == '9' { '1' } else { '9' }
        );
        if !matches!(detector, "us_ssn") {
            let all = found(name, &wrong);
            assert!(
                all.iter().all(|(known, ..)| *known != detector),
                "{wrong}: {all:?}"
            );
        }
    }
    for none in [
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "536-00-4399",
        "078-05-1120",
        "536-90-0000",
    ] {
        finds_nothing("ssn", none);
    }
    finds_nothing("", "11111111111");
}

#[test]
fn addresses_of_devices_are_told_from_versions_and_paths() {
    finds("ipv4", "", "10.248.16.43", "10.248.16.43", true);
    finds("ipv4", "", "from 203.0.113.9 at", "203.0.113.9", true);
    finds("ipv4", "", "seen 203.0.113.9, then", "203.0.113.9", false);
    finds("ipv4", "", "http://203.0.113.9:80/x", "203.0.113.9", true);
    finds(
        "ipv6",
        "",
        "via [2001:db8::8a2e:370:7334]:443",
        "2001:db8::8a2e:370:7334",
        true,
    );
    finds("ipv6", "client_ip", "fe80::1", "fe80::1", true);
    finds("mac", "", "nic 00:1a:2B:3c:4d:5e up", "00:1a:2B:3c:4d:5e", true);
    finds("mac", "", "00-1A-2B-3C-4D-5E", "00-1A-2B-3C-4D-5E", true);
    for none in [
        "Mozilla/5.0 Chrome/120.0.6099.109 Safari",
        "version 1.22.33.44",
        "127.0.0.1",
        "1.2.3.4.5",
        "1.2.3.4-beta",
        "256.1.1.1",
        "std::vec::Vec",
        "a::b",
        "::1",
        "04:35:30",
        "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
        "ff:ff:ff:ff:ff:ff",
    ] {
        finds_nothing("", none);
    }
}

#[test]
fn keys_and_tokens_are_known_by_their_shapes() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl";
    finds("jwt", "", &format!("token {jwt} end"), jwt, true);
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
    finds("private_key", "", &format!("x {pem} y"), pem, true);
    finds(
        "private_key",
        "",
        "-----BEGIN PRIVATE KEY-----\nMIIE",
        "-----BEGIN PRIVATE KEY-----\nMIIE",
        true,
    );
    finds(
        "aws_key_id",
        "",
        "key AKIAIOSFODNN7EXAMPLE.",
        "AKIAIOSFODNN7EXAMPLE",
        true,
    );
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    finds("aws_secret_key", "aws_secret_access_key", secret, secret, true);
    finds_nothing("", secret);
    finds_nothing("secret", "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    let google = format!("AIza{}", "Sy0-_".repeat(7));
    finds("gcp_key", "", &google, &google, true);
    let github = format!("ghp_{}", "a1B2".repeat(9));
    finds("github_token", "", &github, &github, true);
    finds(
        "slack_token",
        "",
        "xoxb-123456789012-abcdefghij",
        "xoxb-123456789012-abcdefghij",
        true,
    );
    let stripe = concat!("sk_", "live_4eC39HqLyjWDarjtT1zdp7dc");
    finds("stripe_key", "", stripe, stripe, true);
    let azure = format!("{}==", "aB3/".repeat(22).get(..86).unwrap());
    finds(
        "azure_key",
        "",
        &format!("AccountName=x;AccountKey={azure};"),
        &azure,
        true,
    );
    finds(
        "url_credentials",
        "",
        "https://user:pa55@host/x",
        "user:pa55",
        true,
    );
    finds(
        "url_credentials",
        "",
        "/cb?x=1&access_token=abcdef123&y",
        "abcdef123",
        true,
    );
    finds(
        "http_credentials",
        "",
        "Authorization: Basic dXNlcjpwYXNz",
        "dXNlcjpwYXNz",
        true,
    );
    finds(
        "http_credentials",
        "",
        "bearer 0123456789abcdefXYZ",
        "0123456789abcdefXYZ",
        true,
    );
    for none in [
        "-----BEGIN CERTIFICATE-----",
        "the basic understanding of it",
        "bearer certificates-of-deposit",
        "https://host/x?page=2",
        "https://host:8080/x@y",
        "AKIA",
        "eyJ.eyJ.",
    ] {
        finds_nothing("", none);
    }
}

#[test]
fn spans_are_on_characters() {
    for text in [
        "é@x.de é",
        "ü+49 30 1234567ü",
        "bearer 0123456789abcdefé",
        "https://é:é@é/é",
        "-----BEGIN PRIVATE KEY-----é",
    ] {
        for hit in Scanner::default().scan(text, "é", Detectors::ALL) {
            assert!(text.get(hit.span.clone()).is_some(), "{text} {hit:?}");
        }
    }
}
