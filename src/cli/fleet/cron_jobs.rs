//! Names the CronJob as owner of pods whose Job it has created.
//!
//! Only the Job names its CronJob. Invariant: where Jobs cannot be read, their pods stay those of the Job.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::ListParams;
use kube::core::{ObjectMeta, PartialObjectMeta};

use super::{Controller, Owner, Scope, TemplatePod};
use crate::cli::cluster::{ApiRequest, Caller, Lookup, filter_page};

/// The API group of Jobs and CronJobs.
const BATCH: &str = "batch";

/// Replaces the Job of each pod by its CronJob. Jobs are listed only if a pod has one, by their metadata.
pub(in crate::cli) async fn resolve_cron_jobs(caller: &Caller, scope: &Scope, pods: &mut [TemplatePod]) {
    if !pods.iter().any(|pod| uid_of_job(pod).is_some()) {
        return;
    }
    let api: Api<Job> = scope.api(&caller.client);
    let request = ApiRequest { verb: "list", resource: "jobs", namespace: scope.namespace.as_deref() };
    let api = &api;
    let page = |params: ListParams| async move {
        Ok(filter_page(api.list_metadata(&params).await?, |job: PartialObjectMeta<Job>| cron_job_of(job.metadata)))
    };
    if let Lookup::Found(found) = caller.pages(&request, ListParams::default(), page).await {
        replace(&found.into_iter().collect(), pods);
    }
}

/// The uid of a Job and the name of the CronJob that has created it.
fn cron_job_of(job: ObjectMeta) -> Option<(String, String)> {
    let owner = Controller::of(job.owner_references)?;
    let is_cron_job = owner.kind == "CronJob" && owner.group == BATCH;
    is_cron_job.then_some((job.uid?, owner.name))
}

fn uid_of_job(pod: &TemplatePod) -> Option<&str> {
    let controller = pod.controller.as_ref()?;
    (controller.kind == "Job" && controller.group == BATCH).then_some(controller.uid.as_str())
}

fn replace(cron_jobs: &BTreeMap<String, String>, pods: &mut [TemplatePod]) {
    for pod in pods {
        if let Some(name) = uid_of_job(pod).and_then(|uid| cron_jobs.get(uid)) {
            pod.owner = Owner { kind: "CronJob".to_owned(), name: name.clone() };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;
    use crate::cli::cluster::Failure;

    fn pod(kind: &str, group: &str, uid: &str) -> TemplatePod {
        let text = str::to_owned;
        let controller = Controller { group: text(group), kind: text(kind), name: text("nightly-1"), uid: text(uid) };
        let owner = Owner { kind: text(kind), name: text("nightly-1") };
        TemplatePod { owner, controller: Some(controller), ..TemplatePod::default() }
    }

    /// The owners of pods of three Jobs and of one other controller, and what could not be read.
    async fn owners(status: u16, answer: Value) -> (Vec<String>, Vec<Failure>) {
        let server = service_fn(move |request: Request<Body>| {
            assert_eq!(request.uri().path(), "/apis/batch/v1/namespaces/shop/jobs");
            let response = Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
            async move { response }
        });
        let caller = Caller::new(Client::new(server, "default"), Duration::from_secs(5));
        let scope = Scope { namespace: Some("shop".to_owned()), selector: Some("app=web".to_owned()) };
        let jobs = [("Job", "batch", "a"), ("Job", "batch", "b"), ("Job", "batch", "c"), ("Job", "other.example", "a")];
        let mut pods = jobs.map(|(kind, group, uid)| pod(kind, group, uid));
        resolve_cron_jobs(&caller, &scope, &mut pods).await;
        (pods.iter().map(|pod| pod.owner.to_string()).collect(), caller.failures())
    }

    #[tokio::test]
    async fn pods_of_a_run_belong_to_the_cron_job() {
        let job = |uid: &str, api_version: &str, kind: &str| {
            let owner =
                json!({"apiVersion": api_version, "kind": kind, "name": "nightly", "uid": "o", "controller": true});
            json!({"metadata": {"name": "nightly-1", "uid": uid, "ownerReferences": [owner]}})
        };
        let items =
            [job("a", "batch/v1", "CronJob"), job("b", "example.com/v1", "CronJob"), json!({"metadata": {"uid": "c"}})];
        let (owners, failures) = owners(200, json!({"metadata": {}, "items": items})).await;
        assert_eq!(owners, ["cronjob/nightly", "job/nightly-1", "job/nightly-1", "job/nightly-1"]);
        assert_eq!(failures, []);
    }

    #[tokio::test]
    async fn without_the_right_to_list_jobs_each_run_keeps_its_row() {
        let status = json!({"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "x"});
        let (owners, failures) = owners(403, status).await;
        assert_eq!(owners, ["job/nightly-1"; 4]);
        assert_eq!(failures, [Failure::Forbidden { right: "list jobs in namespace \"shop\"".to_owned() }]);
    }

    #[tokio::test]
    async fn jobs_are_not_listed_where_no_pod_has_one() {
        let server = service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>(std::io::Error::other("asked")) });
        let caller = Caller::new(Client::new(server, "default"), Duration::from_secs(5));
        resolve_cron_jobs(&caller, &Scope { namespace: None, selector: None }, &mut [TemplatePod::default()]).await;
        assert_eq!(caller.failures(), []);
    }
}
