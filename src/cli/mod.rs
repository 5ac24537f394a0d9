//! The command line: one file for each command.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    catalog::NoSuchModel,
    config::{Config, Switch},
    http::tls,
};

mod compare;
mod edit;
mod generate;
mod keys;
mod made;
mod methods;
mod models;
mod openapi;
mod reconstruct;
mod serve;
mod values;
mod wish;

/// Makes pictures from text: as an HTTP service, or one at a time.
///
/// Settings come from the defaults that are compiled in, then from --config FILE, then from the environment, where
/// DARKROOM__SECTION__KEY sets `key` in `[section]` (lists are written in JSON).
///
/// Exit status: 0 done, 1 failed, 2 wrong use.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    /// A TOML file that overrides the defaults; config/default.toml shows every key.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Generate(generate::Arguments),
    Edit(edit::Arguments),
    Compare(compare::Arguments),
    Reconstruct(reconstruct::Arguments),
    Keys(keys::Arguments),
    Models(models::Arguments),
    Methods(methods::Arguments),
    Openapi(openapi::Arguments),
}

/// The command was called in a way that cannot work, whatever the state of the machine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

/// Does what the process's arguments say.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    tls::provide();
    match obey(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("darkroom: {error:#}");
            ExitCode::from(if error.is::<Misuse>() || error.is::<NoSuchModel>() { 2 } else { 1 })
        }
    }
}

fn obey(arguments: Arguments) -> anyhow::Result<()> {
    let load = || Config::load(arguments.config.as_deref()).map_err(|error| Misuse(error.to_string()));
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.command {
        Command::Serve(command) => runtime.block_on(command.run(load()?)),
        Command::Generate(command) => runtime.block_on(command.run(load()?)),
        Command::Edit(command) => runtime.block_on(command.run(load()?)),
        Command::Compare(command) => runtime.block_on(command.run(load()?)),
        Command::Reconstruct(command) => runtime.block_on(command.run(load()?)),
        Command::Keys(command) => runtime.block_on(command.run(load()?)),
        Command::Models(command) => command.run(&load()?),
        Command::Methods(command) => command.run(),
        Command::Openapi(command) => command.run(),
    }
}

/// For work that ends with the command: nothing of it touches a server's store, and only trouble is logged.
fn in_memory(config: &mut Config, model: Option<&str>) {
    config.log.level = "warn".into();
    config.store.database_url = "sqlite::memory:".into();
    config.store.blob_url = "memory:".into();
    config.auth.required = Switch::Off;
    if let Some(model) = model {
        model.clone_into(&mut config.models.default);
    }
}

/// Prints a text; a reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
