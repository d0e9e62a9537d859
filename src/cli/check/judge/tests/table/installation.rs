//! The webhook configuration, the Service and the replicas.

use super::*;

pub const ROWS: &[Row] = &[
    // The webhook configuration.
    (
        "webhook deleted",
        |facts| {
            facts.configuration = Look::Absent;
            untouched(facts);
        },
        &[Code::WebhookDeleted, Code::NotInjected],
        "there is no MutatingWebhookConfiguration \"outrigger\"",
    ),
    (
        "no entry for namespaces",
        |facts| drop(entries(facts).remove(1)),
        &[Code::EntryMissing],
        "no entry \"namespaces.inject.outrigger.dev\"",
    ),
    (
        "another namespace is called",
        |facts| entries(facts)[0].client_config.service.as_mut().expect("a Service").namespace = "elsewhere".into(),
        &[Code::WrongTarget, Code::WrongName],
        "calls Service elsewhere/outrigger:443/mutate",
    ),
    (
        "another path is called",
        |facts| entries(facts)[1].client_config.service.as_mut().expect("a Service").path = Some("/".into()),
        &[Code::WrongTarget],
        "expected a Service of namespace \"outrigger-system\" with the path \"/mutate\"",
    ),
    (
        "another scope",
        |facts| entries(facts)[0].rules.as_mut().expect("rules")[0].scope = Some("*".into()),
        &[Code::Drift],
        "has rules [{",
    ),
    (
        "no second look",
        |facts| entries(facts)[0].reinvocation_policy = Some("Never".into()),
        &[Code::Drift],
        "has reinvocationPolicy \"Never\", expected \"IfNeeded\"",
    ),
    (
        "a condition is gone",
        |facts| entries(facts)[0].match_conditions = None,
        &[Code::Drift],
        "has matchConditions [], expected in it",
    ),
    (
        "our own pods are not left out",
        |facts| entries(facts)[0].object_selector = None,
        &[Code::Drift],
        "has objectSelector null, expected in it {\"key\":\"app.kubernetes.io/name\"",
    ),
    (
        "fewer namespaces are left out",
        |facts| {
            let selector = entries(facts)[0].namespace_selector.as_mut().expect("a selector");
            let values = selector.match_expressions.as_mut().expect("expressions")[0].values.as_mut().expect("values");
            values.retain(|value| value != "kube-system");
        },
        &[Code::Drift],
        "has namespaceSelector",
    ),
    (
        "what an operator may choose",
        |facts| {
            for entry in entries(facts) {
                entry.failure_policy = Some("Ignore".into());
                entry.timeout_seconds = Some(7);
                let selector = entry.namespace_selector.as_mut().expect("a selector");
                let values =
                    selector.match_expressions.as_mut().expect("expressions")[0].values.as_mut().expect("values");
                values.push("payments".into());
                entry
                    .match_conditions
                    .as_mut()
                    .expect("conditions")
                    .insert(0, MatchCondition { name: "mine".into(), expression: "true".into() });
            }
        },
        &[],
        "failurePolicy Ignore for pods that ask, Ignore for other pods",
    ),
    // The Service and its endpoints.
    (
        "no Service",
        |facts| facts.service = Look::Absent,
        &[Code::ServiceMissing],
        "Service outrigger-system/outrigger does not exist",
    ),
    (
        "another port",
        |facts| {
            entries(facts)
                .iter_mut()
                .for_each(|entry| entry.client_config.service.as_mut().expect("a Service").port = Some(8443))
        },
        &[Code::ServicePortMissing],
        "has no port 8443, which the webhook configuration calls; it has 443",
    ),
    (
        "no endpoints",
        |facts| {
            facts.slices = Look::Found(Vec::new());
            facts.replicas = Look::Found(Vec::new());
            facts.served.clear();
            facts.deployments = Look::Found(vec![deployment(0, 0)]);
            refusal(facts, &failed("no endpoints available for service \"outrigger\""));
        },
        &[Code::NoEndpoints, Code::NoReplicas, Code::CallNoEndpoints],
        "has no ready endpoint (no pod is behind it)",
    ),
    (
        "endpoints that are not ready",
        |facts| {
            let Look::Found(slices) = &mut facts.slices else { panic!("slices") };
            for endpoint in slices[0].endpoints.as_mut().expect("endpoints") {
                endpoint.conditions.get_or_insert_default().ready = Some(false);
            }
        },
        &[Code::NoEndpoints],
        "2 endpoints known and none is ready",
    ),
    (
        "nobody is there, and the failure is ignored",
        |facts| {
            entries(facts)[0].failure_policy = Some("Ignore".into());
            facts.slices = Look::Found(Vec::new());
        },
        &[Code::NoEndpoints],
        "pods that ask are created without their sidecars",
    ),
    (
        "labels that do not fit",
        |facts| facts.slices = Look::Found(Vec::new()),
        &[Code::NoEndpoints],
        "no endpoint is known",
    ),
    // The replicas.
    (
        "no Deployment",
        |facts| facts.deployments = Look::Found(Vec::new()),
        &[Code::DeploymentMissing],
        "no Deployment with the label",
    ),
    (
        "by a URL a Deployment may be elsewhere",
        |facts| {
            by_url(facts);
            facts.deployments = Look::Found(Vec::new());
        },
        &[],
        "calls https://outrigger.outrigger-system.svc:9443/mutate",
    ),
    (
        "an image that does not come",
        |facts| {
            facts.deployments = Look::Found(vec![deployment(2, 1)]);
            let replica = &mut replicas(facts)[1];
            replica.is_ready = false;
            replica.waiting = vec!["ImagePullBackOff: not found".into()];
            replica.admin = Err("it does not run".into());
        },
        &[Code::ReplicasNotReady],
        "1 of 2 replicas ready (pod b: ImagePullBackOff: not found)",
    ),
    (
        "an old replica that serves in place of a new one",
        |facts| {
            let mut deployment = deployment(2, 2);
            deployment.status.as_mut().expect("a status").replicas = Some(3);
            facts.deployments = Look::Found(vec![deployment]);
            let mut replica = replicas(facts)[1].clone();
            (replica.pod, replica.is_ready) = ("c".into(), false);
            replica.waiting = vec!["ImagePullBackOff: not found".into()];
            replica.admin = Err("it does not run".into());
            replicas(facts).push(replica);
        },
        &[Code::ReplicasNotReady],
        "2 of 2 replicas ready, and they are not all of the newest revision (pod c: ImagePullBackOff: not found)",
    ),
    (
        "a replica that cannot be asked",
        |facts| replicas(facts)[1].admin = Err("no answer within 10s".into()),
        &[Code::ReplicaSilent],
        "pod outrigger-system/b is ready and cannot be asked: no answer within 10s",
    ),
    (
        "a replica that is not ready",
        |facts| admin(facts, 0).not_ready = vec!["tls-self-call not ready".into()],
        &[Code::ReplicaNote],
        "is not ready because of: tls-self-call not ready",
    ),
    (
        "a replica that has something to say",
        |facts| admin(facts, 1).notes = vec!["certificate: cannot be read".into(), "template \"x\": broken".into()],
        &[Code::ReplicaNote],
        "pod outrigger-system/b says: certificate: cannot be read",
    ),
    (
        "two versions",
        |facts| admin(facts, 1).version.version = "9.9.9".into(),
        &[Code::VersionSkew],
        "the replicas run different versions: 0.1.0 on a; 9.9.9 on b",
    ),
    (
        "two revisions of the source",
        |facts| admin(facts, 1).version.revision = Some("abc".into()),
        &[Code::VersionSkew],
        "0.1.0 (abc) on b",
    ),
    (
        "another version than this program",
        |facts| (0..2).for_each(|index| admin(facts, index).version.version = "9.9.9".into()),
        &[Code::ProgramDiffers],
        "2 replicas of version 9.9.9; this program is 0.1.0",
    ),
];
