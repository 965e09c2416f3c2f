//! Writes JSON objects, leaving out what is not there.

use crate::json::push;

/// An object in the making.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// A member whose value is what `write` appends.
    pub(super) fn value(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        push(self.out, &name);
        self.out.push(b':');
        write(self.out);
    }

    pub(super) fn string(&mut self, name: &str, value: impl AsRef<str>) {
        self.value(name, |out| push(out, &value.as_ref()));
    }

    pub(super) fn number(&mut self, name: &str, value: impl Into<i128>) {
        let value: i128 = value.into();
        self.value(name, |out| out.extend_from_slice(value.to_string().as_bytes()));
    }

    /// A string, if it is there.
    pub(super) fn some(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.string(name, value);
        }
    }

    /// JSON as it is, if it is there.
    pub(super) fn raw(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.value(name, |out| out.extend_from_slice(value.as_bytes()));
        }
    }

    /// An object within.
    pub(super) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.value(name, |out| Object::write(out, fill));
    }

    /// Objects within an array.
    pub(super) fn array<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        fill: impl Fn(&mut Object<'_>, T),
    ) {
        self.value(name, |out| {
            out.push(b'[');
            for (at, item) in items.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                Object::write(out, |object| fill(object, item));
            }
            out.push(b']');
        });
    }

    /// Writes a whole object.
    pub(super) fn write(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        let mut object = Object::begin(out);
        fill(&mut object);
        object.out.push(b'}');
    }
}
