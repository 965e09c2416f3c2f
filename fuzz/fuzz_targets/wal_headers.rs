//! Headers of WAL files and frames.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = attestore_wal::parse_file_header(bytes);
    let _ = attestore_wal::parse_frame_header(bytes);
});
