//! What is seen of an installation of which everything is good, and the means to spoil it.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::super::facts::{
    Admin, Answer, Ask, Facts, From, Look, PodState, Replica, Served, Target, Template, Trial, Version,
};
use super::super::super::objects::Deployment;
use crate::api::webhook_configuration::{Endpoint, WebhookConfiguration};
use crate::inject::Namespace;
use crate::pki::{Authority, Subject};
use crate::telemetry::build;

pub const DAY: Duration = Duration::from_secs(24 * 3600);
pub const OURS: &str = "outrigger-system";

/// An authority of a year and a leaf of a week, made when the tests began.
pub struct Certificates {
    pub now: SystemTime,
    pub authority: Authority,
    pub leaf: Vec<CertificateDer<'static>>,
}

pub static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| {
    let now = SystemTime::now();
    let authority = Authority::make(Subject::ClusterAuthority, now, 365 * DAY).expect("an authority");
    let leaf = leaf(&authority, "outrigger.outrigger-system.svc", now, 7 * DAY);
    Certificates { now, authority, leaf }
});

pub fn leaf(authority: &Authority, host: &str, now: SystemTime, life: Duration) -> Vec<CertificateDer<'static>> {
    let pem = authority.issue(&[host.to_owned()], now, life).expect("a leaf");
    vec![CertificateDer::from_pem_slice(pem.certificate.as_bytes()).expect("a certificate")]
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

pub fn healthy() -> Facts {
    let target = Target { namespace: OURS.into(), configuration: "outrigger".into(), domain: "outrigger.dev".into() };
    let certificates = &CERTIFICATES;
    let service = Endpoint::Service { namespace: OURS.into(), name: "outrigger".into(), port: 443 };
    let bundle = certificates.authority.certificate().pem().into_bytes();
    let configuration = WebhookConfiguration { ca_bundle: Some(bundle), ..WebhookConfiguration::new(service) };
    Facts {
        configuration: Look::Found(configuration.to_object()),
        service: Look::Found(object(json!({"spec": {"ports": [{"port": 443}]}}))),
        slices: Look::Found(vec![object(json!({
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.1.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.1.0.2"]},
            ],
        }))]),
        deployments: Look::Found(vec![deployment(2, 2)]),
        replicas: Look::Found(vec![replica("a"), replica("b")]),
        served: vec![served("a"), served("b")],
        namespaces: Look::Found(["default", "kube-system", OURS, "shop"].map(namespace).into()),
        asks: Look::Found(vec![
            ask("Deployment", "shop", &["log-collector"], PodState::NoPod),
            ask("Pod", "shop", &["log-collector"], PodState::WithStatus),
        ]),
        trial: Trial::Made {
            namespace: "default".into(),
            template: "log-collector".into(),
            answer: Answer::Pod { templates: vec!["log-collector".into()] },
        },
        ..Facts::unknown(target, certificates.now)
    }
}

pub fn deployment(wanted: i32, ready: i32) -> Deployment {
    object(json!({
        "metadata": {"name": "outrigger"},
        "spec": {"replicas": wanted, "selector": {}, "template": {}},
        "status": {"readyReplicas": ready, "replicas": wanted, "updatedReplicas": wanted},
    }))
}

fn replica(pod: &str) -> Replica {
    let template = |name: &str| Template {
        name: name.into(),
        revision: Some("0123456789".into()),
        source: format!("{name}.yaml"),
        problem: None,
    };
    let version = Version { version: build::VERSION.into(), revision: None };
    let admin = Admin { version, templates: ["log-collector", "proxy"].map(template).into(), ..Admin::default() };
    Replica { pod: pod.into(), is_ready: true, waiting: Vec::new(), admin: Ok(admin) }
}

fn served(pod: &str) -> Served {
    Served { by: format!("pod {pod}"), chain: Ok(CERTIFICATES.leaf.clone()), from: From::Handshake }
}

fn namespace(name: &str) -> Namespace {
    let labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())]);
    Namespace { name: name.into(), labels, annotations: BTreeMap::new() }
}

pub fn ask(kind: &'static str, namespace: &str, templates: &[&str], pod: PodState) -> Ask {
    let templates = templates.iter().map(ToString::to_string).collect();
    Ask { kind, namespace: namespace.into(), name: "web".into(), labels: BTreeMap::new(), templates, pod }
}

/// The entries of the configuration.
pub fn entries(facts: &mut Facts) -> &mut Vec<MutatingWebhook> {
    let Look::Found(configuration) = &mut facts.configuration else { panic!("a configuration") };
    configuration.webhooks.as_mut().expect("entries")
}

pub fn set_bundle(facts: &mut Facts, bundle: Option<&[u8]>) {
    for entry in entries(facts) {
        entry.client_config.ca_bundle = bundle.map(|bundle| ByteString(bundle.to_vec()));
    }
}

pub fn by_url(facts: &mut Facts) {
    for entry in entries(facts) {
        entry.client_config.service = None;
        entry.client_config.url = Some("https://outrigger.outrigger-system.svc:9443/mutate".into());
    }
}

pub fn replicas(facts: &mut Facts) -> &mut Vec<Replica> {
    let Look::Found(replicas) = &mut facts.replicas else { panic!("replicas") };
    replicas
}

pub fn admin(facts: &mut Facts, index: usize) -> &mut Admin {
    replicas(facts)[index].admin.as_mut().expect("it answers")
}

pub fn asks(facts: &mut Facts) -> &mut Vec<Ask> {
    let Look::Found(asks) = &mut facts.asks else { panic!("asks") };
    asks
}

pub fn namespace_of<'f>(facts: &'f mut Facts, name: &str) -> &'f mut Namespace {
    let Look::Found(namespaces) = &mut facts.namespaces else { panic!("namespaces") };
    namespaces.iter_mut().find(|namespace| namespace.name == name).expect("the namespace")
}

pub fn label(facts: &mut Facts, namespace: &str, value: &str) {
    namespace_of(facts, namespace).labels.insert("outrigger.dev/injection".into(), value.into());
}

pub fn serve(facts: &mut Facts, chain: Vec<CertificateDer<'static>>) {
    for served in &mut facts.served {
        served.chain = Ok(chain.clone());
    }
}

pub fn answer(facts: &mut Facts, answer: Answer) {
    facts.trial = Trial::Made { namespace: "default".into(), template: "log-collector".into(), answer };
}

pub fn refusal(facts: &mut Facts, message: &str) {
    answer(facts, Answer::Refused { message: message.into() });
}

pub fn untouched(facts: &mut Facts) {
    answer(facts, Answer::Pod { templates: Vec::new() });
}
