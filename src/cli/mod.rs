//! The command line: parses arguments, runs a command, and sets the exit code.
//!
//! Commands read input, call the engine and print: data to stdout, messages to stderr.
//! Invariant: exit code 0 is success, 1 refused or invalid with every error printed, 2 wrong usage;
//! a command that fails has written nothing to stdout, but for `serve --print-config`, which shows a
//! configuration with problems too.

pub mod check;
mod cluster;
mod documents;
mod engine;
mod errors;
mod export;
mod generate;
mod generate_policy;
mod inject;
mod json;
mod key_order;
mod namespaces;
mod output;
mod progress;
mod report;
mod rewrite;
mod schemas;
mod serve;
mod stdio;
mod terminal;
mod uninject;
mod values;
mod yaml;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Injects sidecars into Kubernetes pods.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version, long_about = LONG_ABOUT, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const LONG_ABOUT: &str = "\
Injects sidecars into Kubernetes pods. A pod requests an injection template by annotation; the template's containers, \
volumes, mounts and environment are added to it, offline or by a webhook.

Examples:
  Inject the sidecars into a workload and apply it:
    outrigger inject -f app.yaml | kubectl apply -f -
  Show what would change:
    outrigger inject -f app.yaml -o diff
  Serve the webhook on this machine, without a cluster:
    outrigger serve --dev";

#[derive(Debug, Subcommand)]
enum Command {
    Inject(inject::InjectArgs),
    Uninject(uninject::UninjectArgs),
    Serve(serve::ServeCommand),
    Check(check::CheckArgs),
    Export(export::ExportArgs),
    Generate(generate::GenerateArgs),
}

/// Runs the command that the process arguments name, and returns its exit code.
pub fn run() -> ExitCode {
    match parse(&std::env::args_os().collect::<Vec<_>>()) {
        Ok(cli) => exit_code(dispatch(cli.command)),
        Err(usage) => {
            // A closed stdout or stderr does not change the exit code.
            let _ = usage.print();
            u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

/// As `kubectl-outrigger` it is a kubectl plugin, and help texts say `kubectl outrigger`.
fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let name = arguments.first().map(Path::new);
    let is_plugin = name.and_then(Path::file_stem).is_some_and(|name| name == "kubectl-outrigger");
    let command = if is_plugin { Cli::command().bin_name("kubectl outrigger") } else { Cli::command() };
    Cli::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Inject(args) => inject::run(&args),
        Command::Uninject(args) => uninject::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Generate(args) => generate::run(&args),
    }
}

fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                stdio::print_message(&format!("error: {line}"));
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_declared_without_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn as_a_plugin_of_kubectl_it_is_called_so() {
        for (name, expected) in
            [("/bin/kubectl-outrigger", "Usage: kubectl outrigger check"), ("outrigger", "Usage: outrigger check")]
        {
            let arguments = [name, "check", "--no-such-flag"].map(OsString::from);
            let usage = parse(&arguments).expect_err("wrong usage").to_string();
            assert!(usage.contains(expected), "{usage}");
        }
    }
}
