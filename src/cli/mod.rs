//! The command line: parses arguments, runs a command, and sets the exit code.
//!
//! Commands read input, call the engine and print: data to stdout, messages to stderr.
//! Invariant: exit code 0 is success, 1 refused or invalid with every error printed, 2 wrong usage;
//! a command that fails has written nothing to stdout, but for `serve --print-config`, which shows a
//! configuration with problems too.

pub mod check;
mod cluster;
mod complete;
mod convert;
mod documents;
mod engine;
mod errors;
mod explain;
mod export;
mod fleet;
mod generate;
mod generate_policy;
mod get;
mod given;
mod inject;
mod json;
mod key_order;
mod lint;
mod manual;
mod namespaces;
mod output;
mod policy_source;
mod progress;
mod report;
mod rewrite;
mod schemas;
mod serve;
mod stdio;
mod table;
mod template_objects;
mod template_texts;
mod templates;
mod terminal;
mod test;
mod uninject;
mod upgrade;
mod values;
mod yaml;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::errors::Usage;

/// Injects sidecars into Kubernetes pods.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version, long_about = LONG_ABOUT)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const LONG_ABOUT: &str = "\
Injects sidecars into Kubernetes pods. A pod requests an injection template by annotation; the template's containers, \
volumes, mounts and environment are added to it, offline or by a webhook.

Examples:
  Inject the sidecars into a workload and apply it:
    outrigger inject -f app.yaml | kubectl apply -f -
  Show what would change:
    outrigger inject -f app.yaml -o diff
  Run the test cases of your templates:
    outrigger test ./templates
  Serve the webhook on this machine, without a cluster:
    outrigger serve --dev
  Look at an installation in a cluster:
    outrigger check";

/// What the program says when it is called without a command.
const WAYS: &str = "\
Outrigger injects sidecars into Kubernetes pods. There are three ways to run it:

  On files, without a cluster:
    outrigger inject -f app.yaml -o diff        what a workload would get
    outrigger test ./templates                  the test cases of your templates

  As a webhook on this machine:
    outrigger serve --dev                       with a certificate of its own, and a curl line to try

  In a cluster:
    kubectl apply -k manifests                  installs it (or the chart in manifests/chart)
    outrigger check --wait 60s                  whether the installation is healthy
    outrigger get -A                            which workloads carry which template

`outrigger --help` lists all commands, `outrigger COMMAND --help` explains one.
";

#[derive(Debug, Subcommand)]
enum Command {
    Inject(inject::InjectArgs),
    Uninject(uninject::UninjectArgs),
    Explain(explain::ExplainArgs),
    Templates(templates::TemplatesArgs),
    Lint(lint::LintArgs),
    Test(test::TestArgs),
    Convert(convert::ConvertArgs),
    Serve(serve::ServeCommand),
    Check(check::CheckArgs),
    Get(get::GetArgs),
    Upgrade(upgrade::UpgradeArgs),
    Export(export::ExportArgs),
    Generate(generate::GenerateArgs),
}

/// Runs the command that the process arguments name, and returns its exit code.
pub fn run() -> ExitCode {
    let arguments = std::env::args_os().collect::<Vec<_>>();
    if complete::answer(command, &arguments) {
        return ExitCode::SUCCESS;
    }
    match parse(&arguments) {
        Ok(Cli { command: Some(command) }) => exit_code(dispatch(command)),
        Ok(Cli { command: None }) => exit_code(stdio::print(WAYS)),
        Err(usage) => {
            // A closed stdout or stderr does not change the exit code.
            let _ = usage.print();
            u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

/// The declaration of all commands.
fn command() -> clap::Command {
    Cli::command()
}

/// As `kubectl-outrigger` it is a kubectl plugin, and help texts say `kubectl outrigger`.
fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let name = arguments.first().map(Path::new);
    let is_plugin = name.and_then(Path::file_stem).is_some_and(|name| name == "kubectl-outrigger");
    let command = if is_plugin { command().bin_name("kubectl outrigger") } else { command() };
    Cli::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Inject(args) => inject::run(&args),
        Command::Uninject(args) => uninject::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Templates(args) => templates::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Upgrade(args) => upgrade::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Lint(args) => lint::run(&args),
    }
}

/// What clap exits with too.
const WRONG_USAGE: u8 = 2;

fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error_lines(&error).iter().for_each(|line| stdio::print_message(line));
            if Usage::is_in(&error) { ExitCode::from(WRONG_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// The lines about an error. An API server, a file or an object may have written parts of them.
fn error_lines(error: &anyhow::Error) -> Vec<String> {
    format!("{error:#}").lines().map(error_line).collect()
}

/// Excerpts of files keep their indentation.
fn error_line(line: &str) -> String {
    let (indentation, text) = line.split_at(line.len() - line.trim_start_matches(' ').len());
    format!("error: {indentation}{}", terminal::printable(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_declared_without_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn control_characters_of_an_error_do_not_reach_the_terminal() {
        let error = anyhow::anyhow!("first\n  \u{1b}]0;pwned\u{7}second");
        assert_eq!(error_lines(&error), ["error: first", "error:   \\u{1b}]0;pwned\\u{7}second"]);
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
