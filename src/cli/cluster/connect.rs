//! Connects to the API server as kubectl does: flags, `$KUBECONFIG`, `~/.kube/config`, service
//! account.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::cli::errors::ABSENT;

/// The flags that select a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterSelection {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
}

/// A client whose calls take at most `limit`, and the address that it calls.
pub(crate) async fn connect(origin: &ClusterSelection, limit: Duration) -> anyhow::Result<(Client, String)> {
    let mut config = config(origin).await?;
    // Each call has a timeout of its own, which is to end first: its message names the limit.
    config.connect_timeout = Some(limit + Duration::from_secs(1));
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
    let kubeconfig = match (&origin.kubeconfig, paths_of_environment()) {
        (Some(path), _) => read(std::slice::from_ref(path), "")?,
        (None, paths) if !paths.is_empty() => read(&paths, "; give --kubeconfig, or change KUBECONFIG")?,
        (None, _) => match std::env::home_dir().map(|home| home.join(".kube").join("config")) {
            // A file that is there and cannot be read must not mean another cluster.
            Some(path) if path.try_exists().unwrap_or(true) || !is_in_pod || origin.context.is_some() => {
                read(&[path], "; give --kubeconfig, or set KUBECONFIG")?
            }
            None if !is_in_pod || origin.context.is_some() => {
                bail!("there is no kubeconfig: give --kubeconfig, or set KUBECONFIG")
            }
            _ => return Config::incluster().context("cannot read the service account of the pod"),
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
        error => anyhow!("the kubeconfig cannot be used: {}", crate::cluster::explain_kubeconfig(&error)),
    })
}

/// The files that `$KUBECONFIG` names.
fn paths_of_environment() -> Vec<PathBuf> {
    let value = std::env::var_os("KUBECONFIG").unwrap_or_default();
    std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect()
}

/// The files as one kubeconfig, merged as kubectl does.
fn read(paths: &[PathBuf], hint: &str) -> anyhow::Result<Kubeconfig> {
    paths.iter().try_fold(Kubeconfig::default(), |before, path| {
        let merged = Kubeconfig::read_from(path).and_then(|kubeconfig| before.merge(kubeconfig));
        merged.map_err(|error| anyhow!("cannot read the kubeconfig {}: {}{hint}", path.display(), told(&error)))
    })
}

/// The reason, without the path and the names of types.
fn told(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(reason, _) if reason.kind() == ErrorKind::NotFound => ABSENT.to_owned(),
        KubeconfigError::ReadConfig(reason, _) => reason.to_string(),
        error => crate::cluster::explain_kubeconfig(error),
    }
}

fn named(contexts: &[String]) -> String {
    if contexts.is_empty() { "none".to_owned() } else { contexts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_that_cannot_be_read_is_one_line_with_its_path() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config");
        std::fs::write(&path, "users:\n- name: u\n  user: {token: canary\n  }}\n").expect("a file");
        let error = format!("{:#}", read(std::slice::from_ref(&path), "").expect_err("no YAML"));
        let expected =
            format!("cannot read the kubeconfig {}: it is not valid kubeconfig YAML at line 4", path.display());
        assert!(error.starts_with(&expected) && error.lines().count() == 1, "{error}");
        let absent = directory.path().join("absent");
        let error = read(&[path, absent], "").expect_err("absent").to_string();
        assert!(!error.contains("canary"), "{error}");
    }
}
