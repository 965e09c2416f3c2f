//! Opening the bytes of groups.

use std::borrow::Cow;

use super::ViewError;
use crate::event::{ErrorCode, EventError, Raw};
use crate::ids::{Handle, RecordId, TenantId};
use crate::json::reader::{Fail, Reader};

/// A stored public group, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The record's id.
    pub id: RecordId,
    /// The tenant.
    pub tenant: TenantId,
    /// Ingest protocol.
    pub protocol: Cow<'a, str>,
    /// Ingest credential.
    pub credential_id: Cow<'a, str>,
    /// Version of the privacy policy; 0 for control records.
    pub privacy: u32,
    /// JSON pointers of the personal fields, in schema order.
    pub withheld: Vec<Cow<'a, str>>,
    /// What the record says in public.
    pub body: Body<'a>,
}

/// What a public group carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The event's public part, a JSON object.
    Event(Raw<'a>),
    /// A control object.
    Control(Raw<'a>),
}

/// Free-form values were bounded more tightly when they were accepted.
pub(super) const DEPTH_MAX: usize = 128;

/// What a public group says besides its body.
pub(super) struct Head<'a> {
    pub(super) id: RecordId,
    pub(super) tenant: TenantId,
    pub(super) protocol: Cow<'a, str>,
    pub(super) credential_id: Cow<'a, str>,
    pub(super) privacy: u32,
    pub(super) withheld: Vec<Cow<'a, str>>,
}

/// Which kind of body comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    Event,
    Control,
}

/// Opens the bytes of a public group.
///
/// # Errors
/// [`ViewError`] when the bytes are not a public group.
pub fn open(public: &[u8]) -> Result<Opened<'_>, ViewError> {
    let (head, body) = open_with(public, |reader, kind| {
        let raw = reader.raw()?;
        Ok(match kind {
            BodyKind::Event => Body::Event(raw),
            BodyKind::Control => Body::Control(raw),
        })
    })?;
    Ok(Opened {
        id: head.id,
        tenant: head.tenant,
        protocol: head.protocol,
        credential_id: head.credential_id,
        privacy: head.privacy,
        withheld: head.withheld,
        body,
    })
}

/// Opens a public group whose body `take` reads in its place.
pub(super) fn open_with<'a, B>(
    public: &'a [u8],
    mut take: impl FnMut(&mut Reader<'a>, BodyKind) -> Result<B, Fail>,
) -> Result<(Head<'a>, B), ViewError> {
    let mut reader = Reader::new(public, DEPTH_MAX)?;
    let (mut id, mut tenant, mut protocol, mut credential_id) = (None, None, None, None);
    let (mut version, mut privacy, mut withheld, mut body) = (None, None, Vec::new(), None);
    reader.object(|reader, name| {
        match name {
            "v" => version = Some(reader.number_u32()?),
            "id" => id = reader.string()?.parse().ok(),
            "tenant" => tenant = reader.string()?.parse().ok(),
            "protocol" => protocol = Some(reader.string()?),
            "credential" => credential_id = Some(reader.string()?),
            "privacy" => privacy = Some(reader.number_u32()?),
            "withheld" => reader.array(|reader, _| {
                withheld.push(reader.string()?);
                Ok(())
            })?,
            "event" => body = Some(take(reader, BodyKind::Event)?),
            "control" => body = Some(take(reader, BodyKind::Control)?),
            _ => {
                return Err(EventError::new(
                    ErrorCode::UnknownField,
                    "not a name of the format",
                ));
            }
        }
        Ok(())
    })?;
    reader.end()?;
    check_version(version)?;
    let head = Head {
        id: id.ok_or_else(|| missing("id"))?,
        tenant: tenant.ok_or_else(|| missing("tenant"))?,
        protocol: protocol.ok_or_else(|| missing("protocol"))?,
        credential_id: credential_id.ok_or_else(|| missing("credential"))?,
        privacy: privacy.ok_or_else(|| missing("privacy"))?,
        withheld,
    };
    Ok((head, body.ok_or_else(|| missing("event"))?))
}

/// Reads the handles of a personal group, in ascending order.
///
/// # Errors
/// [`ViewError`] when the bytes are not a personal group.
pub fn handles(personal: &[u8]) -> Result<Vec<Handle>, ViewError> {
    let mut handles = Vec::new();
    each_field(personal, |handle| handles.push(handle), |_, _| Ok(()))?;
    Ok(handles)
}

/// Tells whether these personal groups hold every field that the public one withholds: false once one was erased, also where nothing
/// but the public group tells that it ever was.
///
/// # Errors
/// [`ViewError`] when bytes are not such groups.
pub fn is_whole(public: &[u8], personal: &[&[u8]]) -> Result<bool, ViewError> {
    let mut fields = 0;
    for bytes in personal {
        each_field(
            bytes,
            |_| (),
            |_, _| {
                fields += 1;
                Ok(())
            },
        )?;
    }
    Ok(fields == open(public)?.withheld.len())
}

/// Reads a personal group: calls `subject` for each handle and `each` for each pointer and value, in order.
pub(super) fn each_field<'a>(
    personal: &'a [u8],
    mut subject: impl FnMut(Handle),
    mut each: impl FnMut(&str, Raw<'a>) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let mut reader = Reader::new(personal, DEPTH_MAX)?;
    let mut version = None;
    let mut complete = 0;
    reader.object(|reader, name| {
        match name {
            "v" => version = Some(reader.number_u32()?),
            "subjects" => {
                complete += 1;
                reader.array(|reader, _| {
                    let wrong = |_| EventError::new(ErrorCode::InvalidValue, "not a handle");
                    subject(reader.string()?.parse().map_err(wrong)?);
                    Ok(())
                })?;
            }
            "fields" => {
                complete += 1;
                reader.object(|reader, pointer| each(pointer, reader.raw()?))?;
            }
            _ => {
                return Err(EventError::new(
                    ErrorCode::UnknownField,
                    "not a name of the format",
                ));
            }
        }
        Ok(())
    })?;
    reader.end()?;
    check_version(version)?;
    if complete == 2 {
        Ok(())
    } else {
        Err(missing("fields"))
    }
}

fn check_version(version: Option<u32>) -> Result<(), Fail> {
    match version {
        Some(1) => Ok(()),
        Some(_) => Err(EventError::new(ErrorCode::InvalidValue, "unknown format version").under("v")),
        None => Err(missing("v")),
    }
}

fn missing(name: &str) -> Fail {
    EventError::new(ErrorCode::MissingField, "missing or not valid").under(name)
}
