//! Connects to the API server as kubectl does: flags, `$KUBECONFIG`, `~/.kube/config`, service
//! account.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// The flags that select a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterSelection {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
}

/// A client with `limit` as its connection timeout, and the address that it calls.
pub(crate) async fn connect(origin: &ClusterSelection, limit: Duration) -> anyhow::Result<(Client, String)> {
    let mut config = config(origin).await?;
    config.connect_timeout = Some(limit);
    config.read_timeout = None;
    config.write_timeout = Some(limit);
    // A retry would hide a 503, which is a finding.
    config.default_retry = false;
    config.headers.push(crate::cluster::client::user_agent());
    if is_loopback(config.cluster_url.host()) {
        // As kubectl does: a proxy elsewhere cannot reach this machine's loopback.
        config.proxy_url = None;
    }
    let address = config.cluster_url.to_string();
    let client = Client::try_from(config)
        .map_err(|error| anyhow!("cannot make a client of {address}: {}", crate::cluster::explain(&error)))?;
    Ok((client, address))
}

fn is_loopback(host: Option<&str>) -> bool {
    let host = host.unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn config(origin: &ClusterSelection) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: origin.context.clone(), ..KubeConfigOptions::default() };
    let is_in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let kubeconfig = match &origin.kubeconfig {
        Some(path) => Kubeconfig::read_from(path)
            .map_err(|error| anyhow!("cannot read the kubeconfig{}", told(&error, Some(path))))?,
        None => match Kubeconfig::read() {
            Ok(kubeconfig) => kubeconfig,
            Err(_) if is_in_pod && origin.context.is_none() => {
                return Config::incluster().context("cannot read the service account of the pod");
            }
            Err(error) => {
                return Err(anyhow!(
                    "cannot read the kubeconfig{}; give --kubeconfig, or set KUBECONFIG",
                    told(&error, None)
                ));
            }
        },
    };
    let contexts: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(|error| match error {
        KubeconfigError::LoadContext(name) => {
            anyhow!("the kubeconfig has no context {name:?}; it has {}", named(&contexts))
        }
        KubeconfigError::CurrentContextNotSet => {
            anyhow!("the kubeconfig has no current context: give --context, one of {}", named(&contexts))
        }
        error => anyhow::Error::new(error).context("the kubeconfig cannot be used"),
    })
}

/// The file, if it is known, and the reason, without the names of types.
fn told(error: &KubeconfigError, path: Option<&Path>) -> String {
    match (error, path) {
        (KubeconfigError::ReadConfig(reason, path), _) => format!(" {}: {reason}", path.display()),
        (error, Some(path)) => format!(" {}: {error}", path.display()),
        (error, None) => format!(": {error}"),
    }
}

fn named(contexts: &[String]) -> String {
    if contexts.is_empty() { "none".to_owned() } else { contexts.join(", ") }
}
