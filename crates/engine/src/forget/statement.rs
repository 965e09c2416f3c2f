//! Statements that a log's key signs: receipts of purges, certificates of erasures.

use std::sync::Arc;

use attestore_record::Kind;
use attestore_verify::statement::{Digest, Statement, StatementError, Subject};
use serde::Serialize;
use serde_json::Value;

use super::logged;
use crate::append::append_control;
use crate::credentials::Principal;
use crate::error::{Error, Result};
use crate::instance::Inner;
use crate::tenant::Tenant;

/// Signs a statement about a record of the tenant's log, as its keys are now; an in-toto Statement in a DSSE envelope.
///
/// `leaf` is the hash of the record's leaf.
///
/// # Errors
/// When the predicate does not serialise.
pub(crate) fn signed(
    tenant: &Tenant,
    seq: u64,
    leaf: &[u8; 32],
    predicate_type: &str,
    predicate: Value,
) -> Result<String> {
    let subject = Subject {
        name: format!("{} record {seq}", tenant.origin),
        digest: Digest {
            sha256: crate::catalog::hex(leaf),
        },
    };
    let statement = Statement::new(vec![subject], predicate_type, predicate);
    let _unchanged = tenant.keys.changing.read();
    let signing = tenant.keys.signing.load();
    signing
        .with_signers(&tenant.origin, |signers| statement.sign(signers))
        .map_err(|error| match error {
            StatementError::Signer(_) => tenant.catalog.modules().unavailable(),
            error => Error::Io(error.to_string()),
        })
}

/// Has the log name a statement about the record `of`, unless it does already.
///
/// # Errors
/// As reads and appends.
pub(crate) fn name(inner: &Inner, tenant: &Arc<Tenant>, kind: Kind, of: u64, sha256: &str) -> Result<()> {
    let named = format!("\"sha256\":\"{sha256}\"");
    let is_it = |public: &[u8]| String::from_utf8_lossy(public).contains(&named);
    if logged::find(inner, tenant, kind, of, &is_it)?.is_none() {
        let ty = "receipt";
        append_control(
            inner,
            tenant,
            Principal::INTERNAL,
            kind,
            &Named { ty, of, sha256 },
        )?;
    }
    Ok(())
}

/// The record that names a statement.
#[derive(Serialize)]
struct Named<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    /// Seq of the record that it is about.
    of: u64,
    sha256: &'a str,
}

/// Type of the predicate of an erasure's certificate.
pub(crate) const CERTIFICATE: &str = "urn:attestore:predicate:erasure-certificate:v1";

/// What is promised of the medium itself: what destroying a root is worth is its holder's word.
pub(crate) fn medium(inner: &Inner) -> String {
    let root = inner.root.medium();
    format!("{root}; files of the log that wait to be used again keep bytes that no key opens")
}

/// How old a copy of the keys may be that somebody keeps on purpose: none is made.
pub(crate) const KEY_BACKUPS: &str = "none configured";
