use std::collections::BTreeMap;

use attestore_engine::credentials::{Role, Scope};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::*;

/// 2026-11-22.
const NOW_MS: u64 = 1_795_305_600_000;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

struct Issued {
    certificate: String,
    key: KeyPair,
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority {
        issuer: Issuer::new(params, key),
        pem,
    }
}

impl Authority {
    fn issue(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key }
    }

    fn server(&self) -> Issued {
        self.issue(CertificateParams::new(vec!["localhost".into()]).unwrap())
    }

    fn client(&self, names: Vec<SanType>, common_names: &[&str], serial: u64) -> Issued {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.serial_number = Some(SerialNumber::from(serial));
        self.issue(params)
    }

    fn revoke(&self, serial: u64) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2036, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2026, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn material(server: &Issued, clients: &str, revoked: &str) -> Material {
    Material {
        certificate: server.certificate.clone().into_bytes(),
        key: Zeroizing::new(server.key.serialize_pem().into_bytes()),
        client_ca: clients.as_bytes().to_vec(),
        client_crl: revoked.as_bytes().to_vec(),
    }
}

/// A client that trusts `authority`, and shows a certificate or none.
fn client(authority: &str, shown: Option<&Issued>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some(issued) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(issued.key.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    TlsConnector::from(Arc::new(config))
}

/// Connects; returns what the server found out, or what went wrong on either side.
async fn connect(tls: &Tls, client: TlsConnector) -> Result<Option<Arc<Principal>>, String> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = async {
        let (mut stream, principal) = tls.accept(near).await.map_err(|e| e.to_string())?;
        stream.write_all(b"x").await.map_err(|e| e.to_string())?;
        Ok::<_, String>(principal)
    };
    let client = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = client.connect(name, far).await.map_err(|e| e.to_string())?;
        stream.read_u8().await.map_err(|e| e.to_string())
    };
    let (server, client) = tokio::join!(server, client);
    client?;
    server
}

fn rule(name: &str, edit: impl FnOnce(&mut RuleSpec)) -> RuleSpec {
    let mut spec = RuleSpec {
        name: name.into(),
        roles: vec![Role::Ingest],
        tenants: vec!["acme".into()],
        ..RuleSpec::default()
    };
    edit(&mut spec);
    spec
}

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

fn part(name: &str, pattern: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), pattern.to_owned())])
}

#[tokio::test]
async fn a_client_certificate_is_whom_the_first_rule_says_that_fits() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let server = ours.server();
    let rules = [
        rule("web", |rule| {
            rule.san_uri = Some("spiffe://example.org/ns/*/sa/web".into());
            rule.issuer = part("CN", "ours");
        }),
        rule("people", |rule| {
            rule.san_email = Some("*@example.org".into());
            rule.roles = vec![Role::Auditor];
            rule.tenants = vec!["*".into()];
        }),
        rule("named", |rule| rule.subject = part("CN", "collector-*")),
    ];
    let both = format!("{}{}", ours.pem, theirs.pem);
    let (tls, _) = Tls::new(
        &material(&server, &both, ""),
        ClientCertificates::Optional,
        &rules,
    )
    .unwrap();
    let who = async |issued: &Issued| connect(&tls, client(&ours.pem, Some(issued))).await.unwrap();

    let web = vec![uri("spiffe://example.org/ns/prod/sa/web")];
    let found = who(&ours.client(web.clone(), &[], 1)).await.unwrap();
    assert_eq!(found.id, "cert:uri:spiffe://example.org/ns/prod/sa/web");
    assert_eq!(
        (found.roles.as_slice(), &found.tenants),
        (&[Role::Ingest][..], &Scope::one("acme"))
    );
    assert!(found.expires_at_ms.unwrap() > NOW_MS);
    assert!(
        who(&theirs.client(web, &[], 1)).await.is_none(),
        "another issuer's"
    );

    let email = vec![SanType::Rfc822Name(
        Ia5String::try_from("ann@example.org").unwrap(),
    )];
    let found = who(&ours.client(email.clone(), &["collector-1"], 2))
        .await
        .unwrap();
    assert_eq!((found.name.as_str(), &found.tenants), ("people", &Scope::All));
    assert!(!found.id.contains("ann"), "{}", found.id);
    let renewed = who(&ours.client(email, &["collector-1"], 3)).await.unwrap();
    assert_eq!(found.id, renewed.id);

    let found = who(&ours.client(Vec::new(), &["collector-1"], 4)).await.unwrap();
    assert_eq!(found.name, "named");
    for names in [&["x-collector-1"][..], &[]] {
        assert!(
            who(&ours.client(Vec::new(), names, 5)).await.is_none(),
            "{names:?}"
        );
    }
}

