//! Tests the findings of a healthy installation, and of one with a single problem.

mod healthy;
mod table;

use std::collections::BTreeSet;

use super::super::finding::{Code, Finding, Severity};
use super::super::observations::{DryRun, DryRunOutcome, Observations, PodState};
use super::{choose_namespace, choose_templates, evaluate, host_of};
use crate::cli::cluster::Lookup;
use crate::cli::terminal::Colours;
use crate::inject::Namespace;
use healthy::{healthy, requester, requesters, set_bundle};
use table::table;

/// The distinct codes of all findings that are not ok.
fn troubles(findings: &[Finding]) -> BTreeSet<&'static str> {
    findings.iter().filter(|finding| finding.severity != Severity::Ok).map(|finding| finding.code).collect()
}

fn changed(change: fn(&mut Observations)) -> Vec<Finding> {
    let mut observations = healthy();
    change(&mut observations);
    evaluate(&observations)
}

#[test]
fn a_healthy_installation_is_good_in_every_respect() {
    let findings = evaluate(&healthy());
    assert_eq!(troubles(&findings), BTreeSet::new(), "{findings:#?}");
    let good: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
    let all = Code::ALL.iter().filter(|code| code.severity() == Severity::Ok).map(|code| code.code());
    assert_eq!(good, all.collect::<Vec<_>>());
}

/// Each row of the table gives exactly its codes, and a message that contains its text.
#[test]
fn every_problem_is_reported_with_its_message() {
    for (name, change, codes, part) in table() {
        let findings = changed(*change);
        assert_eq!(troubles(&findings), codes.iter().map(|code| code.code()).collect(), "{name}: {findings:#?}");
        let text: String = findings.iter().map(|finding| format!("{}\n", finding.message)).collect();
        assert!(text.contains(part), "{name}: nothing says {part:?}:\n{text}");
    }
}

#[test]
fn every_problem_has_a_hint() {
    for (name, change, ..) in table() {
        for finding in changed(*change) {
            assert_eq!(finding.hint.is_some(), finding.severity != Severity::Ok, "{name}: {finding:?}");
            assert!(finding.hint.is_none_or(|hint| hint.len() > 10), "{name}");
        }
    }
}

#[test]
fn every_code_is_reported_by_some_row() {
    let mut found = troubles(&evaluate(&healthy()));
    found.extend(evaluate(&healthy()).iter().map(|finding| finding.code));
    found.extend(table().flat_map(|(_, _, codes, _)| codes.iter().map(|code| code.code())));
    let missing: Vec<&str> = Code::ALL.iter().map(|code| code.code()).filter(|code| !found.contains(code)).collect();
    assert!(missing.is_empty(), "no row finds {missing:?}");
}

