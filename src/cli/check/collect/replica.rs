//! Reads a replica's certificate and state over a port-forward, or its state through the pod proxy.

use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::{self as core, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::Portforwarder;
use tokio::io::DuplexStream;
use tokio::time::timeout;

use super::super::objects::{ContainerStatus, PartialPod};
use super::super::observations::{CertificateOrigin, Replica, ServedCertificate};
use super::{admin, handshake};
use crate::cli::cluster::{ApiRequest, Caller};

const WEBHOOK_PORT: u16 = 9443;
const ADMIN_PORT: u16 = 8080;
const ADMIN_PORT_NAME: &str = "admin";

/// The replica of a pod, with its certificate if the pod runs.
pub(super) async fn query(
    caller: &Caller,
    namespace: &str,
    host: &str,
    (service, called): (Option<&Service>, i32),
    pod: &PartialPod,
) -> (Replica, Option<ServedCertificate>) {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let mut replica = Replica {
        pod: name.clone(),
        is_ready: is_ready(pod),
        waiting: waiting(pod),
        admin: Err("the pod is not running".to_owned()),
    };
    if !is_running(pod) {
        return (replica, None);
    }
    let ports = Ports::of(pod, service, called);
    let forward = PortForward { caller, namespace, pod: &name };
    // One connection for each port, so that a failure of one does not affect the other.
    let (chain, admin) = tokio::join!(
        forward.over(ports.webhook, async |stream| handshake::over(stream, host, caller.limit).await),
        forward.over(ports.admin, async |stream| admin::over(stream, caller.limit).await),
    );
    replica.admin = match admin {
        Ok(admin) => Ok(admin),
        Err(problem) => {
            let proxied = admin::through_proxy(&caller.client, namespace, &name, ports.admin, caller.limit).await;
            proxied.map_err(|proxy| format!("{problem}; through the API server's proxy: {proxy}"))
        }
    };
    let served = ServedCertificate { by: format!("pod {name}"), chain, from: CertificateOrigin::Handshake };
    (replica, Some(served))
}

#[derive(Clone, Copy)]
struct Ports {
    webhook: u16,
    admin: u16,
}

impl Ports {
    /// The target port of the Service's port that is called, and the container port named `admin`.
    fn of(pod: &PartialPod, service: Option<&Service>, called: i32) -> Self {
        let ports = service.and_then(|service| service.spec.as_ref()?.ports.as_deref()).unwrap_or_default();
        let port = ports.iter().find(|port| port.port == called);
        let webhook = match port.and_then(|port| port.target_port.clone()) {
            Some(IntOrString::Int(port)) => u16::try_from(port).ok(),
            Some(IntOrString::String(name)) => named(pod, &name),
            None => None,
        };
        Self { webhook: webhook.unwrap_or(WEBHOOK_PORT), admin: named(pod, ADMIN_PORT_NAME).unwrap_or(ADMIN_PORT) }
    }
}

fn named(pod: &PartialPod, name: &str) -> Option<u16> {
    let containers = pod.spec.containers.iter().flatten();
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let port = ports.find(|port| port.name.as_deref() == Some(name))?;
    u16::try_from(port.container_port).ok()
}

/// Forwards ports of one pod.
struct PortForward<'w> {
    caller: &'w Caller,
    namespace: &'w str,
    pod: &'w str,
}

impl PortForward<'_> {
    /// The result of `query` over a connection to the port.
    async fn over<T>(
        &self,
        port: u16,
        query: impl AsyncFnOnce(DuplexStream) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut forwarder = self.forward(port).await?;
        let (stream, refusal) = (forwarder.take_stream(port), forwarder.take_error(port));
        let answer = match (stream, refusal) {
            (Some(stream), Some(refusal)) => unless_refused(query(stream), refusal).await,
            _ => Err(format!("port {port} was not forwarded")),
        };
        forwarder.abort();
        answer
    }

    async fn forward(&self, port: u16) -> Result<Portforwarder, String> {
        let Self { caller, namespace, pod } = *self;
        let pods: Api<core::Pod> = Api::namespaced(caller.client.clone(), namespace);
        let request = ApiRequest { verb: "get and create", resource: "pods/portforward", namespace: Some(namespace) };
        match timeout(caller.limit, pods.portforward(pod, &[port])).await {
            Ok(Ok(forwarder)) => Ok(forwarder),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                caller.forbid(&request);
                Err("you may not forward its ports".to_owned())
            }
            Ok(Err(error)) => Err(format!("port {port} cannot be forwarded: {}", crate::cluster::explain(&error))),
            Err(_) => Err(format!("port {port} cannot be forwarded: {}", caller.timeout_message())),
        }
    }
}

/// Prefers the kubelet's error for a port to the error of a stream that ended or stays silent.
async fn unless_refused<T>(
    answer: impl Future<Output = Result<T, String>>,
    refusal: impl Future<Output = Option<String>>,
) -> Result<T, String> {
    let mut refusal = pin!(refusal.fuse());
    let answer = tokio::select! {
        answer = answer => answer,
        Some(said) = &mut refusal => return Err(said.trim().to_owned()),
    };
    let Err(problem) = answer else { return answer };
    match timeout(Duration::from_millis(200), refusal).await {
        Ok(Some(said)) => Err(format!("{problem} ({})", said.trim())),
        _ => Err(problem),
    }
}

fn is_running(pod: &PartialPod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

fn is_ready(pod: &PartialPod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Why the pod or its containers do not run.
fn waiting(pod: &PartialPod) -> Vec<String> {
    let Some(status) = &pod.status else { return Vec::new() };
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let unscheduled = status.conditions.iter().flatten();
    let unscheduled = unscheduled.filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let unscheduled = unscheduled.filter_map(|condition| condition.message.clone());
    unscheduled.chain(containers.filter_map(of_container)).collect()
}

fn of_container(status: &ContainerStatus) -> Option<String> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason =
        waiting.reason.as_deref().filter(|reason| !matches!(*reason, "ContainerCreating" | "PodInitializing"))?;
    // For a crash loop the kubelet reports only the back-off; the termination message has the
    // cause.
    let last_words = status.last_state.as_ref().and_then(|state| state.terminated.as_ref()?.message.as_deref());
    Some(match last_words.or(waiting.message.as_deref()).map(str::trim) {
        Some(message) => format!("{reason}: {}", message.replace('\n', "; ")),
        None => reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn waiting_reasons(state: Value, last_state: Value) -> Vec<String> {
        let status = json!({
            "name": "outrigger", "image": "", "imageID": "", "ready": false, "restartCount": 1,
            "state": {"waiting": state}, "lastState": last_state,
        });
        let pod = json!({"metadata": {}, "spec": {}, "status": {"containerStatuses": [status]}});
        waiting(&serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn the_termination_message_says_why_a_container_waits() {
        let back_off = json!({"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"});
        let ended = json!({"terminated": {"exitCode": 1, "message": "error: one\nerror: two\n"}});
        assert_eq!(waiting_reasons(back_off.clone(), ended), ["CrashLoopBackOff: error: one; error: two"]);
        assert_eq!(
            waiting_reasons(back_off, json!({})),
            ["CrashLoopBackOff: back-off 10s restarting failed container"]
        );
        assert_eq!(waiting_reasons(json!({"reason": "InvalidImageName"}), json!({})), ["InvalidImageName"]);
        assert_eq!(waiting_reasons(json!({"reason": "ContainerCreating"}), json!({})), [""; 0]);
    }
}
