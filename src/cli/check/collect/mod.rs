//! Reads an installation through the API server.
//!
//! Invariant: every call has a timeout, nothing is written (the pod is a dry run), and a forbidden
//! call does not affect the others.

mod admin;
mod dry_run;
mod handshake;
mod refusals;
mod replica;
mod requesters;
mod trials;

use std::time::{Duration, SystemTime};

use anyhow::{anyhow, bail};
use futures::StreamExt;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{self as core, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::timeout;

use super::super::cluster::{ApiRequest, Caller, filter_page};
use super::evaluate::host_of;
use super::objects::{self, PartialDeployment, PartialPod};
use super::observations::{CertificateOrigin, Observations, Replica, ReplicaTemplate, ServedCertificate, Target};
use crate::api::template_object::ObjectKey;
use crate::cli::cluster::Lookup;
use crate::cli::fleet::{ReplicaTemplates, ServedTemplate};
use crate::cluster::explain;
use crate::inject::{KeyPlace, Namespace, annotations};
use requesters::{Requesters, may_be_ours};

pub(super) use dry_run::DryRunOptions;

/// Number of replicas that are queried concurrently.
const CONCURRENT_REPLICAS: usize = 4;
/// The label with the name of the installation, which its objects have in common.
const NAME_LABEL: &str = "app.kubernetes.io/name";
const NAME: &str = "outrigger";

/// The installation to read, and the timeout of each call.
pub(super) struct CollectOptions {
    pub target: Target,
    pub options: DryRunOptions,
    pub limit: Duration,
}

/// Reads everything once. Fails only if the API server cannot be reached.
pub(super) async fn collect(client: &Client, address: &str, check: &CollectOptions) -> anyhow::Result<Observations> {
    let CollectOptions { target, options, limit } = check;
    ensure_reachable(client, address, *limit).await?;
    let caller = Caller::new(client.clone(), *limit);
    let mut observations = Observations::unknown(target.clone(), SystemTime::now());
    observations.configuration = configuration(&caller, &target.configuration).await;
    let name = installation_name(&observations);
    let ours = ListParams::default().labels(&format!("{NAME_LABEL}={name}"));
    let now = observations.now;
    let (advice, deployments, namespaces, requesters, refusals, lease) = tokio::join!(
        advice(&caller, &target.configuration),
        caller.list(
            Api::<PartialDeployment>::namespaced_with(client.clone(), &target.namespace, &objects::deployments()),
            "deployments",
            Some(&target.namespace),
            ours
        ),
        namespaces(&caller, &target.domain),
        requesters::all(&caller, &target.domain),
        refusals::recent(&caller, &target.domain, now),
        caller.get(
            Api::<Lease>::namespaced(client.clone(), &target.namespace),
            "leases",
            Some(&target.namespace),
            &name
        ),
    );
    let Requesters { objects, pods, more_pods } = requesters;
    observations =
        Observations { advice, deployments, namespaces, requesters: objects, refusals, lease, ..observations };
    observe_target(&caller, &mut observations).await;
    observations.dry_run = dry_run::make(&caller, &observations, options).await;
    observations.trials = trials::run(&caller, &observations, pods, more_pods).await;
    observations.failures = caller.failures();
    Ok(observations)
}

/// Fails if the API server does not respond or rejects the credentials.
pub(in crate::cli) async fn ensure_reachable(client: &Client, address: &str, limit: Duration) -> anyhow::Result<()> {
    match timeout(limit, client.apiserver_version()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.code == 401 => {
            bail!(
                "the API server at {address} does not accept your credentials: renew them, or choose others with --context"
            )
        }
        // Every API server has a version: this is a proxy, or another server.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            bail!(
                "the server at {address} is no Kubernetes API server: it does not know /version; is it the right cluster (--context, --kubeconfig)?"
            )
        }
        // The API server responds, even if it refuses this request.
        Ok(Err(kube::Error::Api(_))) => Ok(()),
        Ok(Err(error)) => {
            let reason = explain(&error);
            Err(anyhow!("cannot reach the API server at {address}: {reason}; {}", hint(&reason)))
        }
        Err(_) => Err(anyhow!("the API server at {address} does not respond within {limit:?}; {HINT}")),
    }
}

const HINT: &str = "is it the right cluster (--context, --kubeconfig), and can it be reached from here?";

