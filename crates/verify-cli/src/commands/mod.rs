//! One file for each thing that is checked.

pub mod bundle;
pub mod consistency;
pub mod export;
pub mod handover;
pub mod heads;
pub mod log;
pub mod misbehaviour;
pub mod proof;
pub mod receipt;
pub mod statement;

use attestore_verify::Witnessed;

/// Who witnessed, for people.
fn witnessed(witnesses: &[Witnessed]) -> String {
    if witnesses.is_empty() {
        return "no witness".to_owned();
    }
    let names: Vec<_> = witnesses.iter().map(|witness| witness.witness.as_str()).collect();
    names.join(", ")
}
