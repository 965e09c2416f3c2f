//! Paths of tiles and bundles, below the log's URL prefix and without a leading slash.

use core::{fmt, str::FromStr};

use super::{Bundle, TILE_LEVEL_MAX, TILE_WIDTH, Tile, TileError};
use crate::encoding::decimal;

/// Names what one path below `tile/` serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TilePath {
    /// `tile/<L>/<N>[.p/<W>]`
    Tile(Tile),
    /// `tile/entries/<N>[.p/<W>]`
    Entries(Bundle),
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level())?;
        write_place(f, self.index(), self.width())
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_place(f, self.index(), self.width())
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tile(tile) => tile.fmt(f),
            Self::Entries(bundle) => bundle.fmt(f),
        }
    }
}

impl FromStr for TilePath {
    type Err = TileError;

    /// Parses a path; accepts only what [`TilePath`] displays.
    fn from_str(path: &str) -> Result<Self, TileError> {
        let rest = path.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (level, place) = rest.split_once('/').ok_or(TileError::Path)?;
        let (index, width) = parse_place(place)?;
        if level == "entries" {
            return Bundle::new(index, width).map(Self::Entries);
        }
        let level = decimal(level, SPECIFIED_LEVEL_MAX).ok_or(TileError::Path)?;
        let level = u8::try_from(level).map_err(|_| TileError::Path)?;
        Tile::new(level, index, width).map(Self::Tile)
    }
}

/// Lists all resources of a tree of `size` leaves, as a static file server has to hold them: bundles first, then tiles by
/// level.
pub fn resources(size: u64) -> impl Iterator<Item = TilePath> {
    let bundles = (0..)
        .map_while(move |index| Bundle::at(index, size))
        .map(TilePath::Entries);
    let tiles = (0..=TILE_LEVEL_MAX)
        .flat_map(move |level| (0..).map_while(move |index| Tile::at(level, index, size)))
        .map(TilePath::Tile);
    bundles.chain(tiles)
}

fn write_place(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    write_index(f, index / GROUP)?;
    write!(f, "{:03}", index % GROUP)?;
    if width == TILE_WIDTH {
        Ok(())
    } else {
        write!(f, ".p/{width}")
    }
}

/// Writes all groups but the last.
fn write_index(f: &mut fmt::Formatter<'_>, groups: u64) -> fmt::Result {
    if groups == 0 {
        return Ok(());
    }
    write_index(f, groups / GROUP)?;
    write!(f, "x{:03}/", groups % GROUP)
}

fn parse_place(place: &str) -> Result<(u64, u16), TileError> {
    let (index, width) = match place.split_once(".p/") {
        Some((index, width)) => {
            let width = decimal(width, u64::from(TILE_WIDTH) - 1).filter(|width| *width > 0);
            (
                index,
                width
                    .and_then(|width| u16::try_from(width).ok())
                    .ok_or(TileError::Path)?,
            )
        }
        None => (place, TILE_WIDTH),
    };
    Ok((parse_index(index).ok_or(TileError::Path)?, width))
}

fn parse_index(text: &str) -> Option<u64> {
    let (groups, last) = text
        .rsplit_once('/')
        .map_or((None, text), |(groups, last)| (Some(groups), last));
    let mut index = 0u64;
    for group in groups.iter().flat_map(|groups| groups.split('/')) {
        index = index
            .checked_mul(GROUP)?
            .checked_add(three_digits(group.strip_prefix('x')?)?)?;
        if index == 0 {
            return None; // a superfluous leading group: a second spelling
        }
    }
    index.checked_mul(GROUP)?.checked_add(three_digits(last)?)
}

fn three_digits(text: &str) -> Option<u64> {
    let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

const GROUP: u64 = 1000;
/// Levels that the specification reserves; those above [`TILE_LEVEL_MAX`] name tiles that no tree has.
const SPECIFIED_LEVEL_MAX: u64 = 63;
