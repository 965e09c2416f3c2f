//! `attestore-verify handover`.

use serde_json::json;

use crate::args::{Output, TrustArgs};
use crate::failure::Failure;
use crate::output;

/// Checks a chain of handovers.
pub fn run(trust: &TrustArgs, output: Output) -> Result<(), Failure> {
    let handovers = trust.chain()?.handovers;
    let Some(last) = handovers.last() else {
        return Err(Failure::usage("nothing to check: give --handover"));
    };
    let steps = handovers.iter().map(|step| {
        json!({"reason": step.reason.name(), "origin": step.origin, "size": step.size, "root": step.root.to_base64(), "next": step.next.to_string()})
    });
    let steps: Vec<_> = steps.collect();
    let lines = handovers.iter().map(|step| {
        let (origin, size) = (&step.origin, step.size);
        format!(
            "{}: {origin}, {size} entries, to {}\n",
            step.reason.name(),
            step.next
        )
    });
    let text = format!("{}the key in force is {}", lines.collect::<String>(), last.next);
    output::holds(
        &text,
        &json!({"vkey": last.next.to_string(), "handovers": steps}),
        output,
    )
}
