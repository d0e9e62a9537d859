//! Dry runs of the pods of requesting workloads: whether the webhook would refuse them now.

use std::collections::BTreeSet;

use futures::StreamExt;
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use serde_json::Value;
use tokio::time::timeout;

use super::super::evaluate::is_of_ours;
use super::super::objects;
use super::super::observations::{DryRun, DryRunOutcome, Observations, Trials};
use crate::cli::cluster::Caller;
use crate::cli::cluster::Failure;

/// Most workloads whose pods are tried; each is a call.
pub(super) const MAX_TRIALS: usize = 500;
const CONCURRENT: usize = 4;

/// The pod that a workload would create.
#[derive(Clone, Debug)]
pub(super) struct WorkloadPod {
    pub title: String,
    pub namespace: String,
    pub pod: Value,
}

/// What the API server said about one pod.
enum Verdict {
    Admitted,
    Denied(String),
    /// The account may not create pods there.
    Forbidden,
    /// Something else refused the pod, or nothing was said.
    Unknown,
}

/// Sends the pods, unless calls of the webhook fail anyway. `more` workloads are left out.
pub(super) async fn run(caller: &Caller, observations: &Observations, pods: Vec<WorkloadPod>, more: usize) -> Trials {
    if !is_called(observations) {
        return Trials::default();
    }
    let domain = observations.target.domain.as_str();
    let verdict = |workload: WorkloadPod| async move {
        let verdict = send(caller, domain, &workload).await;
        (workload, verdict)
    };
    let verdicts: Vec<(WorkloadPod, Verdict)> =
        futures::stream::iter(pods).map(verdict).buffered(CONCURRENT).collect().await;
    let (mut trials, mut forbidden) = (Trials::default(), BTreeSet::new());
    for (WorkloadPod { title, namespace, .. }, verdict) in verdicts {
        match verdict {
            Verdict::Admitted => _ = trials.tried.insert(title),
            Verdict::Denied(message) => {
                trials.tried.insert(title.clone());
                trials.denied.push((title, message));
            }
            Verdict::Forbidden => _ = forbidden.insert(namespace),
            Verdict::Unknown => {}
        }
    }
    report(caller, &forbidden, more);
    trials
}

/// What was not tried, in one failure each.
fn report(caller: &Caller, forbidden: &BTreeSet<String>, more: usize) {
    if let Some(first) = forbidden.first() {
        let others = match forbidden.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        caller.fail(Failure::Forbidden { right: format!("create pods in namespace {first:?}{others}") });
    }
    if more > 0 {
        caller.fail(Failure::Other {
            what: format!("try the pods of all {} workloads that request templates", MAX_TRIALS + more),
            problem: format!("only the first {MAX_TRIALS} are tried"),
        });
    }
}

/// Whether the first dry-run pod reached the webhook.
fn is_called(observations: &Observations) -> bool {
    let DryRun::Sent { template, outcome, .. } = &observations.dry_run else { return false };
    match outcome {
        DryRunOutcome::Admitted { templates } => templates.contains(template),
        DryRunOutcome::Refused { message } => is_denial(message, &observations.target.domain),
        DryRunOutcome::NoResponse(_) => false,
    }
}

/// Whether our webhook denied a pod, by a message of the API server.
pub(super) fn is_denial(message: &str, domain: &str) -> bool {
    is_of_ours(message, domain) && message.contains("denied the request")
}

async fn send(caller: &Caller, domain: &str, workload: &WorkloadPod) -> Verdict {
    let Ok(pod) = serde_json::from_value::<DynamicObject>(workload.pod.clone()) else { return Verdict::Unknown };
    let api: Api<DynamicObject> = Api::namespaced_with(caller.client.clone(), &workload.namespace, &objects::pods());
    let params = PostParams { dry_run: true, field_manager: Some("outrigger-check".to_owned()) };
    match timeout(caller.limit, api.create(&params, &pod)).await {
        Ok(Ok(_)) => Verdict::Admitted,
        // Pods of a StatefulSet have fixed names. Webhooks are asked before the API server looks for it.
        Ok(Err(kube::Error::Api(status))) if status.reason == "AlreadyExists" => Verdict::Admitted,
        Ok(Err(kube::Error::Api(status))) if is_denial(&status.message, domain) => {
            Verdict::Denied(status.message.clone())
        }
        Ok(Err(kube::Error::Api(status)))
            if status.code == 403 && status.message.contains("cannot create resource") =>
        {
            Verdict::Forbidden
        }
        Ok(Err(_)) | Err(_) => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    /// The pods of a StatefulSet that runs have the names of those that are tried.
    #[tokio::test]
    async fn a_pod_whose_name_is_taken_was_admitted() {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "pods \"db-0\" already exists", "reason": "AlreadyExists", "code": 409});
        let server = service_fn(move |_: Request<Body>| {
            let body = Body::from(status.to_string().into_bytes());
            let response = Response::builder().status(409).body(body);
            async move { response }
        });
        let caller = Caller::new(Client::new(server, "default"), Duration::from_secs(5));
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db-0"}});
        let workload = WorkloadPod { title: "StatefulSet shop/db".to_owned(), namespace: "shop".to_owned(), pod };
        assert!(matches!(send(&caller, "outrigger.dev", &workload).await, Verdict::Admitted));
    }
}
