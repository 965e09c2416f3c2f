//! `attestore get`.

use crate::cli::GetArgs;
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Prints one record or its proof.
pub fn run(args: &GetArgs) -> Result<(), Failure> {
    let client = Client::new(&args.on.remote)?;
    let path = format!(
        "/v1/tenants/{}/events/{}",
        escape(&args.on.tenant),
        escape(&args.record)
    );
    if args.proof {
        return output::line(client.get_text(&format!("{path}/proof"))?.trim_end());
    }
    output::json(&client.get_json(&path)?)
}
