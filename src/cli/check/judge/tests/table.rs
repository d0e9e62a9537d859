//! One thing wrong with an installation, a row each.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MatchCondition;

use super::super::super::facts::{Answer, Facts, Failure, From, Look, PodState, Trial};
use super::super::super::finding::Code;
use super::world::*;
use crate::pki::{Authority, Subject};

/// What is wrong, how, which codes tell of it, and a part of what is said.
pub type Row = (&'static str, fn(&mut Facts), &'static [Code], &'static str);

fn failed(cause: &str) -> String {
    format!("failed calling webhook \"pods.inject.outrigger.dev\": failed to call webhook: {cause}")
}

fn other_authority(subject: Subject) -> Authority {
    Authority::make(subject, CERTIFICATES.now, 365 * DAY).expect("an authority")
}

fn expect_in_bundle(facts: &mut Facts, index: usize, authority: &Authority) {
    let bundle = authority.certificate().pem().into_bytes();
    entries(facts)[index].client_config.ca_bundle = Some(k8s_openapi::ByteString(bundle));
}

pub const TABLE: &[Row] = &[
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
    // Certificates.
    (
        "no bundle",
        |facts| set_bundle(facts, None),
        &[Code::BundleEmpty],
        "no caBundle in entries \"pods.inject.outrigger.dev\", \"namespaces.inject.outrigger.dev\"",
    ),
    (
        "a URL beside a Deployment",
        by_url,
        &[Code::Drift],
        "calls https://outrigger.outrigger-system.svc:9443/mutate, expected a Service",
    ),
    (
        "an entry of somebody else",
        |facts| {
            let mut entry = entries(facts)[0].clone();
            entry.name = "pods.elsewhere.example".into();
            entries(facts).push(entry);
        },
        &[Code::Drift],
        "has an entry \"pods.elsewhere.example\", which is not ours and calls Service outrigger-system/outrigger:443/mutate",
    ),
    (
        "by a URL the system's certificates are trusted",
        |facts| {
            by_url(facts);
            facts.deployments = Look::Found(Vec::new());
            set_bundle(facts, None);
        },
        &[],
        "calls https://",
    ),
    (
        "no certificate in the bundle",
        |facts| set_bundle(facts, Some(b"garbage")),
        &[Code::BundleInvalid],
        "holds no certificate that can be read",
    ),
    (
        "wrong bundle",
        |facts| {
            let other = other_authority(Subject::ClusterAuthority);
            set_bundle(facts, Some(other.certificate().pem().as_bytes()));
            refusal(facts, &failed("tls: failed to verify certificate: x509: certificate signed by unknown authority"));
        },
        &[Code::WrongBundle, Code::CallUntrusted],
        "the caBundle of entries \"pods.inject.outrigger.dev\", \"namespaces.inject.outrigger.dev\" does not cover the certificate of pod a, pod b",
    ),
    (
        "wrong bundle in one entry",
        |facts| expect_in_bundle(facts, 1, &other_authority(Subject::ClusterAuthority)),
        &[Code::WrongBundle],
        "the caBundle of entry \"namespaces.inject.outrigger.dev\" does not cover",
    ),
    (
        "a bundle with more in it",
        |facts| {
            let other = other_authority(Subject::ClusterAuthority).certificate().pem();
            let both = format!("{other}{}", CERTIFICATES.authority.certificate().pem());
            set_bundle(facts, Some(both.as_bytes()));
        },
        &[],
        "caBundle covers what is served by pod a, pod b (until ",
    ),
    (
        "one replica serves what nobody trusts",
        |facts| {
            let other = other_authority(Subject::ClusterAuthority);
            facts.served[1].chain = Ok(leaf(&other, "outrigger.outrigger-system.svc", CERTIFICATES.now, DAY));
        },
        &[Code::WrongBundle],
        "does not cover the certificate of pod b",
    ),
    (
        "a certificate for another name",
        |facts| serve(facts, leaf(&CERTIFICATES.authority, "other.svc", CERTIFICATES.now, 7 * DAY)),
        &[Code::WrongName],
        "is not for \"outrigger.outrigger-system.svc\"",
    ),
    (
        "expired leaf",
        |facts| {
            facts.now = CERTIFICATES.now + 8 * DAY;
            refusal(facts, &failed("x509: certificate has expired or is not yet valid: current time …"));
        },
        &[Code::LeafExpired, Code::CallExpired],
        "the certificate of pod a, pod b has expired on 2",
    ),
    ("a clock that is behind", |facts| facts.now = CERTIFICATES.now - DAY, &[Code::LeafNotYetValid], "holds from 2"),
    (
        "a leaf that nobody renews",
        |facts| facts.now = CERTIFICATES.now + 6 * DAY,
        &[Code::LeafOverdue],
        "should have been renewed by now",
    ),
    ("a leaf in the last third of its life", |facts| facts.now = CERTIFICATES.now + 5 * DAY, &[], "caBundle covers"),
    (
        "a leaf of somebody else, who renews when he likes",
        |facts| {
            let other = other_authority(Subject::DevelopmentAuthority);
            set_bundle(facts, Some(other.certificate().pem().as_bytes()));
            serve(facts, leaf(&other, "outrigger.outrigger-system.svc", CERTIFICATES.now, 7 * DAY));
            facts.now = CERTIFICATES.now + 6 * DAY;
        },
        &[],
        "caBundle covers",
    ),
    (
        "expired authority",
        |facts| facts.now = CERTIFICATES.now + 366 * DAY,
        &[Code::LeafExpired, Code::CaExpired],
        "the authority of the certificate of pod a, pod b has expired on",
    ),
    (
        "an authority that nobody renews",
        |facts| {
            let now = CERTIFICATES.now + 300 * DAY;
            facts.now = now;
            serve(facts, leaf(&CERTIFICATES.authority, "outrigger.outrigger-system.svc", now, 7 * DAY));
        },
        &[Code::CaOverdue],
        "the authority of the certificate of pod a, pod b expires on",
    ),
    (
        "a handshake that fails",
        |facts| facts.served[0].chain = Err("connection refused".into()),
        &[Code::NoCertificate],
        "the certificate of pod a could not be seen: connection refused",
    ),
    (
        "what is no certificate",
        |facts| serve(facts, vec![vec![1, 2, 3].into()]),
        &[Code::NoCertificate],
        "its certificate cannot be parsed",
    ),
    (
        "a certificate from its Secret",
        |facts| {
            facts.served.truncate(1);
            facts.served[0].from = From::Secret;
            facts.served[0].by = "Secret outrigger-system/outrigger-serving".into();
        },
        &[Code::FromSecret],
        "no replica could be asked: what follows is of Secret outrigger-system/outrigger-serving",
    ),
    // Templates.
    (
        "no templates",
        |facts| {
            (0..2).for_each(|index| admin(facts, index).templates.clear());
            asks(facts).clear();
        },
        &[Code::NoTemplates],
        "no replica has a template",
    ),
    (
        "a broken template",
        |facts| {
            for index in 0..2 {
                let template = &mut admin(facts, index).templates[1];
                template.revision = None;
                template.problem = Some("spec.sidecar: unknown field".into());
            }
        },
        &[Code::TemplateInvalid],
        "template \"proxy\" is broken, and pods that ask for it are refused: spec.sidecar: unknown field",
    ),
    (
        "a broken template that was good once",
        |facts| (0..2).for_each(|index| admin(facts, index).templates[1].problem = Some("bad".into())),
        &[Code::TemplateInvalid],
        "its last good revision 0123456789 is served",
    ),
    (
        "another revision",
        |facts| admin(facts, 1).templates[0].revision = Some("9876543210".into()),
        &[Code::TemplateSkew],
        "differs among the replicas: 0123456789 on a; 9876543210 on b",
    ),
    (
        "a template on one replica alone",
        |facts| drop(admin(facts, 1).templates.remove(1)),
        &[Code::TemplateSkew],
        "template \"proxy\" differs among the replicas: 0123456789 on a; none on b",
    ),
    (
        "missing template",
        |facts| asks(facts).push(ask("Deployment", "shop", &["metrics-agent"], PodState::NoPod)),
        &[Code::TemplateMissing],
        "template \"metrics-agent\" is asked for by Deployment shop/web, and no replica has it (loaded: log-collector, proxy)",
    ),
    (
        "missing template of a namespace",
        |facts| {
            label(facts, "shop", "enabled");
            namespace_of(facts, "shop").annotations.insert("outrigger.dev/inject".into(), "none-such".into());
        },
        &[Code::TemplateMissing],
        "is asked for by Namespace shop",
    ),
    // Namespaces.
    (
        "wrong namespace label",
        |facts| label(facts, "shop", "true"),
        &[Code::LabelUnknown],
        "namespace \"shop\" has the label outrigger.dev/injection=\"true\", expected \"enabled\" or \"disabled\"",
    ),
    (
        "a list without its label",
        |facts| drop(namespace_of(facts, "shop").annotations.insert("outrigger.dev/inject".into(), "proxy".into())),
        &[Code::DefaultListWithoutLabel],
        "namespace \"shop\" has the default list \"proxy\" and not the label outrigger.dev/injection=enabled",
    ),
    (
        "a list that asks for nothing",
        |facts| drop(namespace_of(facts, "shop").annotations.insert("outrigger.dev/inject".into(), "false".into())),
        &[],
        "0 of 4 namespaces with the label",
    ),
    (
        "pods that ask where nothing is injected",
        |facts| label(facts, "shop", "disabled"),
        &[Code::NamespaceDisabled],
        "templates are asked for there by Deployment shop/web, Pod shop/web",
    ),
    (
        "pods that ask where the webhook is not called",
        |facts| asks(facts).push(ask("Pod", "kube-system", &["proxy"], PodState::WithoutStatus)),
        &[Code::NamespaceExcluded],
        "in namespace \"kube-system\" by Pod kube-system/web",
    ),
    // The dry run.
    (
        "denied",
        |facts| {
            refusal(
                facts,
                "admission webhook \"pods.inject.outrigger.dev\" denied the request: template_not_allowed: template \"x\" is not for this pod",
            );
        },
        &[Code::Denied],
        "template_not_allowed",
    ),
    (
        "NetworkPolicy",
        |facts| {
            refusal(
                facts,
                &failed(
                    "Post \"https://outrigger.outrigger-system.svc:443/mutate?timeout=5s\": context deadline exceeded",
                ),
            )
        },
        &[Code::CallTimeout],
        "context deadline exceeded",
    ),
    (
        "refused",
        |facts| refusal(facts, &failed("dial tcp: connect: connection refused")),
        &[Code::CallRefused],
        "connection refused",
    ),
    (
        "wrong name",
        |facts| refusal(facts, &failed("x509: certificate is valid for a, not b")),
        &[Code::CallWrongName],
        "not b",
    ),
    (
        "another fault",
        |facts| refusal(facts, &failed("an error on the server")),
        &[Code::CallFailed],
        "an error on the server",
    ),
    (
        "somebody else refuses",
        |facts| refusal(facts, "admission webhook \"images.example\" denied the request: no"),
        &[Code::TrialRefused],
        "not by this webhook: admission webhook \"images.example\"",
    ),
    (
        "not called",
        untouched,
        &[Code::NotInjected],
        "the webhook is not called (more conditions in the configuration?)",
    ),
    (
        "the failure is ignored",
        |facts| {
            entries(facts)[0].failure_policy = Some("Ignore".into());
            facts.service = Look::Absent;
            untouched(facts);
        },
        &[Code::ServiceMissing, Code::NotInjected],
        "failurePolicy Ignore admits the pod all the same",
    ),
    (
        "a namespace that is disabled was chosen",
        |facts| {
            label(facts, "default", "disabled");
            untouched(facts);
        },
        &[Code::NotInjected],
        "the namespace has the label outrigger.dev/injection=disabled",
    ),
    (
        "a namespace that is left out was chosen",
        |facts| {
            untouched(facts);
            let Trial::Made { namespace, .. } = &mut facts.trial else { panic!("made") };
            *namespace = "kube-system".into();
        },
        &[Code::NotInjected],
        "leaves this namespace out",
    ),
    (
        "no namespace for it",
        |facts| facts.trial = Trial::NotMade("there is none".into()),
        &[Code::TrialImpossible],
        "no dry-run pod was sent: there is none",
    ),
    (
        "no answer to it",
        |facts| answer(facts, Answer::Failed("no answer within 10s".into())),
        &[Code::TrialImpossible],
        "got no answer: no answer within 10s",
    ),
    // Pods that lack their sidecar.
    (
        "pods without their sidecar",
        |facts| asks(facts).extend((0..12).map(|_| ask("Pod", "shop", &["proxy"], PodState::WithoutStatus))),
        &[Code::SidecarMissing],
        "12 pods asked and run without their sidecar: shop/web",
    ),
    // What could not be seen.
    (
        "a right is missing",
        |facts| {
            facts.asks = Look::Unknown;
            let right = "list pods in the whole cluster".to_owned();
            facts.failures = vec![Failure::Forbidden { right: right.clone() }, Failure::Forbidden { right }];
        },
        &[Code::Forbidden],
        "you may not list pods in the whole cluster, so nothing is said of it",
    ),
    (
        "no answer",
        |facts| {
            facts.failures =
                vec![Failure::Other { what: "list namespaces".into(), problem: "no answer within 10s".into() }]
        },
        &[Code::NotExamined],
        "cannot list namespaces: no answer within 10s",
    ),
    (
        "nothing may be seen",
        |facts| *facts = Facts::unknown(facts.target.clone(), facts.now + Duration::ZERO),
        &[Code::TrialImpossible, Code::NothingKnown],
        "too little was seen to call this installation healthy",
    ),
    (
        "the configuration may not be seen, and a pod is injected",
        |facts| facts.configuration = Look::Unknown,
        &[],
        "came back with template \"log-collector\"",
    ),
];
