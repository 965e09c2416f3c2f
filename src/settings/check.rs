//! What types cannot say: values that make no sense, or not together.

use std::net::SocketAddr;

use attestore_http::tls::ClientCertificates;
use tracing_subscriber::EnvFilter;

use super::Settings;

impl Settings {
    /// Calls `wrong` with every key whose value makes no sense, and why.
    pub fn check(&self, wrong: &mut dyn FnMut(&str, String)) {
        if !["text", "json"].contains(&self.log.format.as_str()) {
            wrong("log.format", "write text or json".into());
        }
        if let Err(error) = EnvFilter::try_new(&self.log.level) {
            wrong("log.level", error.to_string());
        }
        if let Err(failure) = self.webhook.allowed() {
            wrong("webhook.allow", failure.message);
        }
        if let Err(failure) = crate::serving::limits::keeper(self) {
            wrong("redis.url", failure.message);
        }
        if let Err(failure) = crate::serving::tokens::tokens(self) {
            wrong("oidc", failure.message);
        }
        if !(100..=60_000).contains(&self.audit.wait_ms) {
            wrong("audit.wait_ms", "write 100 to 60000".into());
        }
        self.backup.check(wrong);
        self.check_listeners(wrong);
        self.check_tls(wrong);
    }

    fn check_listeners(&self, wrong: &mut dyn FnMut(&str, String)) {
        if self.listen.is_empty() && self.unix.path.is_none() {
            wrong(
                "listen",
                "there is nothing to listen on: give an address, or unix.path".into(),
            );
        }
        let port = self.listen.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !self.listen.is_empty() && !matches!(port, Some(Ok(_))) {
            wrong(
                "listen",
                "write an address and a port, e.g. 127.0.0.1:7117".into(),
            );
        }
        // A name is looked at once it is an address: when it is bound.
        let beyond = self
            .listen
            .parse()
            .is_ok_and(|address: SocketAddr| !address.ip().is_loopback());
        if beyond && self.tls.certificate_file.is_none() && !self.allow_plaintext {
            wrong(
                "listen",
                "this is beyond loopback and there is no TLS: set up [tls], or listen on loopback or a Unix socket behind a proxy \
                 with TLS, or, where the network is trusted, say allow_plaintext = true (--allow-plaintext)"
                    .into(),
            );
        }
        if self.unix.mode_bits().is_none() {
            wrong("unix.mode", "write an octal mode, e.g. 0660".into());
        }
    }

    fn check_tls(&self, wrong: &mut dyn FnMut(&str, String)) {
        match (&self.tls.certificate_file, &self.tls.key_file) {
            (Some(_), None) => wrong("tls.key_file", "a certificate needs its key".into()),
            (None, Some(_)) => wrong("tls.certificate_file", "a key needs its certificate".into()),
            _ => {}
        }
        let asks = self.mtls.mode != ClientCertificates::Off;
        if asks && self.tls.certificate_file.is_none() {
            wrong("mtls.mode", "client certificates need [tls]".into());
        }
        if asks && self.mtls.ca_file.is_none() {
            wrong(
                "mtls.ca_file",
                "client certificates need authorities to come from".into(),
            );
        }
        if let Err(error) = attestore_http::tls::check_rules(&self.mtls.rules) {
            wrong("mtls.rules", error.to_string());
        }
    }
}
