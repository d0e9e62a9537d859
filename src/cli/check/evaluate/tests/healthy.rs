//! The observations of a healthy installation, and functions that break parts of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::super::objects::PartialDeployment;
use super::super::super::observations::{
    AdminReport, CertificateOrigin, DryRun, DryRunOutcome, Observations, PodState, RefusalEvent, Replica,
    ReplicaParameter, ReplicaTemplate, ReplicaVersion, Requester, ServedCertificate, Target, Trials,
};
use crate::api::webhook_configuration::{Endpoint, WebhookConfiguration};
use crate::cli::cluster::Lookup;
use crate::inject::{KeyPlace, Namespace};
use crate::pki::{Authority, AuthorityKind};
use crate::telemetry::build;

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(super) const OURS: &str = "outrigger-system";

/// An authority of a year and a leaf of a week, made when the tests began.
pub(super) struct Certificates {
    pub now: SystemTime,
    pub authority: Authority,
    pub leaf: Vec<CertificateDer<'static>>,
}

pub(super) static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| {
    let now = SystemTime::now();
    let authority = Authority::make(AuthorityKind::Cluster, now, 365 * DAY).expect("an authority");
    let leaf = leaf(&authority, "outrigger.outrigger-system.svc", now, 7 * DAY);
    Certificates { now, authority, leaf }
});

pub(super) fn leaf(authority: &Authority, host: &str, now: SystemTime, life: Duration) -> Vec<CertificateDer<'static>> {
    let pem = authority.issue(&[host.to_owned()], now, life).expect("a leaf");
    vec![CertificateDer::from_pem_slice(pem.certificate.as_bytes()).expect("a certificate")]
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

pub(super) fn healthy() -> Observations {
    let target = Target { namespace: OURS.into(), configuration: "outrigger".into(), domain: "outrigger.dev".into() };
    let certificates = &CERTIFICATES;
    let service = Endpoint::Service { namespace: OURS.into(), name: "outrigger".into(), port: 443 };
    let bundle = certificates.authority.certificate().pem().into_bytes();
    let configuration = WebhookConfiguration { ca_bundle: Some(bundle), ..WebhookConfiguration::new(service) };
    let advice = configuration.to_validating_object();
    Observations {
        configuration: Lookup::Found(configuration.to_object()),
        advice: Lookup::Found(advice),
        service: Lookup::Found(object(json!({"spec": {"ports": [{"port": 443}]}}))),
        slices: Lookup::Found(vec![object(json!({
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.1.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.1.0.2"]},
            ],
        }))]),
        deployments: Lookup::Found(vec![deployment(2, 2)]),
        replicas: Lookup::Found(vec![replica("a"), replica("b")]),
        served: vec![served("a"), served("b")],
        namespaces: Lookup::Found(["default", "kube-system", OURS, "shop"].map(namespace).into()),
        requesters: Lookup::Found(vec![
            requester("Deployment", "shop", &["log-collector"], PodState::NoPod),
            requester("Pod", "shop", &["log-collector"], PodState::WithStatus),
        ]),
        // Renewed also in rows of the table that look at a later time.
        lease: Lookup::Found(lease(certificates.now + 400 * DAY)),
        dry_run: DryRun::Sent {
            namespace: "default".into(),
            template: "log-collector".into(),
            outcome: DryRunOutcome::Admitted { templates: vec!["log-collector".into()] },
        },
        trials: Trials { tried: ["Deployment shop/web".to_owned()].into(), denied: Vec::new() },
        refusals: Lookup::Found(Vec::new()),
        ..Observations::unknown(target, certificates.now)
    }
}

/// A lease that was renewed at this time.
pub(super) fn lease(renewed: SystemTime) -> Lease {
    let renewed = Timestamp::try_from(renewed).expect("a time");
    object(json!({"spec": {"holderIdentity": "a_1", "leaseDurationSeconds": 15, "renewTime": MicroTime(renewed)}}))
}

pub(super) fn deployment(wanted: i32, ready: i32) -> PartialDeployment {
    object(json!({
        "metadata": {"name": "outrigger"},
        "spec": {"replicas": wanted, "selector": {}, "template": {}},
        "status": {"readyReplicas": ready, "replicas": wanted, "updatedReplicas": wanted},
    }))
}

fn replica(pod: &str) -> Replica {
    let template = |name: &str| ReplicaTemplate {
        name: name.into(),
        state: "active".into(),
        injection: "OptIn".into(),
        parameters: Some(vec![ReplicaParameter { name: "logDir".into() }]),
        revision: Some("0123456789".into()),
        source: format!("{name}.yaml"),
        ..ReplicaTemplate::default()
    };
    let version = ReplicaVersion { version: build::VERSION.into(), revision: None };
    let admin =
        AdminReport { version, templates: ["log-collector", "proxy"].map(template).into(), ..AdminReport::default() };
    Replica { pod: pod.into(), is_ready: true, waiting: Vec::new(), admin: Ok(admin) }
}

