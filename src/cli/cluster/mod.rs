//! The flags of commands that read a cluster, and the connection to its API server.

mod caller;
mod connect;
mod lookup;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use kube::config::Kubeconfig;

pub(super) use caller::{ApiRequest, Caller, MAX_PAGES, filter_page};
pub(super) use connect::{ClusterSelection, connect};
pub(super) use lookup::{Failure, Lookup};

use super::errors::Usage;
use super::given::given;
use super::values;

/// The flags that select a cluster, with the names of kubectl.
#[derive(Args, Clone, Debug)]
pub(super) struct ClusterArgs {
    /// Context of the kubeconfig
    #[arg(long, value_name = "CONTEXT", add = contexts())]
    context: Option<String>,

    /// Kubeconfig, instead of $KUBECONFIG, ~/.kube/config or the pod's service account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Timeout of each call
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    timeout: Duration,
}

/// Shells complete the names of the kubeconfig's contexts.
fn contexts() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let kubeconfig = match given("--kubeconfig").pop() {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let kubeconfig = kubeconfig.unwrap_or_default();
        kubeconfig.contexts.into_iter().map(|context| CompletionCandidate::new(context.name)).collect()
    })
}

impl ClusterArgs {
    pub(super) fn selection(&self) -> ClusterSelection {
        ClusterSelection { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// Whether a flag names a cluster.
    pub(super) const fn is_named(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some()
    }

    /// Refuses the flags of a cluster for a command that reads it only with `--in-cluster`.
    pub(super) fn check_use(&self, in_cluster: bool) -> Result<(), Usage> {
        if self.is_named() && !in_cluster {
            return Err(Usage::new("--context and --kubeconfig need --in-cluster: templates of files need no cluster"));
        }
        Ok(())
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Runs the work of one command, and does not wait for connections that are still closing.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
