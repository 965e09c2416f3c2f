//! TLS as others see it: curl, sslscan and the client commands against a server with certificates made here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use tempfile::TempDir;

use crate::harness::{Server, binary, event};

/// An authority, and a folder for what it issues.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "test");
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// Writes `<name>.pem` and `<name>.key`.
    pub fn issue(&self, name: &str, names: Vec<SanType>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate).unwrap();
    }

    fn with_server() -> Self {
        let authority = Self::new();
        authority.issue("server", local());
        authority
    }

    /// A server with the certificate `server`.
    fn serve(&self, env: &[(&str, &str)]) -> Server {
        let (certificate, key) = (self.text("server.pem"), self.text("server.key"));
        let mut all = vec![
            ("ATTESTORE_TLS__CERTIFICATE_FILE", certificate.as_str()),
            ("ATTESTORE_TLS__KEY_FILE", key.as_str()),
            ("ATTESTORE_TLS__RELOAD_CHECK_MS", "100"),
        ];
        all.extend_from_slice(env);
        Server::start_with(&[], &all)
    }

    fn curl(&self, url: &str, arguments: &[&str]) -> Output {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-i", "--max-time", "20", "--cacert"])
            .arg(self.path("ca.pem"))
            .args(arguments)
            .arg(url);
        curl.output().unwrap()
    }
}

pub fn local() -> Vec<SanType> {
    vec![
        SanType::DnsName(Ia5String::try_from("localhost").unwrap()),
        SanType::IpAddress("127.0.0.1".parse().unwrap()),
    ]
}

/// `host:port`.
fn place(server: &Server) -> String {
    server.base().strip_prefix("http://").unwrap().to_owned()
}

