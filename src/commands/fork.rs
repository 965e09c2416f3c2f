//! `attestore fork`.

use attestore_engine::handover::Forked;
use attestore_engine::{Engine, Settings};

use super::parts;
use crate::cli::{ForkArgs, Output};
use crate::failure::Failure;
use crate::{files, output};

/// Gives logs that lost entries a new epoch.
pub fn run(args: &ForkArgs) -> Result<(), Failure> {
    let open = || -> Result<Engine, Failure> {
        let parts = parts(&args.data, args.head_register.as_deref(), false)?;
        Ok(Engine::create_or_open(parts, Settings::default())?.0)
    };
    let engine = open()?;
    let forked = fork(&engine, args);
    let closed = engine.close();
    let forked = forked?;
    closed?;
    if forked.is_empty() {
        return Err(Failure::failed(
            "no log was rolled back: nothing to fork; name one with --tenant and give a checkpoint that it does not extend",
        ));
    }
    // The record of each fork is written by the start that follows.
    drop(engine);
    open()?.close()?;
    print(&forked, args.output)
}

fn fork(engine: &Engine, args: &ForkArgs) -> Result<Vec<Forked>, Failure> {
    let checkpoint = args.checkpoint.as_deref().map(files::read_text).transpose()?;
    let names = match &args.tenant {
        Some(name) => vec![name.clone()],
        None => rolled_back(engine)?,
    };
    let fork = |name: &String| engine.fork(name, &args.reason, checkpoint.as_deref(), args.force);
    Ok(names.iter().map(fork).collect::<Result<_, _>>()?)
}

/// Names of the tenants whose logs are older than what is known of them.
fn rolled_back(engine: &Engine) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for listed in engine.tenants(None, usize::MAX)? {
        if engine.tenant(&listed.name)?.refuses_appends.is_some() {
            names.push(listed.name);
        }
    }
    Ok(names)
}

fn print(forked: &[Forked], output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(&forked),
        Output::Ndjson => forked.iter().try_for_each(output::ndjson),
        Output::Table => {
            let known = |fork: &Forked| {
                fork.known
                    .as_ref()
                    .map_or_else(String::new, |known| known.size.to_string())
            };
            output::table(
                ["tenant", "survived", "known", "former origin", "vkey"],
                forked.iter().map(|fork| {
                    [
                        fork.tenant.clone(),
                        fork.survived.to_string(),
                        known(fork),
                        fork.former.clone(),
                        fork.vkey.clone(),
                    ]
                }),
            )?;
            output::note(
                "Give the new keys to whoever verifies these logs, witnesses first: attestore key list shows them with the former keys' word for them.",
            );
            Ok(())
        }
    }
}