/// Many mistakes of one tenant hide no other finding: the result stays short and gives their
/// number.
#[test]
fn mistakes_of_many_tenants_keep_the_result_short() {
    let mut observations = healthy();
    let names: Vec<String> = (0..200).map(|number| format!("a-template-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for number in 0..2000 {
        let namespace = format!("tenant-{number}");
        let annotations = [("outrigger.dev/inject".to_owned(), format!("{}-{number}", "a".repeat(200_000)))];
        let labels = [("outrigger.dev/injection".to_owned(), "no".to_owned())].into_iter().take(number % 2).collect();
        let Lookup::Found(namespaces) = &mut observations.namespaces else { panic!("namespaces") };
        namespaces.push(Namespace { name: namespace.clone(), labels, annotations: annotations.into() });
        requesters(&mut observations).push(requester("CronJob", &namespace, &names, PodState::NoPod));
        requesters(&mut observations).push(requester("Pod", &namespace, &["log-collector"], PodState::WithoutStatus));
    }
    set_bundle(&mut observations, None);
    let findings = evaluate(&observations);
    let text = super::super::report::text(&findings, Colours::Hidden);
    assert!(text.lines().count() < 200 && text.len() < 100_000, "{} bytes", text.len());
    let expected: BTreeSet<&str> = [
        Code::BundleEmpty,
        Code::DefaultListWithoutLabel,
        Code::LabelUnknown,
        Code::PodWithoutSidecar,
        Code::TemplateMissing,
    ]
    .map(Code::code)
    .into();
    assert_eq!(troubles(&findings), expected);
    let mut lists = findings.iter().filter(|finding| finding.code == Code::DefaultListWithoutLabel.code());
    assert_eq!(lists.clone().count(), 21);
    let last = lists.next_back().map(|finding| (finding.severity, finding.message.as_str()));
    assert_eq!(last, Some((Severity::Warning, "and 980 more such findings")));
    let askers = "template \"a-template-0\" is requested by CronJob tenant-0/web, ";
    assert!(text.contains(askers) && text.contains(" and 1990 more, and no replica has it"), "{text}");
}

/// Messages of real API servers that could not call a webhook.
#[test]
fn messages_of_the_api_server_are_distinguished() {
    let table = [
        ("no endpoints available for service \"outrigger\"", Code::CallNoEndpoints),
        ("service \"outrigger\" not found", Code::CallNoEndpoints),
        ("dial tcp 10.0.0.7:443: connect: connection refused", Code::CallRefused),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", Code::CallUntrusted),
        (
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time",
            Code::CallExpired,
        ),
        ("tls: failed to verify certificate: x509: certificate is valid for a.svc, not b.svc", Code::CallWrongName),
        ("context deadline exceeded", Code::CallTimeout),
        (
            "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
            Code::CallTimeout,
        ),
        ("dial tcp 10.0.0.7:443: i/o timeout", Code::CallTimeout),
        ("dial tcp 10.0.0.7:443: connect: no route to host", Code::CallTimeout),
        ("the server could not find the requested resource: 500", Code::CallFailed),
    ];
    for (cause, code) in table {
        let mut observations = healthy();
        let message = format!(
            "Internal error occurred: failed calling webhook \"pods.inject.outrigger.dev\": failed to call webhook: Post \"https://outrigger.outrigger-system.svc:443/mutate?timeout=5s\": {cause}"
        );
        observations.dry_run = DryRun::Sent {
            namespace: "default".into(),
            template: "a".into(),
            outcome: DryRunOutcome::Refused { message },
        };
        assert_eq!(troubles(&evaluate(&observations)), [code.code()].into(), "{cause}");
    }
}

/// If replicas respond but the API server's calls fail, the network in between is the cause.
#[test]
fn a_blocked_connection_is_distinguished_from_a_replica_that_is_down() {
    let refused = |is_ready: bool| {
        let mut observations = healthy();
        // A replica that is not ready may respond to us, but gets no calls of the API server.
        healthy::replicas(&mut observations).iter_mut().for_each(|replica| replica.is_ready = is_ready);
        let message = "failed calling webhook \"pods.inject.outrigger.dev\": context deadline exceeded".to_owned();
        observations.dry_run = DryRun::Sent {
            namespace: "default".into(),
            template: "a".into(),
            outcome: DryRunOutcome::Refused { message },
        };
        let findings = evaluate(&observations);
        let finding = findings.iter().find(|finding| finding.code == Code::CallTimeout.code()).expect("found");
        finding.hint.clone().expect("a hint")
    };
    assert!(refused(true).contains("NetworkPolicy or a firewall"), "{}", refused(true));
    assert!(refused(false).contains("no replica is ready"), "{}", refused(false));
}

#[test]
fn the_dry_run_uses_a_namespace_and_templates_that_can_succeed() {
    let mut observations = healthy();
    assert_eq!(choose_namespace(&observations).as_deref(), Some("default"));
    healthy::label(&mut observations, "default", "disabled");
    assert_eq!(choose_namespace(&observations).as_deref(), Some("shop"));
    healthy::label(&mut observations, "shop", "disabled");
    assert_eq!(choose_namespace(&observations), None, "system namespaces and ours are left alone");
    observations.namespaces = crate::cli::cluster::Lookup::Unknown;
    assert_eq!(choose_namespace(&observations).as_deref(), Some("default"));
    assert_eq!(choose_templates(&observations), ["log-collector", "proxy"]);
    observations.replicas = crate::cli::cluster::Lookup::Unknown;
    assert_eq!(choose_templates(&observations), ["log-collector"]);
}

/// The hint about rights would lead astray.
#[test]
fn a_foreign_webhook_that_fails_is_named_in_the_hint() {
    for message in [
        "Internal error occurred: failed calling webhook \"images.example\": context deadline exceeded",
        "admission webhook \"images.example\" denied the request: no",
    ] {
        let mut observations = healthy();
        healthy::refusal(&mut observations, message);
        let findings = evaluate(&observations);
        let finding = findings.iter().find(|finding| finding.code == Code::TrialRefused.code()).expect("found");
        let hint = finding.hint.as_deref().expect("a hint");
        assert!(hint.starts_with("webhook \"images.example\" belongs to another program"), "{hint}");
    }
    let mut observations = healthy();
    healthy::refusal(&mut observations, "pods \"x\" is forbidden: exceeded quota");
    let findings = evaluate(&observations);
    let finding = findings.iter().find(|finding| finding.code == Code::TrialRefused.code()).expect("found");
    assert!(finding.hint.as_deref().is_some_and(|hint| hint.contains("the right to create pods")));
}

#[test]
fn hosts_of_urls() {
    for (url, host, port) in [
        ("https://10.0.0.5:9443/mutate", "10.0.0.5", 9443),
        ("https://outrigger.example/mutate", "outrigger.example", 443),
        ("https://[::1]:9443/mutate", "::1", 9443),
        ("https://[::1]/mutate", "::1", 443),
    ] {
        assert_eq!(host_of(url), (host.to_owned(), port), "{url}");
    }
}