fn https(server: &Server) -> String {
    format!("https://{}", place(server))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a client command over TLS.
fn cli(server: &Server, ca: &Path, env: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = binary();
    command
        .args(arguments)
        .env("ATTESTORE_URL", https(server))
        .env("ATTESTORE_CA_FILE", ca)
        .envs(env.iter().copied());
    command.output().unwrap()
}

#[test]
fn an_address_with_tls_speaks_nothing_older_and_nothing_else() {
    let authority = Authority::with_server();
    let server = authority.serve(&[]);
    let livez = format!("{}/livez", https(&server));
    let fine = authority.curl(&livez, &["--tlsv1.3"]);
    let answer = text(&fine).to_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    assert!(!authority.curl(&livez, &["--tls-max", "1.2"]).status.success());
    let plain = text(&authority.curl(&format!("{}/livez", server.base()), &[]));
    assert!(
        plain.starts_with("HTTP/1.1 400") && plain.contains("plain_to_tls"),
        "{plain}"
    );

    let credential = [("ATTESTORE_CREDENTIAL", server.secret())];
    let ca = authority.path("ca.pem");
    let file = server.home().join("events.ndjson");
    std::fs::write(&file, event(1).to_string()).unwrap();
    let appended = cli(&server, &ca, &credential, &["append", &file.to_string_lossy()]);
    assert!(appended.status.success(), "{appended:?}");
    let found = cli(&server, &ca, &credential, &["search", "--count"]);
    assert!(text(&found).contains('1'), "{found:?}");
    let stranger = Authority::new();
    let refused = cli(&server, &stranger.path("ca.pem"), &credential, &["search"]);
    assert!(!refused.status.success());
}

#[test]
fn sslscan_finds_tls_1_3_only_and_nothing_weak() {
    let authority = Authority::with_server();
    let server = authority.serve(&[]);
    let scan = Command::new("sslscan")
        .args(["--no-colour", "--show-certificate", "--xml=-", &place(&server)])
        .output()
        .expect("sslscan is there: scripts/test installs it");
    let found = text(&scan);
    let enabled: Vec<_> = found
        .lines()
        .filter(|line| line.contains("<protocol ") && line.contains("enabled=\"1\""))
        .collect();
    assert_eq!(enabled.len(), 1, "{found}");
    assert!(enabled[0].contains("type=\"tls\" version=\"1.3\""), "{enabled:?}");
    let ciphers: Vec<_> = found
        .lines()
        .filter(|line| line.contains("<cipher ") && line.contains("status="))
        .collect();
    assert!(!ciphers.is_empty(), "{found}");
    for cipher in ciphers {
        assert!(
            cipher.contains("sslversion=\"TLSv1.3\"")
                // AES-128 is what every TLS 1.3 must speak; the scanner calls it acceptable.
                && ["strong", "acceptable"].iter().any(|grade| cipher.contains(&format!("strength=\"{grade}\""))),
            "{cipher}"
        );
    }
    for weakness in [
        "<renegotiation supported=\"1\"",
        "<compression supported=\"1\"",
        "vulnerable=\"1\"",
    ] {
        assert!(!found.contains(weakness), "{found}");
    }
}

#[test]
fn certificates_are_replaced_without_a_restart_and_broken_ones_are_not_taken() {
    let authority = Authority::with_server();
    let server = authority.serve(&[]);
    let livez = format!("{}/livez", https(&server));
    let trusted = || authority.curl(&livez, &[]).status.success();
    assert!(trusted());

    let good = std::fs::read(authority.path("server.pem")).unwrap();
    std::fs::write(authority.path("server.pem"), &good[..good.len() / 2]).unwrap();
    wait_for("a torn file is said", || server.log_text().contains("NOT taken"));
    assert!(trusted(), "the old certificate stays");

    let other = Authority::with_server();
    for file in ["server.pem", "server.key"] {
        std::fs::copy(other.path(file), authority.path(file)).unwrap();
    }
    wait_for("the new certificate is served", || {
        other.curl(&livez, &[]).status.success()
    });
    assert!(!trusted());
}

#[test]
fn a_hangup_reads_the_files_again() {
    let authority = Authority::with_server();
    let server = authority.serve(&[("ATTESTORE_TLS__RELOAD_CHECK_MS", "0")]);
    let other = Authority::with_server();
    for file in ["server.pem", "server.key"] {
        std::fs::copy(other.path(file), authority.path(file)).unwrap();
    }
    let livez = format!("{}/livez", https(&server));
    assert!(authority.curl(&livez, &[]).status.success());
    let pid = server.pid().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    wait_for("the new certificate is served", || {
        other.curl(&livez, &[]).status.success()
    });
    // Without TLS, a hangup ends nothing either.
    let plain = Server::start();
    let pid = plain.pid().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    wait_for("it is said", || plain.log_text().contains("SIGHUP"));
    assert_eq!(plain.client().get("/livez").status, 200);
}

#[test]
fn a_client_certificate_is_a_principal_with_the_roles_of_its_rule() {
    let authority = Authority::with_server();
    let uri = |text: &str| vec![SanType::URI(Ia5String::try_from(text).unwrap())];
    authority.issue("web", uri("spiffe://example.org/ns/prod/sa/web"));
    authority.issue("nobody", uri("spiffe://example.org/ns/prod/sa/other"));
    let stranger = Authority::new();
    stranger.issue("web", uri("spiffe://example.org/ns/prod/sa/web"));
    let settings = authority.path("attestore.toml");
    let rules = format!(
        "[mtls]\nmode = \"optional\"\nca_file = \"{}\"\n[[mtls.rules]]\nname = \"web\"\nsan_uri = \"spiffe://example.org/ns/*/sa/web\"\n\
         roles = [\"ingest\"]\ntenants = [\"default\"]\n",
        authority.text("ca.pem")
    );
    std::fs::write(&settings, rules).unwrap();
    let settings = settings.to_string_lossy().into_owned();
    let server = authority.serve(&[("ATTESTORE_CONFIG", &settings)]);
    let file = server.home().join("events.ndjson");
    std::fs::write(&file, event(1).to_string()).unwrap();
    let file = file.to_string_lossy().into_owned();
    let ca = authority.path("ca.pem");
    let run = |from: &Authority, name: &str, arguments: &[&str]| {
        let (certificate, key) = (
            from.text(&format!("{name}.pem")),
            from.text(&format!("{name}.key")),
        );
        let env = [
            ("ATTESTORE_CLIENT_CERTIFICATE", certificate.as_str()),
            ("ATTESTORE_CLIENT_KEY", key.as_str()),
        ];
        cli(&server, &ca, &env, arguments)
    };
    let told = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let appended = run(&authority, "web", &["append", &file]);
    assert!(appended.status.success(), "{appended:?}");
    let refused = told(run(&authority, "web", &["search"]));
    assert!(refused.contains("403"), "{refused}");
    let unknown = told(run(&authority, "nobody", &["append", &file]));
    assert!(unknown.contains("401"), "{unknown}");
    assert!(!run(&stranger, "web", &["append", &file]).status.success());

    let credential = [("ATTESTORE_CREDENTIAL", server.secret())];
    // What it was refused is on record under its name.
    wait_for("the refusal is on record", || {
        let arguments = [
            "search", "--tenant", "_system", "--limit", "0", "--output", "ndjson",
        ];
        text(&cli(&server, &ca, &credential, &arguments))
            .contains("cert:uri:spiffe://example.org/ns/prod/sa/web")
    });
}

#[test]
fn beyond_loopback_without_tls_takes_somebody_who_says_so() {
    let home = tempfile::tempdir().unwrap();
    let refused = binary()
        .args(["serve", "--listen", "0.0.0.0:0", "--data"])
        .arg(home.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("allow_plaintext"), "{told}");
    assert!(!home.path().join("data").exists());
    let mut server = Server::prepare(tempfile::tempdir().unwrap());
    server.listen_on("0.0.0.0:0");
    server.set_env("ATTESTORE_ALLOW_PLAINTEXT", "true");
    server.run();
    assert!(server.log_text().contains("WITHOUT TLS"), "{}", server.log_text());
}
