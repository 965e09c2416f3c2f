//! From stored bytes back to events, and to the values that an index needs.

mod fields;

pub use fields::{FieldValues, leaf_strings};

/// A stored public group, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The record's id.
    pub id: crate::RecordId,
    /// The tenant.
    pub tenant: crate::TenantId,
    /// Ingest protocol.
    pub protocol: std::borrow::Cow<'a, str>,
    /// Ingest credential.
    pub credential_id: std::borrow::Cow<'a, str>,
    /// Version of the privacy policy; 0 for control records.
    pub privacy: u32,
    /// JSON pointers of the personal fields, in schema order.
    pub withheld: Vec<std::borrow::Cow<'a, str>>,
    /// The event's public part, or the control object.
    pub body: Body<'a>,
}

/// What a public group carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// JSON text of the event's public part.
    Event(&'a str),
    /// JSON text of a control object.
    Control(&'a str),
}

/// Stored bytes that are not a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a group: {0}")]
pub struct ViewError(pub(crate) crate::EventError);

/// Opens the bytes of a public group.
///
/// # Errors
/// [`ViewError`] when the bytes are not a public group.
pub fn open(public: &[u8]) -> Result<Opened<'_>, ViewError> {
    let _ = public;
    todo!()
}

/// Rebuilds the event (or control object) as JSON text. Personal fields of the groups in `personal` stand at
/// their pointers; those of groups that are not given show as `"[personal]"`.
///
/// # Errors
/// [`ViewError`] when bytes are not groups, or a personal group does not belong to the public one.
pub fn rebuild(public: &[u8], personal: &[&[u8]]) -> Result<String, ViewError> {
    let _ = (public, personal);
    todo!()
}

/// Reads the handles of a personal group, in ascending order.
///
/// # Errors
/// [`ViewError`] when the bytes are not a personal group.
pub fn handles(personal: &[u8]) -> Result<Vec<crate::Handle>, ViewError> {
    let _ = personal;
    todo!()
}

/// Field values of a record, apart by whether they come from the public group or from personal ones.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fields<'a> {
    /// From the public group.
    pub public: FieldValues<'a>,
    /// From the personal groups given.
    pub personal: FieldValues<'a>,
}

/// Extracts what an index needs from a public group and the personal groups that may be read.
///
/// # Errors
/// As [`rebuild`].
pub fn fields<'a>(public: &'a [u8], personal: &[&'a [u8]]) -> Result<Fields<'a>, ViewError> {
    let _ = (public, personal);
    todo!()
}
