//! Paths and bytes of tiles and bundles.

use std::{string::ToString, vec, vec::Vec};

use proptest::prelude::*;

use super::{
    Bundle, TILE_LEVEL_MAX, Tile, TileError, TilePath, entry_bundle, parse_entry_bundle, parse_hashes,
    resources,
};
use crate::hash::{Hash, SIZE_MAX};

#[test]
fn golden_paths() {
    let tile = |level, index, width| TilePath::Tile(Tile::new(level, index, width).unwrap());
    let entries = |index, width| TilePath::Entries(Bundle::new(index, width).unwrap());
    for (resource, path) in [
        (tile(0, 0, 256), "tile/0/000"),
        (tile(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (tile(0, 1_234, 5), "tile/0/x001/234.p/5"),
        (tile(2, 999, 255), "tile/2/999.p/255"),
        (tile(1, 1_000, 1), "tile/1/x001/000.p/1"),
        (tile(7, 0, 127), "tile/7/000.p/127"),
        (entries(0, 256), "tile/entries/000"),
        (entries(1_234_067, 17), "tile/entries/x001/x234/067.p/17"),
        (
            entries(SIZE_MAX / 256, 255),
            "tile/entries/x036/x028/x797/x018/x963/967.p/255",
        ),
    ] {
        assert_eq!(resource.to_string(), path);
        assert_eq!(path.parse(), Ok(resource));
    }
}

#[test]
fn other_spellings_are_refused() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tiles/0/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/x000/x001/000",
        "tile/0/x001",
        "tile/0/001/000",
        "tile/0/x001/",
        "tile/0/x01/000",
        "tile/0/X001/000",
        "tile/0/+01",
        "tile/0/-01",
        "tile/0/ 01",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/+1/000",
        "tile/-1/000",
        "tile/0/000/",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/00",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/+1",
        "tile/0/000.p/1/",
        "tile/0/000.q/1",
        "tile/0/000.p/1.p/1",
        "tile/0/000.p/x001",
        "tile/Entries/000",
        "tile/entries/0",
        "tile/data/000",
        "tile/0/../000",
        "tile/0/٠٠٠",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
    ] {
        assert_eq!(path.parse::<TilePath>(), Err(TileError::Path), "{path}");
    }
    // Well spelled, but no tree has them.
    for path in [
        "tile/8/000",
        "tile/63/000",
        "tile/7/000",
        "tile/7/001.p/1",
        "tile/0/x036/x028/x797/x018/x963/967",
    ] {
        assert_eq!(path.parse::<TilePath>(), Err(TileError::Range), "{path}");
    }
}

#[test]
fn widths_and_levels_are_bounded() {
    assert_eq!(Tile::new(0, 0, 0), Err(TileError::Range));
    assert_eq!(Tile::new(0, 0, 257), Err(TileError::Range));
    assert_eq!(Tile::new(TILE_LEVEL_MAX + 1, 0, 1), Err(TileError::Range));
    assert_eq!(Tile::new(0, u64::MAX, 1), Err(TileError::Range));
    assert_eq!(Tile::at(8, 0, SIZE_MAX), None);
    assert_eq!(Tile::at(255, 0, SIZE_MAX), None);
    assert_eq!(Tile::at(0, 0, u64::MAX), None);
    assert_eq!(Tile::at(0, u64::MAX, 5), None);
    assert_eq!(Bundle::at(0, 0), None);
    assert_eq!(Bundle::new(0, 0), Err(TileError::Range));
}

/// The examples of the specification: trees of 70,000 and of 256 leaves.
#[test]
fn resources_of_the_specifications_examples() {
    let paths: Vec<_> = resources(70_000).map(|resource| resource.to_string()).collect();
    let level = |prefix: &str| paths.iter().filter(|path| path.starts_with(prefix)).count();
    assert_eq!(
        (
            level("tile/0/"),
            level("tile/1/"),
            level("tile/2/"),
            level("tile/entries/")
        ),
        (274, 2, 1, 274)
    );
    assert_eq!(paths.len(), 551);
    for path in [
        "tile/0/272",
        "tile/0/273.p/112",
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ] {
        assert!(paths.iter().any(|found| found == path), "{path}");
    }
    let paths: Vec<_> = resources(256).map(|resource| resource.to_string()).collect();
    assert_eq!(paths, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(resources(0).count(), 0);
}

#[test]
fn a_tile_is_within_a_tree_that_has_all_its_hashes() {
    let tile = Tile::new(1, 1, 17).unwrap();
    assert!(tile.is_within(70_000));
    assert!(tile.is_within((256 + 17) * 256));
    assert!(!tile.is_within((256 + 17) * 256 - 1));
    assert_eq!((tile.byte_len(), tile.nodes()), (17 * 32, 256..273));
    let bundle = Bundle::new(1, 3).unwrap();
    assert!(bundle.is_within(259) && !bundle.is_within(258));
    assert_eq!(bundle.entries(), 256..259);
}

#[test]
fn golden_bundle() {
    let bundle = entry_bundle(&[*b"abc", *b"def"]);
    assert_eq!(bundle, b"\x00\x03abc\x00\x03def");
    assert_eq!(entry_bundle(&[[7u8; 300]])[..3], [1, 44, 7]);
    assert_eq!(parse_entry_bundle(&bundle, 2), Ok(vec![*b"abc", *b"def"]));
    assert_eq!(parse_entry_bundle::<3>(b"", 0), Ok(vec![]));
}

#[test]
fn bundles_of_another_shape_are_refused() {
    let bundle = entry_bundle(&[*b"abc", *b"def"]);
    for width in [0, 1, 3, 256] {
        assert!(parse_entry_bundle::<3>(&bundle, width).is_err(), "width {width}");
    }
    for cut in 0..bundle.len() {
        assert!(parse_entry_bundle::<3>(&bundle[..cut], 2).is_err(), "{cut} bytes");
    }
    for at in [0, 1, 5, 6] {
        let mut flipped = bundle.clone();
        flipped[at] ^= 1;
        let position = if at < 5 { 0 } else { 1 };
        assert!(matches!(
            parse_entry_bundle::<3>(&flipped, 2),
            Err(TileError::EntryLength { position: found, .. }) if found == position
        ));
    }
}

#[test]
fn tile_content_has_the_length_of_its_width() {
    let bytes = [[1; 32], [2; 32]].concat();
    assert_eq!(parse_hashes(&bytes, 2), Ok(vec![Hash([1; 32]), Hash([2; 32])]));
    for (content, width) in [
        (&bytes[..], 1),
        (&bytes[..], 3),
        (&bytes[..63], 2),
        (&bytes[..33], 1),
    ] {
        assert_eq!(
            parse_hashes(content, width),
            Err(TileError::Length {
                width,
                found: content.len()
            })
        );
    }
}

proptest! {
    #[test]
    fn paths_round_trip(level in 0u8..8, index: u64, width in 1u16..=256) {
        if let Ok(tile) = Tile::new(level, index >> (level * 8 + 9).min(63), width) {
            prop_assert_eq!(tile.to_string().parse(), Ok(TilePath::Tile(tile)));
        }
        if let Ok(bundle) = Bundle::new(index >> 9, width) {
            prop_assert_eq!(bundle.to_string().parse(), Ok(TilePath::Entries(bundle)));
        }
    }

    #[test]
    fn what_parses_is_displayed_alike(path in "tile/([0-9]{1,2}|entries)/(x?[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?") {
        if let Ok(resource) = path.parse::<TilePath>() {
            prop_assert_eq!(resource.to_string(), path);
        }
    }
}
