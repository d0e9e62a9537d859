//! Problems with templates, namespaces, the dry run, and objects that cannot be read.

use super::*;

pub(super) const ROWS: &[Row] = &[
    // Templates.
    (
        "no templates",
        |observations| {
            (0..2).for_each(|index| admin(observations, index).templates.clear());
            requesters(observations).clear();
        },
        &[Code::NoTemplates],
        "no replica has a template",
    ),
    (
        "a broken template",
        |observations| {
            for index in 0..2 {
                let template = &mut admin(observations, index).templates[1];
                template.revision = None;
                template.problem = Some("spec.sidecar: unknown field".into());
            }
        },
        &[Code::TemplateInvalid],
        "template \"proxy\" is invalid, and pods that request it are refused: spec.sidecar: unknown field",
    ),
    (
        "a broken template that was good once",
        |observations| (0..2).for_each(|index| admin(observations, index).templates[1].problem = Some("bad".into())),
        &[Code::TemplateInvalid],
        "its last good revision 0123456789 is served",
    ),
    (
        "templates whose source has vanished",
        |observations| {
            for index in 0..2 {
                for template in &mut admin(observations, index).templates {
                    template.state = "orphaned".into();
                    template.problem = Some("its directory has no template file any more".into());
                }
            }
        },
        &[Code::TemplateOrphaned],
        "the source of 2 templates has vanished, and the last good revision is served until a replica restarts: log-collector, proxy",
    ),
    (
        "a template with a warning",
        |observations| {
            let warnings = vec!["proxy.yaml:7:3: spec.sidecars[0].new: unknown field".to_owned()];
            (0..2).for_each(|index| admin(observations, index).templates[1].warnings = warnings.clone())
        },
        &[Code::TemplateWarning],
        "template \"proxy\": proxy.yaml:7:3: spec.sidecars[0].new: unknown field",
    ),
    (
        "another revision",
        |observations| admin(observations, 1).templates[0].revision = Some("9876543210".into()),
        &[Code::TemplateSkew],
        "differs among the replicas: 0123456789 on a; 9876543210 on b",
    ),
    (
        "a template on one replica alone",
        |observations| drop(admin(observations, 1).templates.remove(1)),
        &[Code::TemplateSkew],
        "template \"proxy\" differs among the replicas: 0123456789 on a; none on b",
    ),
    (
        "missing template",
        |observations| {
            requesters(observations).push(requester("Deployment", "shop", &["metrics-agent"], PodState::NoPod))
        },
        &[Code::TemplateMissing],
        "template \"metrics-agent\" is requested by Deployment shop/web, and no replica has it (loaded: log-collector, proxy)",
    ),
    (
        "missing template of a namespace",
        |observations| {
            label(observations, "shop", "enabled");
            namespace_of(observations, "shop").annotations.insert("outrigger.dev/inject".into(), "none-such".into());
        },
        &[Code::TemplateMissing],
        "is requested by Namespace shop",
    ),
    // Namespaces.
    (
        "wrong namespace label",
        |observations| label(observations, "shop", "true"),
        &[Code::LabelUnknown],
        "namespace \"shop\" has the label outrigger.dev/injection=\"true\", expected \"enabled\" or \"disabled\"",
    ),
    (
        "a list without its label",
        |observations| {
            drop(namespace_of(observations, "shop").annotations.insert("outrigger.dev/inject".into(), "proxy".into()))
        },
        &[Code::DefaultListWithoutLabel],
        "namespace \"shop\" has the default list \"proxy\" and not the label outrigger.dev/injection=enabled",
    ),
    (
        "a list that requests nothing",
        |observations| {
            drop(namespace_of(observations, "shop").annotations.insert("outrigger.dev/inject".into(), "false".into()))
        },
        &[],
        "0 of 4 namespaces with the label",
    ),
    (
        "pods that ask where nothing is injected",
        |observations| label(observations, "shop", "disabled"),
        &[Code::NamespaceDisabled],
        "templates are requested there by Deployment shop/web, Pod shop/web",
    ),
    (
        "pods that ask where the webhook is not called",
        |observations| {
            requesters(observations).push(requester("Pod", "kube-system", &["proxy"], PodState::WithoutStatus))
        },
        &[Code::NamespaceExcluded],
        "in namespace \"kube-system\" by Pod kube-system/web",
    ),
    // The dry run.
    (
        "denied",
        |observations| {
            refusal(
                observations,
                "admission webhook \"pods.inject.outrigger.dev\" denied the request: template_not_allowed: template \"x\" is not for this pod",
            );
        },
        &[Code::Denied],
        "template_not_allowed",
    ),
    (
        "NetworkPolicy",
        |observations| {
            refusal(
                observations,
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
        |observations| refusal(observations, &failed("dial tcp: connect: connection refused")),
        &[Code::CallRefused],
        "connection refused",
    ),
    (
        "wrong name",
        |observations| refusal(observations, &failed("x509: certificate is valid for a, not b")),
        &[Code::CallWrongName],
        "not b",
    ),
    (
        "another fault",
        |observations| refusal(observations, &failed("an error on the server")),
        &[Code::CallFailed],
        "an error on the server",
    ),
    (
        "somebody else refuses",
        |observations| refusal(observations, "admission webhook \"images.example\" denied the request: no"),
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
        |observations| {
            entries(observations)[0].failure_policy = Some("Ignore".into());
            observations.service = Lookup::Absent;
            untouched(observations);
        },
        &[Code::ServiceMissing, Code::NotInjected],
        "failurePolicy Ignore admits the pod anyway",
    ),
    (
        "a namespace that is disabled was chosen",
        |observations| {
            label(observations, "default", "disabled");
            untouched(observations);
        },
        &[Code::NotInjected],
        "the namespace has the label outrigger.dev/injection=disabled",
    ),
    (
        "a namespace that is left out was chosen",
        |observations| {
            untouched(observations);
            let DryRun::Sent { namespace, .. } = &mut observations.dry_run else { panic!("made") };
            *namespace = "kube-system".into();
        },
        &[Code::NotInjected],
        "excludes this namespace",
    ),
    (
        "no namespace for it",
        |observations| observations.dry_run = DryRun::NotSent("there is none".into()),
        &[Code::TrialImpossible],
        "no dry-run pod was sent: there is none",
    ),
    (
        "no answer to it",
        |observations| dry_run_outcome(observations, DryRunOutcome::NoResponse("no response within 10s".into())),
        &[Code::TrialImpossible],
        "got no response: no response within 10s",
    ),
    // Workloads.
    (
        "workloads whose pods are refused",
        |observations| {
            let message = "admission webhook \"pods.inject.outrigger.dev\" denied the request: parameter_invalid: no";
            let titles = ["Deployment shop/web", "Job shop/once"];
            observations.trials.denied = titles.map(|title| (title.to_owned(), message.to_owned())).into();
        },
        &[Code::WorkloadRefused],
        "the pods of 2 workloads are refused (Deployment shop/web, Job shop/once): parameter_invalid: no\n",
    ),
    (
        "a controller that was refused lately",
        |observations| {
            // What was tried since is told by the dry run.
            refused_lately(observations, "ReplicaSet", "web-5f6c");
            refused_lately(observations, "ReplicaSet", "api-1a2b");
            refused_lately(observations, "ReplicaSet", "api-1a2b");
            refused_lately(observations, "StatefulSet", "db");
        },
        &[Code::WorkloadRefused],
        "the pods of 2 workloads are refused (Deployment shop/api, StatefulSet shop/db): conflict: two ports\n",
    ),
    (
        "a misspelt key",
        |observations| keyed(observations, KeyPlace::PodAnnotation, "outrigger.dev/injct"),
        &[Code::KeyUnread],
        "annotation outrigger.dev/injct: nothing reads this key; did you mean \"outrigger.dev/inject\"? (1 object: Deployment shop/web)",
    ),
    (
        "an annotation of the Deployment itself",
        |observations| keyed(observations, KeyPlace::OtherAnnotation, "outrigger.dev/inject"),
        &[Code::KeyUnread],
        "annotation outrigger.dev/inject has no effect here: it must be an annotation of the pod",
    ),
    (
        "a label instead of an annotation",
        |observations| keyed(observations, KeyPlace::PodLabel, "outrigger.dev/inject"),
        &[Code::KeyUnread],
        "label outrigger.dev/inject has no effect here",
    ),
    (
        "another spelling of the domain",
        |observations| keyed(observations, KeyPlace::PodAnnotation, "outriger.dev/inject"),
        &[Code::KeyUnread],
        "did you mean \"outrigger.dev/inject\"?",
    ),
    (
        "a parameter of a template that is not requested",
        |observations| keyed(observations, KeyPlace::PodAnnotation, "proxy.outrigger.dev/logDir"),
        &[Code::KeyUnread],
        "the pod does not request template \"proxy\"",
    ),
    (
        "a parameter of a template that every pod gets",
        |observations| {
            (0..2).for_each(|index| admin(observations, index).templates[1].injection = "Automatic".into());
            keyed(observations, KeyPlace::PodAnnotation, "proxy.outrigger.dev/logDir");
        },
        &[],
        "1 workload with pods that request templates, and none is refused",
    ),
    (
        "a parameter where the templates are not known",
        |observations| {
            for index in 0..2 {
                replicas(observations)[index].is_ready = false;
                replicas(observations)[index].admin = Err("no".into());
            }
            keyed(observations, KeyPlace::PodAnnotation, "log-collector.outrigger.dev/anything");
        },
        &[],
        "1 workload with pods that request templates, and none is refused",
    ),
    (
        "a misspelt label of a namespace",
        |observations| {
            let shop = namespace_of(observations, "shop");
            shop.labels.insert("outrigger.dev/injecton".into(), "enabled".into());
        },
        &[Code::KeyUnread],
        "label outrigger.dev/injecton: nothing reads this key; did you mean \"outrigger.dev/injection\"? (1 object: Namespace shop)",
    ),
    // Pods that lack their sidecar.
    (
        "pods without their sidecar",
        |observations| {
            requesters(observations)
                .extend((0..12).map(|_| requester("Pod", "shop", &["proxy"], PodState::WithoutStatus)))
        },
        &[Code::PodWithoutSidecar],
        "12 pods requested a sidecar and run without it: shop/web",
    ),
    (
        "pods of an older revision",
        |observations| {
            let pods = requesters(observations).iter_mut().filter(|one| one.pod == PodState::WithStatus);
            pods.for_each(|pod| drop(pod.revisions.insert("proxy".into(), "aaaaaaaaaa".into())));
        },
        &[Code::PodOutdated],
        "1 pod with an older revision of template \"proxy\" than 0123456789, which is served: shop/web",
    ),
    (
        "pods of the current revision, and of a template that is gone",
        |observations| {
            let pods = requesters(observations).iter_mut().filter(|one| one.pod == PodState::WithStatus);
            let revisions = [("proxy", "0123456789"), ("gone", "aaaaaaaaaa")];
            let revisions = revisions.map(|(name, revision)| (name.to_owned(), revision.to_owned()));
            pods.for_each(|pod| pod.revisions = revisions.clone().into());
        },
        &[],
        "1 pod with their sidecars",
    ),
    // Objects that cannot be read.
    (
        "a right is missing",
        |observations| {
            observations.requesters = Lookup::Unknown;
            let right = "list pods in the whole cluster".to_owned();
            observations.failures = vec![Failure::Forbidden { right: right.clone() }, Failure::Forbidden { right }];
        },
        &[Code::Forbidden],
        "you may not list pods in the whole cluster, so it was not checked",
    ),
    (
        "no answer",
        |observations| {
            observations.failures =
                vec![Failure::Other { what: "list namespaces".into(), problem: "no response within 10s".into() }]
        },
        &[Code::NotExamined],
        "cannot list namespaces: no response within 10s",
    ),
    (
        "nothing may be seen",
        |observations| {
            *observations = Observations::unknown(observations.target.clone(), observations.now + Duration::ZERO)
        },
        &[Code::TrialImpossible, Code::NothingKnown],
        "too little was read to call this installation healthy",
    ),
    (
        "the configuration may not be seen, and a pod is injected",
        |observations| observations.configuration = Lookup::Unknown,
        &[],
        "was injected with template \"log-collector\"",
    ),
];
