//! The webhook configuration, the Service and the replicas.

use super::*;

pub(super) const ROWS: &[Row] = &[
    // The webhook configuration.
    (
        "webhook deleted",
        |observations| {
            observations.configuration = Lookup::Absent;
            untouched(observations);
        },
        &[Code::WebhookDeleted, Code::NotInjected],
        "there is no MutatingWebhookConfiguration \"outrigger\"",
    ),
    (
        "no entry for namespaces",
        |observations| drop(entries(observations).remove(1)),
        &[Code::EntryMissing],
        "no entry \"namespaces.inject.outrigger.dev\"",
    ),
    (
        "another namespace is called",
        |observations| {
            entries(observations)[0].client_config.service.as_mut().expect("a Service").namespace = "elsewhere".into()
        },
        &[Code::WrongTarget, Code::WrongName],
        "calls Service elsewhere/outrigger:443/mutate",
    ),
    (
        "another path is called",
        |observations| {
            entries(observations)[1].client_config.service.as_mut().expect("a Service").path = Some("/".into())
        },
        &[Code::WrongTarget],
        "expected a Service of namespace \"outrigger-system\" with the path \"/mutate\"",
    ),
    (
        "another scope",
        |observations| entries(observations)[0].rules.as_mut().expect("rules")[0].scope = Some("*".into()),
        &[Code::Drift],
        "has rules [{",
    ),
    (
        "no second look",
        |observations| entries(observations)[0].reinvocation_policy = Some("Never".into()),
        &[Code::Drift],
        "has reinvocationPolicy \"Never\", expected \"IfNeeded\"",
    ),
    (
        "a condition is gone",
        |observations| entries(observations)[0].match_conditions = None,
        &[Code::Drift],
        "has matchConditions [], expected in it",
    ),
    (
        "our own pods are not left out",
        |observations| entries(observations)[0].object_selector = None,
        &[Code::Drift],
        "has objectSelector null, expected in it {\"key\":\"app.kubernetes.io/name\"",
    ),
    (
        "fewer namespaces are left out",
        |observations| {
            let selector = entries(observations)[0].namespace_selector.as_mut().expect("a selector");
            let values = selector.match_expressions.as_mut().expect("expressions")[0].values.as_mut().expect("values");
            values.retain(|value| value != "kube-system");
        },
        &[Code::Drift],
        "has namespaceSelector",
    ),
    (
        "what an operator may choose",
        |observations| {
            for entry in entries(observations) {
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
        "failurePolicy Ignore for pods that request templates, Ignore for other pods",
    ),
    // The Service and its endpoints.
    (
        "no Service",
        |observations| observations.service = Lookup::Absent,
        &[Code::ServiceMissing],
        "Service outrigger-system/outrigger does not exist",
    ),
    (
        "another port",
        |observations| {
            entries(observations)
                .iter_mut()
                .for_each(|entry| entry.client_config.service.as_mut().expect("a Service").port = Some(8443))
        },
        &[Code::ServicePortMissing],
        "has no port 8443, which the webhook configuration calls; it has 443",
    ),
    (
        "no endpoints",
        |observations| {
            observations.slices = Lookup::Found(Vec::new());
            observations.replicas = Lookup::Found(Vec::new());
            observations.served.clear();
            observations.deployments = Lookup::Found(vec![deployment(0, 0)]);
            refusal(observations, &failed("no endpoints available for service \"outrigger\""));
        },
        &[Code::NoEndpoints, Code::NoReplicas, Code::CallNoEndpoints],
        "has no ready endpoint (no pod is behind it)",
    ),
    (
        "endpoints that are not ready",
        |observations| {
            let Lookup::Found(slices) = &mut observations.slices else { panic!("slices") };
            for endpoint in slices[0].endpoints.as_mut().expect("endpoints") {
                endpoint.conditions.get_or_insert_default().ready = Some(false);
            }
        },
        &[Code::NoEndpoints],
        "2 endpoints known and none is ready",
    ),
    (
        "nobody is there, and the failure is ignored",
        |observations| {
            entries(observations)[0].failure_policy = Some("Ignore".into());
            observations.slices = Lookup::Found(Vec::new());
        },
        &[Code::NoEndpoints],
        "pods that request templates are created without their sidecars",
    ),
    (
        "labels that do not fit",
        |observations| observations.slices = Lookup::Found(Vec::new()),
        &[Code::NoEndpoints],
        "no endpoint is known",
    ),
    // The replicas.
    (
        "no Deployment",
        |observations| observations.deployments = Lookup::Found(Vec::new()),
        &[Code::DeploymentMissing],
        "no Deployment with the label",
    ),
    (
        "by a URL a Deployment may be elsewhere",
        |observations| {
            by_url(observations);
            observations.deployments = Lookup::Found(Vec::new());
        },
        &[],
        "calls https://outrigger.outrigger-system.svc:9443/mutate",
    ),
    (
        "an image that does not come",
        |observations| {
            observations.deployments = Lookup::Found(vec![deployment(2, 1)]);
            let replica = &mut replicas(observations)[1];
            replica.is_ready = false;
            replica.waiting = vec!["ImagePullBackOff: not found".into()];
            replica.admin = Err("the pod is not running".into());
        },
        &[Code::ReplicasNotReady],
        "1 of 2 replicas ready (pod b: ImagePullBackOff: not found)",
    ),
    (
        "an old replica that serves in place of a new one",
        |observations| {
            let mut deployment = deployment(2, 2);
            deployment.status.as_mut().expect("a status").replicas = Some(3);
            observations.deployments = Lookup::Found(vec![deployment]);
            let mut replica = replicas(observations)[1].clone();
            (replica.pod, replica.is_ready) = ("c".into(), false);
            replica.waiting = vec!["ImagePullBackOff: not found".into()];
            replica.admin = Err("the pod is not running".into());
            replicas(observations).push(replica);
        },
        &[Code::ReplicasNotReady],
        "2 of 2 replicas ready, and they are not all of the newest revision (pod c: ImagePullBackOff: not found)",
    ),
    (
        "a replica that cannot be asked",
        |observations| replicas(observations)[1].admin = Err("no response within 10s".into()),
        &[Code::ReplicaSilent],
        "pod outrigger-system/b is ready and does not respond to `check`: no response within 10s",
    ),
    (
        "a replica that is not ready",
        |observations| admin(observations, 0).not_ready = vec!["tls-self-call not ready".into()],
        &[Code::ReplicaNote],
        "is not ready because of: tls-self-call not ready",
    ),
    (
        "a replica that has something to say",
        |observations| {
            admin(observations, 1).notes = vec!["certificate: cannot be read".into(), "template \"x\": broken".into()]
        },
        &[Code::ReplicaNote],
        "pod outrigger-system/b reports: certificate: cannot be read",
    ),
    (
        "two versions",
        |observations| admin(observations, 1).version.version = "9.9.9".into(),
        &[Code::VersionSkew],
        "the replicas run different versions: 0.1.0 on a; 9.9.9 on b",
    ),
    (
        "two revisions of the source",
        |observations| admin(observations, 1).version.revision = Some("abc".into()),
        &[Code::VersionSkew],
        "0.1.0 (abc) on b",
    ),
    (
        "another version than this program",
        |observations| (0..2).for_each(|index| admin(observations, index).version.version = "9.9.9".into()),
        &[Code::ProgramDiffers],
        "2 replicas of version 9.9.9; this program is 0.1.0",
    ),
    // The leader.
    (
        "a deleted lease",
        |observations| observations.lease = Lookup::Absent,
        &[Code::LeaseMissing],
        "there is no Lease outrigger-system/outrigger, so no replica leads",
    ),
    (
        "a lease that nobody renews",
        |observations| observations.lease = Lookup::Found(lease(observations.now - 2 * Duration::from_secs(60))),
        &[Code::NoLeader],
        "no replica holds the Lease outrigger-system/outrigger",
    ),
    (
        "a lease that was released",
        |observations| {
            let Lookup::Found(lease) = &mut observations.lease else { panic!("a lease") };
            lease.spec.as_mut().expect("a spec").holder_identity = Some(String::new());
        },
        &[Code::NoLeader],
        "no replica renews certificates",
    ),
    (
        "no lease where somebody else issues the certificates",
        |observations| {
            observations.lease = Lookup::Absent;
            let other = other_authority(AuthorityKind::Development);
            set_bundle(observations, Some(other.certificate().pem().as_bytes()));
            serve(observations, leaf(&other, "outrigger.outrigger-system.svc", CERTIFICATES.now, 7 * DAY));
        },
        &[],
        "caBundle covers",
    ),
];