/// What to look at, by the reason why an API server cannot be used.
fn hint(reason: &str) -> &'static str {
    const AUTHORITY: &str = "the certificate authority in the kubeconfig (certificate-authority-data) does not match \
                             the server";
    const NAME: &str = "the certificate is not for this address; is the server of the kubeconfig right?";
    let of_certificate = reason.split_once("invalid peer certificate: ").map_or("", |(_, reason)| reason);
    match of_certificate {
        // Another authority of the same name has another signature.
        reason if reason.starts_with("UnknownIssuer") || reason.starts_with("BadSignature") => AUTHORITY,
        reason if reason.contains("not valid for name") => NAME,
        _ if reason.contains("credential program") => "does it work by itself? --context chooses other credentials",
        _ => HINT,
    }
}

/// The templates that the replicas of an installation serve, for other commands.
pub(in crate::cli) async fn served_templates(caller: &Caller, namespace: &str, domain: &str) -> ReplicaTemplates {
    let target = Target { namespace: namespace.to_owned(), configuration: NAME.to_owned(), domain: domain.to_owned() };
    let mut observations = Observations::unknown(target, SystemTime::now());
    query_replicas(caller, &mut observations, namespace, NAME).await;
    let of_first = observations.responding().next().map(|(_, admin)| admin.templates.clone());
    let is_told = of_first.is_some();
    let of_first = of_first.unwrap_or_default();
    let is_own = |template: &ReplicaTemplate| !template.source.starts_with("built-in ");
    let key =
        |template: &ReplicaTemplate| ObjectKey { namespace: template.namespace.clone(), name: template.name.clone() };
    let served = |template: ReplicaTemplate| {
        let is_shadowable = template.shadowable.or((!is_own(&template)).then_some(true));
        (
            key(&template),
            ServedTemplate { revision: template.revision, stable: template.stable_revision, is_shadowable },
        )
    };
    // The built-in one chooses pods with a label for it.
    let automatic = of_first.iter().filter(|template| template.injection == "Automatic" && is_own(template));
    let automatic = automatic.map(key).collect();
    ReplicaTemplates { templates: of_first.into_iter().map(served).collect(), is_told, automatic }
}

/// The name of the installation: the label of its webhook configuration, which may have another name
/// itself.
fn installation_name(observations: &Observations) -> String {
    let labels = observations.configuration.found().and_then(|found| found.metadata.labels.as_ref());
    labels.and_then(|labels| labels.get(NAME_LABEL)).map_or_else(|| NAME.to_owned(), Clone::clone)
}

async fn configuration(caller: &Caller, name: &str) -> Lookup<MutatingWebhookConfiguration> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(caller.client.clone());
    caller.get(api, "mutatingwebhookconfigurations", None, name).await
}

async fn advice(caller: &Caller, name: &str) -> Lookup<ValidatingWebhookConfiguration> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(caller.client.clone());
    caller.get(api, "validatingwebhookconfigurations", None, name).await
}

async fn namespaces(caller: &Caller, domain: &str) -> Lookup<Vec<Namespace>> {
    let api: Api<core::Namespace> = Api::all(caller.client.clone());
    let request = ApiRequest { verb: "list", resource: "namespaces", namespace: None };
    let keys = annotations::AnnotationKeys::new(domain);
    let keys = &keys;
    let is_kept = |(key, _): &(String, String)| may_be_ours(keys, KeyPlace::NamespaceAnnotation, key);
    let keep = |found: PartialObjectMeta<core::Namespace>| {
        let metadata = found.metadata;
        // A namespace that is being deleted admits no more pods.
        metadata.deletion_timestamp.is_none().then(|| Namespace {
            name: metadata.name.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default().into_iter().filter(is_kept).collect(),
        })
    };
    caller
        .pages(&request, ListParams::default(), |params| {
            let api = api.clone();
            async move { Ok(filter_page(api.list_metadata(&params).await?, keep)) }
        })
        .await
}

