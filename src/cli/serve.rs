//! `outrigger serve`: hands the flags over to the server.

use clap::Args;

use crate::app;
use crate::config;

/// Serve the webhook
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: config::ServeArgs,
}

const LONG_ABOUT: &str = "\
Serves the mutating admission webhook over TLS, with liveness, readiness and metrics on a second port.

Examples:
  Try it on this machine, without a cluster; certificate and templates come with it:
    outrigger serve --dev
  Serve your own templates with your own certificate:
    outrigger serve --templates ./templates --tls-cert tls.crt --tls-key tls.key
  Read the settings from a file:
    outrigger serve --config injector.yaml";

/// Serves until the process is told to end.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    app::serve(&args.settings)
}
