//! The dry-run pod: what it looks like, and how it is sent. The API server stores nothing of it.

use kube::Api;
use kube::api::{DynamicObject, PostParams};
use serde_json::json;
use tokio::time::timeout;

use super::super::facts::{Answer, Facts, Trial};
use super::super::judge::{choose_namespace, choose_templates};
use super::super::objects;
use super::call::{Caller, Wanted};
use crate::inject::annotations::Keys;
use crate::inject::status::Status;

/// What the user has chosen.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub namespace: Option<String>,
    pub template: Option<String>,
}

/// Any image will do, since nothing runs; that of the installation passes where images are restricted.
const IMAGE: &str = "registry.example/outrigger-check:1";

pub async fn make(caller: &Caller, facts: &Facts, wish: &Wish) -> Trial {
    let Some(namespace) = wish.namespace.clone().or_else(|| choose_namespace(facts)) else {
        return Trial::NotMade("there is no namespace in which a pod would be injected".to_owned());
    };
    let templates = wish.template.clone().map_or_else(|| choose_templates(facts), |template| vec![template]);
    let mut first = None;
    for template in templates {
        let answer = send(caller, facts, &namespace, &template).await;
        let is_good = matches!(&answer, Answer::Pod { templates } if templates.contains(&template));
        let trial = Trial::Made { namespace: namespace.clone(), template, answer };
        let is_denied = matches!(&trial, Trial::Made { answer: Answer::Refused { message, .. }, .. } if message.contains("denied the request"));
        if is_good {
            return trial;
        }
        first.get_or_insert(trial);
        // Another template may fit a plain pod; nothing else changes with it.
        if !is_denied {
            break;
        }
    }
    first.unwrap_or_else(|| Trial::NotMade("no replica has a template that could be asked for".to_owned()))
}

async fn send(caller: &Caller, facts: &Facts, namespace: &str, template: &str) -> Answer {
    let keys = Keys::new(&facts.target.domain);
    let pod: DynamicObject = match serde_json::from_value(pod(&keys, template, image(facts).unwrap_or(IMAGE))) {
        Ok(pod) => pod,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(caller.client.clone(), namespace, &objects::pods());
    let params = PostParams { dry_run: true, field_manager: Some("outrigger-check".to_owned()) };
    // The API server may wait for the webhook as long as its entry says, and has to tell of it.
    let patience = facts.pods_entry().and_then(|entry| entry.timeout_seconds).unwrap_or(10);
    let patience = std::time::Duration::from_secs(u64::try_from(patience).unwrap_or(10) + 5);
    match timeout(caller.limit.max(patience), api.create(&params, &pod)).await {
        Ok(Ok(pod)) => {
            let status = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(&keys.status));
            let status = status.and_then(|status| Status::parse(status));
            let templates = status.map(|status| status.templates).unwrap_or_default();
            Answer::Pod { templates: templates.into_iter().map(|template| template.name).collect() }
        }
        Ok(Err(kube::Error::Api(status))) => {
            if status.code == 403 && status.message.contains("cannot create resource") {
                caller.forbid(&Wanted { verb: "create", resource: "pods", namespace: Some(namespace) });
            }
            Answer::Refused { message: status.message }
        }
        Ok(Err(error)) => Answer::Failed(crate::cluster::explain(&error)),
        Err(_) => Answer::Failed(caller.silence()),
    }
}

fn image(facts: &Facts) -> Option<&str> {
    let deployment = facts.deployments.found()?.first()?;
    let containers = deployment.spec.template.spec.as_ref()?.containers.as_ref()?;
    containers.first()?.image.as_deref()
}

/// A pod that the strictest rules of a cluster allow, with requests and limits for namespaces that have a quota.
fn pod(keys: &Keys, template: &str, image: &str) -> serde_json::Value {
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
