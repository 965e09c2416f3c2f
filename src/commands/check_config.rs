//! `attestore check-config`.

use attestore_disk::{Clock, SystemClock};

use crate::cli::{CheckConfigArgs, Output};
use crate::failure::Failure;
use crate::output;
use crate::serving::{certificates, listen};
use crate::settings::Settings;

/// Checks settings as a start would, and shows what is in force. Opens no data directory and no socket.
pub fn run(args: &CheckConfigArgs) -> Result<(), Failure> {
    let loaded = Settings::load(&args.sources)?;
    let settings = &loaded.settings;
    if let Some(group) = &settings.unix.group {
        listen::group(group)?;
    }
    let tls = certificates::load(settings)?;
    match args.output {
        Output::Json => output::json(&loaded.effective)?,
        Output::Ndjson => loaded.effective.iter().try_for_each(output::ndjson)?,
        Output::Table => {
            let rows = loaded.effective.into_iter();
            output::table(
                ["KEY", "VALUE", "SOURCE"],
                rows.map(|row| [row.key, row.value, row.source]),
            )?;
        }
    }
    if let Some((_, facts)) = tls {
        let now_ms = SystemClock.now_ms();
        if facts.not_after_ms <= now_ms {
            return Err(Failure::failed(
                "tls.certificate_file: the certificate has expired",
            ));
        }
        output::note(format!(
            "TLS certificate for {}, valid for {} more days",
            facts.names.join(", "),
            (facts.not_after_ms - now_ms) / 86_400_000
        ));
    }
    output::note("the settings make sense");
    Ok(())
}
