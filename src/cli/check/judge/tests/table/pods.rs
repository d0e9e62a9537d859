//! What is asked for and what becomes of a pod: templates, namespaces, the dry run, what could not be seen.

use super::*;

pub const ROWS: &[Row] = &[
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
