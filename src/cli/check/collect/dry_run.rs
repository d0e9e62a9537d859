//! Builds and sends the dry-run pod, which the API server does not store.

use kube::Api;
use kube::api::{DynamicObject, PostParams};
use serde_json::json;
use tokio::time::timeout;

use super::super::evaluate::{choose_namespace, choose_templates};
use super::super::objects;
use super::super::observations::{DryRun, DryRunOutcome, Observations};
use crate::cli::cluster::{ApiRequest, Caller};
use crate::inject::annotations::AnnotationKeys;
use crate::inject::status::Status;

/// Namespace and template of the dry-run pod, if the user has chosen them.
#[derive(Clone, Debug, Default)]
pub(crate) struct DryRunOptions {
    pub namespace: Option<String>,
    pub template: Option<String>,
}

/// Used only if the installation's own image is unknown; clusters may restrict images.
const IMAGE: &str = "registry.example/outrigger-check:1";

pub(super) async fn make(caller: &Caller, observations: &Observations, options: &DryRunOptions) -> DryRun {
    let Some(namespace) = options.namespace.clone().or_else(|| choose_namespace(observations)) else {
        return DryRun::NotSent("there is no namespace in which a pod would be injected".to_owned());
    };
    let templates = options.template.clone().map_or_else(|| choose_templates(observations), |template| vec![template]);
    let mut first = None;
    for template in templates {
        let outcome = send(caller, observations, &namespace, &template).await;
        let is_good = matches!(&outcome, DryRunOutcome::Admitted { templates } if templates.contains(&template));
        let dry_run = DryRun::Sent { namespace: namespace.clone(), template, outcome };
        let is_denied = matches!(&dry_run, DryRun::Sent { outcome: DryRunOutcome::Refused { message, .. }, .. } if message.contains("denied the request"));
        if is_good {
            return dry_run;
        }
        first.get_or_insert(dry_run);
        // Only a denial depends on the template; the next one may fit a plain pod.
        if !is_denied {
            break;
        }
    }
    first.unwrap_or_else(|| DryRun::NotSent("no replica has a template that could be requested".to_owned()))
}

async fn send(caller: &Caller, observations: &Observations, namespace: &str, template: &str) -> DryRunOutcome {
    let keys = AnnotationKeys::new(&observations.target.domain);
    let pod: DynamicObject = match serde_json::from_value(pod(&keys, template, image(observations).unwrap_or(IMAGE))) {
        Ok(pod) => pod,
        Err(error) => return DryRunOutcome::NoResponse(error.to_string()),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(caller.client.clone(), namespace, &objects::pods());
    let params = PostParams { dry_run: true, field_manager: Some("outrigger-check".to_owned()) };
    // The API server reports a webhook's timeout only after the entry's `timeoutSeconds`.
    let patience = observations.pods_entry().and_then(|entry| entry.timeout_seconds).unwrap_or(10);
    let patience = std::time::Duration::from_secs(u64::try_from(patience).unwrap_or(10) + 5);
    match timeout(caller.limit.max(patience), api.create(&params, &pod)).await {
        Ok(Ok(pod)) => {
            let status = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(&keys.status));
            let status = status.and_then(|status| Status::parse(status));
            let templates = status.map(|status| status.templates).unwrap_or_default();
            DryRunOutcome::Admitted { templates: templates.into_iter().map(|template| template.name).collect() }
        }
        Ok(Err(kube::Error::Api(status))) => {
            if status.code == 403 && status.message.contains("cannot create resource") {
                caller.forbid(&ApiRequest { verb: "create", resource: "pods", namespace: Some(namespace) });
            }
            DryRunOutcome::Refused { message: status.message }
        }
        Ok(Err(error)) => DryRunOutcome::NoResponse(crate::cluster::explain(&error)),
        Err(_) => DryRunOutcome::NoResponse(caller.timeout_message()),
    }
}

fn image(observations: &Observations) -> Option<&str> {
    let deployment = observations.deployments.found()?.first()?;
    let containers = deployment.spec.template.spec.as_ref()?.containers.as_ref()?;
    containers.first()?.image.as_deref()
}

/// A pod that Pod Security `restricted` admits, with requests and limits for namespaces with a
/// quota.
fn pod(keys: &AnnotationKeys, template: &str, image: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "outrigger-check-",
            "labels": {"app.kubernetes.io/name": "outrigger-check"},
            "annotations": {keys.inject.as_str(): template},
        },
        "spec": {
            "automountServiceAccountToken": false,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "app", "image": image,
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}
