//! `attestore explain`.

use super::forget::text;
use crate::cli::{ExplainArgs, Output};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Says what keeps a record, or lets it go.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    let (tenant, record) = (escape(&args.tenant), escape(&args.record));
    let verdict = client.get_json(&format!("/v1/tenants/{tenant}/events/{record}/retention"))?;
    match args.output {
        Output::Json => output::json(&verdict),
        Output::Ndjson => output::ndjson(&verdict),
        Output::Table => {
            output::line(output::visible(&text(&verdict, "explanation")))?;
            let rows = [
                ("record", "seq"),
                ("kind", "kind"),
                ("class", "class"),
                ("policy", "policy"),
                ("basis", "basis"),
                ("received at", "received_at"),
                ("kept until", "kept_until"),
                ("due at", "due_at"),
                ("lock", "lock"),
                ("erasable", "erasable"),
                ("gone by record", "gone_by"),
                ("gone since", "gone_since"),
            ];
            output::table(
                ["", ""],
                rows.map(|(label, name)| [label.to_owned(), text(&verdict, name)]),
            )
        }
    }
}
