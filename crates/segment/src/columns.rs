//! Columns of fixed-width values in planes: the first bytes of all values, then their second bytes, and so on. Bytes that are
//! the same in every value, as the high bytes of small numbers are, then cost next to nothing once compressed.

use crate::Malformed;
use crate::cursor::Cursor;

/// Appends a column.
pub(crate) fn put<const N: usize>(raw: &mut Vec<u8>, values: impl Iterator<Item = [u8; N]> + Clone) {
    for plane in 0..N {
        raw.extend(values.clone().map(|value| value[plane]));
    }
}

/// Takes a column of `count` values.
pub(crate) fn take<'a, const N: usize>(
    cursor: &mut Cursor<'a>,
    count: usize,
) -> Result<impl Iterator<Item = [u8; N]> + use<'a, N>, Malformed> {
    let column = cursor.take_items(count, N)?;
    Ok((0..count).map(move |at| std::array::from_fn(|plane| column[plane * count + at])))
}

/// Returns the value at a place of a column that [`take`] would take.
pub(crate) fn value<const N: usize>(column: &[u8], at: usize) -> Option<[u8; N]> {
    let count = column.len() / N;
    let mut value = [0; N];
    for (plane, byte) in value.iter_mut().enumerate() {
        *byte = *column.get(plane * count..(plane + 1) * count)?.get(at)?;
    }
    Some(value)
}
