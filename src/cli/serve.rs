//! `outrigger serve`: starts the server.

use clap::Args;

use super::stdio;
use crate::{app, config};

/// Serve the webhook
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct ServeCommand {
    #[command(flatten)]
    settings: config::SettingsArgs,

    /// Print the effective configuration with the origin of each value, and exit
    #[arg(long)]
    print_config: bool,
}

const LONG_ABOUT: &str = "\
Serves the mutating admission webhook over TLS, with liveness, readiness and metrics on a second port.

Examples:
  Try it on this machine, without a cluster; certificate and templates come with it:
    outrigger serve --dev
  Serve your own templates with your own certificate:
    outrigger serve --templates ./templates --tls-cert tls.crt --tls-key tls.key
  Read the settings from a file:
    outrigger serve --config injector.yaml
  Show the effective configuration and the origin of each value:
    outrigger serve --config injector.yaml --print-config";

/// Serves until a signal ends the process, or prints the effective configuration.
pub(super) fn run(args: &ServeCommand) -> anyhow::Result<()> {
    if args.print_config {
        let (text, problems) = app::print_config(&args.settings);
        stdio::print(text)?;
        return Ok(problems?);
    }
    app::serve(&args.settings)
}
