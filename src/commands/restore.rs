//! `attestore restore`.

use attestore_disk::RealDisk;
use attestore_engine::Settings;
use attestore_engine::backup::restore::{RestoreSpec, Restored, UseChunks, check_empty, restore};

use super::backup::{bar, read_key};
use super::parts;
use crate::cli::{ChunksArg, Output, RestoreArgs};
use crate::failure::Failure;
use crate::settings::{Root, RootProviderName};
use crate::{output, root, target};

/// Restores a backup into an empty directory.
pub fn run(args: &RestoreArgs) -> Result<(), Failure> {
    super::serve::start_log(&crate::settings::Log {
        level: "warn".into(),
        ..crate::settings::Log::default()
    })?;
    let key = read_key(&args.key_file)?;
    let from = target::existing(&args.folder)?;
    let to = RealDisk::new(&args.to)
        .map_err(|error| Failure::failed(format!("{}: {error}", args.to.display())))?;
    check_empty(&to)?;
    let mut parts = parts(&args.to, args.head_register.as_deref(), true)?;
    if args.module.is_some() {
        let at = Root {
            provider: RootProviderName::Pkcs11,
            module: args.module.clone(),
            label: args.label.clone(),
            serial: args.serial.clone(),
            ..Root::default()
        };
        parts.root = root::vouched(parts.root, &at)?;
    }
    let spec = RestoreSpec {
        backup: args.backup.clone(),
        without_ledger: args.without_newest_ledger.clone(),
        chunks: match args.chunks {
            ChunksArg::All => UseChunks::All,
            ChunksArg::Sound => UseChunks::Sound,
            ChunksArg::None => UseChunks::None,
        },
    };
    let bar = bar();
    let restored = restore(
        &*from,
        &parts,
        &Settings::default(),
        &key,
        &spec,
        &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        },
    )?;
    bar.finish_and_clear();
    print(&restored, args.output)
}

fn print(restored: &Restored, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => return output::json(restored),
        Output::Ndjson => return output::ndjson(restored),
        Output::Table => {}
    }
    output::table(
        [
            "TENANT",
            "IN BACKUP",
            "FROM CHUNKS",
            "KNOWN",
            "LOST",
            "NEW ORIGIN",
        ],
        restored.tenants.iter().map(|tenant| {
            let number =
                |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
            [
                tenant.name.clone(),
                tenant.entries.to_string(),
                tenant.from_chunks.to_string(),
                number(tenant.known),
                number(tenant.lost),
                tenant.origin.clone(),
            ]
        }),
    )?;
    let again = &restored.again;
    output::line(format!(
        "backup {} and {} chunks behind it, {} entries of the ledger: {} people, {} records, {} tenants and {} credentials let go of again",
        restored.backup,
        restored.chunks,
        restored.ledger,
        again.subjects,
        again.records,
        again.tenants,
        again.credentials
    ))?;
    for warning in &restored.warnings {
        output::note(warning);
    }
    output::note(
        "Every log has a new epoch. Give the new keys to whoever verifies them, witnesses first: attestore key list shows them with the \
         former keys' word for them.",
    );
    Ok(())
}