fn served(pod: &str) -> ServedCertificate {
    ServedCertificate {
        by: format!("pod {pod}"),
        chain: Ok(CERTIFICATES.leaf.clone()),
        from: CertificateOrigin::Handshake,
    }
}

fn namespace(name: &str) -> Namespace {
    let labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())]);
    Namespace { name: name.into(), labels, annotations: BTreeMap::new() }
}

pub(super) fn requester(kind: &'static str, namespace: &str, templates: &[&str], pod: PodState) -> Requester {
    let templates = templates.iter().map(ToString::to_string).collect();
    Requester {
        kind,
        namespace: namespace.into(),
        name: "web".into(),
        labels: BTreeMap::new(),
        templates,
        pod,
        keys: Vec::new(),
        revisions: BTreeMap::new(),
    }
}

/// A Deployment that requests `log-collector` and has this key.
pub(super) fn keyed(observations: &mut Observations, place: KeyPlace, key: &str) {
    let keys = vec![(place, key.to_owned())];
    requesters(observations)
        .push(Requester { keys, ..requester("Deployment", "shop", &["log-collector"], PodState::NoPod) });
}

pub(super) fn refused_lately(observations: &mut Observations, kind: &str, name: &str) {
    let message =
        "Error creating: admission webhook \"namespaces.inject.outrigger.dev\" denied the request: conflict: two ports";
    let event =
        RefusalEvent { kind: kind.into(), namespace: "shop".into(), name: name.into(), message: message.into() };
    let Lookup::Found(refusals) = &mut observations.refusals else { panic!("refusals") };
    refusals.push(event);
}

/// The entries of the configuration.
pub(super) fn entries(observations: &mut Observations) -> &mut Vec<MutatingWebhook> {
    let Lookup::Found(configuration) = &mut observations.configuration else { panic!("a configuration") };
    configuration.webhooks.as_mut().expect("entries")
}

pub(super) fn set_bundle(observations: &mut Observations, bundle: Option<&[u8]>) {
    for entry in entries(observations) {
        entry.client_config.ca_bundle = bundle.map(|bundle| ByteString(bundle.to_vec()));
    }
    set_advice_bundle(observations, bundle);
}

pub(super) fn set_advice_bundle(observations: &mut Observations, bundle: Option<&[u8]>) {
    let Lookup::Found(advice) = &mut observations.advice else { panic!("a configuration") };
    let entry = &mut advice.webhooks.as_mut().expect("entries")[0];
    entry.client_config.ca_bundle = bundle.map(|bundle| ByteString(bundle.to_vec()));
}

pub(super) fn by_url(observations: &mut Observations) {
    for entry in entries(observations) {
        entry.client_config.service = None;
        entry.client_config.url = Some("https://outrigger.outrigger-system.svc:9443/mutate".into());
    }
    let Lookup::Found(advice) = &mut observations.advice else { panic!("a configuration") };
    let config = &mut advice.webhooks.as_mut().expect("entries")[0].client_config;
    (config.service, config.url) = (None, Some("https://outrigger.outrigger-system.svc:9443/advise".into()));
}

pub(super) fn replicas(observations: &mut Observations) -> &mut Vec<Replica> {
    let Lookup::Found(replicas) = &mut observations.replicas else { panic!("replicas") };
    replicas
}

pub(super) fn admin(observations: &mut Observations, index: usize) -> &mut AdminReport {
    replicas(observations)[index].admin.as_mut().expect("it answers")
}

pub(super) fn requesters(observations: &mut Observations) -> &mut Vec<Requester> {
    let Lookup::Found(requesters) = &mut observations.requesters else { panic!("requesters") };
    requesters
}

pub(super) fn namespace_of<'f>(observations: &'f mut Observations, name: &str) -> &'f mut Namespace {
    let Lookup::Found(namespaces) = &mut observations.namespaces else { panic!("namespaces") };
    namespaces.iter_mut().find(|namespace| namespace.name == name).expect("the namespace")
}

pub(super) fn label(observations: &mut Observations, namespace: &str, value: &str) {
    namespace_of(observations, namespace).labels.insert("outrigger.dev/injection".into(), value.into());
}

pub(super) fn serve(observations: &mut Observations, chain: Vec<CertificateDer<'static>>) {
    for served in &mut observations.served {
        served.chain = Ok(chain.clone());
    }
}

pub(super) fn dry_run_outcome(observations: &mut Observations, outcome: DryRunOutcome) {
    observations.dry_run = DryRun::Sent { namespace: "default".into(), template: "log-collector".into(), outcome };
}

pub(super) fn refusal(observations: &mut Observations, message: &str) {
    dry_run_outcome(observations, DryRunOutcome::Refused { message: message.into() });
}

pub(super) fn untouched(observations: &mut Observations) {
    dry_run_outcome(observations, DryRunOutcome::Admitted { templates: Vec::new() });
}