/// Reads the target that the configuration calls: a Service with its pods, or a URL.
async fn observe_target(caller: &Caller, observations: &mut Observations) {
    let config = observations.pods_entry().or(observations.entries().first()).map(|entry| entry.client_config.clone());
    let config = config.unwrap_or_default();
    let (namespace, name) = match &config.service {
        Some(service) => (service.namespace.clone(), service.name.clone()),
        None => (observations.target.namespace.clone(), installation_name(observations)),
    };
    let (services, slices): (Api<Service>, Api<EndpointSlice>) =
        (Api::namespaced(caller.client.clone(), &namespace), Api::namespaced(caller.client.clone(), &namespace));
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
    let (service, slices) = tokio::join!(
        caller.get(services, "services", Some(&namespace), &name),
        caller.list(slices, "endpointslices", Some(&namespace), of_service),
    );
    observations.service = service;
    observations.slices = slices;
    let host = format!("{name}.{namespace}.svc");
    query_replicas(caller, observations, &namespace, &host).await;
    match &config.url {
        Some(url) => {
            let (host, port) = host_of(url);
            let chain = handshake::at(&host, port, caller.limit).await;
            observations.served =
                vec![ServedCertificate { by: url.clone(), chain, from: CertificateOrigin::Handshake }];
        }
        None => read_certificate_from_secret(caller, observations, &namespace).await,
    }
}

async fn query_replicas(caller: &Caller, observations: &mut Observations, namespace: &str, host: &str) {
    let pods: Api<PartialPod> = Api::namespaced_with(caller.client.clone(), namespace, &objects::pods());
    let selector = observations.service.found().and_then(|service| service.spec.as_ref()?.selector.clone());
    let selector = selector.filter(|selector| !selector.is_empty()).map_or_else(
        || format!("{NAME_LABEL}={}", installation_name(observations)),
        |selector| selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","),
    );
    let Lookup::Found(pods) = caller.list(pods, "pods", Some(namespace), ListParams::default().labels(&selector)).await
    else {
        return;
    };
    // A pod that is being deleted says nothing about the future state.
    let staying = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod));
    let service = (observations.service.found(), called_port(observations));
    let queries = staying.map(|pod| replica::query(caller, namespace, host, service, pod));
    let results: Vec<(Replica, Option<ServedCertificate>)> =
        futures::stream::iter(queries).buffered(CONCURRENT_REPLICAS).collect().await;
    let (replicas, served): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    observations.replicas = Lookup::Found(replicas);
    observations.served = served.into_iter().flatten().collect();
}

/// Port of the Service that the API server calls.
fn called_port(observations: &Observations) -> i32 {
    let service = observations.pods_entry().and_then(|entry| entry.client_config.service.as_ref());
    service.and_then(|service| service.port).unwrap_or(443)
}

/// An evicted pod stays until somebody deletes it.
fn has_ended(pod: &PartialPod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// If no replica presents a certificate, reads the Secret that they most probably serve.
async fn read_certificate_from_secret(caller: &Caller, observations: &mut Observations, namespace: &str) {
    if observations.served.is_empty() || observations.served.iter().any(|served| served.chain.is_ok()) {
        return;
    }
    let name = mounted_secret(observations).unwrap_or_else(|| format!("{}-serving", installation_name(observations)));
    let secrets: Api<Secret> = Api::namespaced(caller.client.clone(), namespace);
    let Lookup::Found(secret) = caller.get(secrets, "secrets", Some(namespace), &name).await else { return };
    let pem = secret.data.unwrap_or_default().remove("tls.crt").unwrap_or_default();
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem.0).filter_map(Result::ok).collect();
    if !chain.is_empty() {
        let by = format!("Secret {namespace}/{name}");
        observations.served = vec![ServedCertificate { by, chain: Ok(chain), from: CertificateOrigin::Secret }];
    }
}

/// The mounted Secret of a certificate that Outrigger does not issue itself.
fn mounted_secret(observations: &Observations) -> Option<String> {
    let deployment = observations.deployments.found()?.first()?;
    let volumes = deployment.spec.template.spec.as_ref()?.volumes.as_ref()?;
    volumes.iter().find_map(|volume| volume.secret.as_ref()?.secret_name.clone())
}

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, Error};

    use super::hint;

    #[test]
    fn a_certificate_of_another_authority_is_no_question_of_the_network() {
        for error in [CertificateError::UnknownIssuer, CertificateError::BadSignature] {
            let reason = Error::InvalidCertificate(error).to_string();
            assert!(hint(&reason).contains("certificate-authority-data"), "{reason}");
        }
        assert!(hint("Connection refused (os error 111)").contains("can it be reached"));
    }
}
