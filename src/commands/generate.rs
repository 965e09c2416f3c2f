//! `attestore completions` and `attestore man`: made from the command line's own description, so that they are never behind it.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::failure::Failure;
use crate::{files, output};

/// Prints a completion script.
pub fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "attestore", &mut script);
    print(script)
}

/// Writes a page for each command into a folder, or prints that of the program.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let Some(folder) = &args.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return print(page);
    };
    files::make_dir(folder)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    pages(&command, "attestore", folder)
}

fn pages(command: &clap::Command, name: &str, folder: &std::path::Path) -> Result<(), Failure> {
    let mut page = Vec::new();
    let named = command
        .clone()
        .name(name.to_owned())
        .bin_name(name.replace('-', " "));
    clap_mangen::Man::new(named).render(&mut page)?;
    let text = String::from_utf8(page).map_err(|_| Failure::failed("what was generated is not UTF-8"))?;
    files::write_text(&folder.join(format!("{name}.1")), &text)?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        pages(inner, &format!("{name}-{}", inner.get_name()), folder)?;
    }
    Ok(())
}

fn print(text: Vec<u8>) -> Result<(), Failure> {
    let text = String::from_utf8(text).map_err(|_| Failure::failed("what was generated is not UTF-8"))?;
    output::line(text.trim_end())
}