#[tokio::test]
async fn certificates_are_asked_for_as_set() {
    let (ours, others) = (authority("ours"), authority("others"));
    let server = ours.server();
    let material = material(&server, &ours.pem, "");
    let known = ours.client(Vec::new(), &["a"], 1);
    let foreign = others.client(Vec::new(), &["a"], 1);
    for (mode, without, with_foreign) in [
        (ClientCertificates::Off, true, true),
        (ClientCertificates::Optional, true, false),
        (ClientCertificates::Required, false, false),
    ] {
        let (tls, _) = Tls::new(&material, mode, &[]).unwrap();
        let ok = async |shown| connect(&tls, client(&ours.pem, shown)).await.is_ok();
        assert!(ok(Some(&known)).await, "{mode:?}");
        assert_eq!(ok(None).await, without, "{mode:?}");
        assert_eq!(ok(Some(&foreign)).await, with_foreign, "{mode:?}");
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_from_the_next_connection_on() {
    let ours = authority("ours");
    let server = ours.server();
    let (one, two) = (
        ours.client(Vec::new(), &["a"], 1),
        ours.client(Vec::new(), &["b"], 2),
    );
    let (tls, _) = Tls::new(
        &material(&server, &ours.pem, ""),
        ClientCertificates::Required,
        &[],
    )
    .unwrap();
    let connector = client(&ours.pem, Some(&one));
    connect(&tls, connector.clone()).await.unwrap();
    tls.reload(&material(&server, &ours.pem, &ours.revoke(1)), NOW_MS)
        .unwrap();
    assert!(connect(&tls, connector).await.is_err());
    connect(&tls, client(&ours.pem, Some(&two))).await.unwrap();
}

#[tokio::test]
async fn a_broken_reload_changes_nothing() {
    let (ours, new) = (authority("ours"), authority("new"));
    let server = ours.server();
    let good = material(&server, "", "");
    let (tls, facts) = Tls::new(&good, ClientCertificates::Off, &[]).unwrap();
    assert_eq!(facts.names, ["localhost"]);
    let next = new.server();
    let mut old = CertificateParams::new(vec!["localhost".into()]).unwrap();
    old.not_after = date_time_ymd(2020, 1, 1);
    let mut early = CertificateParams::new(vec!["localhost".into()]).unwrap();
    early.not_before = date_time_ymd(2035, 1, 1);
    let mut broken = vec![
        Material {
            key: Zeroizing::new(next.key.serialize_pem().into_bytes()),
            ..material(&server, "", "")
        },
        material(&ours.issue(old), "", ""),
        material(&ours.issue(early), "", ""),
    ];
    for cut in [0, 30, 100] {
        broken.push(Material {
            certificate: server.certificate.as_bytes()[..cut].to_vec(),
            ..material(&server, "", "")
        });
        broken.push(Material {
            key: Zeroizing::new(server.key.serialize_pem().as_bytes()[..cut].to_vec()),
            ..material(&server, "", "")
        });
    }
    for (n, broken) in broken.iter().enumerate() {
        assert!(tls.reload(broken, NOW_MS).is_err(), "{n}");
        connect(&tls, client(&ours.pem, None)).await.unwrap();
    }
    tls.reload(&material(&next, "", ""), NOW_MS).unwrap();
    assert!(connect(&tls, client(&ours.pem, None)).await.is_err());
    connect(&tls, client(&new.pem, None)).await.unwrap();
}

#[test]
fn rules_that_make_no_sense_are_refused_by_name() {
    let roles = [Role::RetentionManager, Role::KeyAdmin];
    let good = |rule: &mut RuleSpec| rule.san_dns = Some("a.example.org".into());
    for (spec, word) in [
        (rule("", good), "name"),
        (rule("r", |_| {}), "certificates"),
        (
            rule("r", |r| {
                good(r);
                r.roles.clear()
            }),
            "role",
        ),
        (
            rule("r", |r| {
                good(r);
                r.roles = roles.to_vec()
            }),
            "key_admin",
        ),
        (
            rule("r", |r| {
                good(r);
                r.tenants.clear()
            }),
            "tenant",
        ),
        (
            rule("r", |r| {
                good(r);
                r.tenants.push("*".into())
            }),
            "beside",
        ),
        (rule("r", |r| r.subject = part("GIVEN", "x")), "GIVEN"),
        (rule("r", |r| r.san_uri = Some("*****".into())), "stars"),
    ] {
        let error = Rule::new(&spec).err().unwrap().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(Rule::new(&rule("r", good)).is_ok());
}
