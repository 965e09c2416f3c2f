//! Places in S3 buckets, as settings name them: `s3://bucket/key?endpoint=…&region=…&ca_file=…`.
//!
//! Credentials come from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rusty_s3::{Bucket, Credentials, UrlStyle};
use ureq::Agent;
use ureq::http::StatusCode;
use url::Url;

use crate::client::tls;
use crate::failure::Failure;

#[cfg(feature = "backup-s3")]
mod disk;

#[cfg(feature = "backup-s3")]
pub use disk::S3Disk;

/// An object of a bucket, or what names of objects begin with.
#[derive(Clone)]
pub struct Place {
    pub agent: Agent,
    pub bucket: Bucket,
    pub key: String,
    pub credentials: Credentials,
}

/// How long a store is waited for.
#[derive(Clone, Copy)]
pub struct Patience {
    /// For one request and its answer.
    pub request: Duration,
    /// For the next bytes of either.
    pub silence: Duration,
}

impl Place {
    /// Takes `s3://bucket/key`, with `endpoint`, `region` and `ca_file` as query, for the option that named it; nothing is asked yet.
    ///
    /// # Errors
    /// Usage when the name makes no sense, or there are no credentials.
    pub fn named(option: &str, name: &str, patience: Patience) -> Result<Self, Failure> {
        let usage = |what: &str| Failure::usage(format!("{option} {name}: {what}"));
        let url = Url::parse(name).map_err(|error| usage(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            let what = "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, not from the name";
            return Err(Failure::usage(format!("{option}: {what}")));
        }
        let bucket = url.host_str().ok_or_else(|| usage("no bucket"))?;
        let key = url.path().trim_start_matches('/');
        if key.is_empty() {
            return Err(usage("no key"));
        }
        let (mut endpoint, mut region, mut ca_file) = (None, "us-east-1".to_owned(), None);
        for (option, value) in url.query_pairs() {
            match &*option {
                "endpoint" => endpoint = Some(value.into_owned()),
                "region" => region = value.into_owned(),
                "ca_file" => ca_file = Some(PathBuf::from(value.into_owned())),
                other => return Err(usage(&format!("{other}: not endpoint, region or ca_file"))),
            }
        }
        // Whoever names an endpoint has a store of other people's making: those go by path.
        let (endpoint, style) = match endpoint {
            Some(endpoint) => (endpoint, UrlStyle::Path),
            None => (
                format!("https://s3.{region}.amazonaws.com"),
                UrlStyle::VirtualHost,
            ),
        };
        let endpoint = Url::parse(&endpoint).map_err(|error| usage(&format!("endpoint: {error}")))?;
        let loopback = matches!(endpoint.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        if endpoint.scheme() != "https" && !loopback {
            return Err(usage("endpoint: only https, but on this machine"));
        }
        let bucket = Bucket::new(endpoint, style, bucket.to_owned(), region)
            .map_err(|error| usage(&error.to_string()))?;
        let credentials = Credentials::from_env()
            .ok_or_else(|| usage("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"))?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(patience.request))
            .timeout_per_read(Some(patience.silence))
            .timeout_per_write(Some(patience.silence))
            .tls_config(tls(ca_file.as_deref(), None)?);
        Ok(Self {
            agent: config.build().into(),
            key: key.to_owned(),
            bucket,
            credentials,
        })
    }
}

/// What a request failed with, without its URL, which is signed.
pub fn failed(error: ureq::Error) -> io::Error {
    match error {
        ureq::Error::Io(error) => error,
        other => io::Error::other(format!("object store: {other}")),
    }
}

/// What an answer refused.
pub fn refused(what: &str, status: StatusCode) -> io::Error {
    io::Error::other(format!("the object store answered {what} with {status}"))
}

/// How long a signed URL is good for.
pub const SIGNED_FOR: Duration = Duration::from_secs(60);
