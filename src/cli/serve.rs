//! `outrigger serve`: hands the flags over to the server.

use clap::Args;

use super::stdio;
use crate::app;
use crate::config;

/// Serve the webhook
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub struct ServeCommand {
    #[command(flatten)]
    settings: config::ServeArgs,

    /// Print the resulting configuration, each value with where it was written, and end
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
  Show what holds after file, environment and flags, and where each value was written:
    outrigger serve --config injector.yaml --print-config";

/// Serves until the process is told to end, or prints with which configuration it would.
pub fn run(args: &ServeCommand) -> anyhow::Result<()> {
    if args.print_config {
        return stdio::print(&app::print_config(&args.settings)?);
    }
    app::serve(&args.settings)
}
