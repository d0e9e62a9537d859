//! The webhook configurations whose `caBundle` the program keeps: the mutating one for pods, and
//! the validating one for workloads and templates.
//!
//! Invariant: what is wrong with the validating configuration never stops the certificates, because
//! no pod depends on it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cluster::watching::{self, ObjectState};

/// The owner of `caBundle` in the API server's managed fields.
const FIELD_MANAGER: &str = "outrigger-ca-bundle";

/// How long the validating configuration is left alone after a call about it failed.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The two kinds of webhook configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConfigurationKind {
    Mutating,
    Validating,
}

impl ConfigurationKind {
    fn resource(self) -> ApiResource {
        match self {
            Self::Mutating => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
            Self::Validating => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        }
    }

    /// What messages call it.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Mutating => "webhook configuration",
            Self::Validating => "validating webhook configuration",
        }
    }
}

/// One webhook configuration of the cluster.
pub(crate) struct WebhookConfigurationObject {
    pub kind: ConfigurationKind,
    pub name: String,
    api: Api<DynamicObject>,
    resource: ApiResource,
    /// When a call about the validating configuration failed last.
    failed: Mutex<Option<Instant>>,
}

/// The state of a configuration as the leader reads it.
pub(super) enum ReadConfiguration {
    Present(PresentConfiguration),
    Absent,
    /// A call about the validating configuration failed a short while ago.
    Unusable,
}

/// A configuration that exists.
pub(super) struct PresentConfiguration {
    version: Option<String>,
    pub entries: Vec<Entry>,
}

/// An entry of a configuration.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    name: String,
    #[serde(default)]
    client_config: ClientConfig,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    #[serde(default)]
    ca_bundle: Option<k8s_openapi::ByteString>,
}

impl Entry {
    /// The PEM text of `caBundle`.
    pub(crate) fn ca_bundle(&self) -> &[u8] {
        self.client_config.ca_bundle.as_ref().map_or(&[], |bundle| &bundle.0)
    }
}

/// The entries of a configuration. An API server stores no entry that cannot be read.
pub(crate) fn entries(object: &DynamicObject) -> Vec<Entry> {
    let webhooks = object.data.get("webhooks").and_then(Value::as_array).into_iter().flatten();
    webhooks.filter_map(|entry| Entry::deserialize(entry).ok()).collect()
}

impl WebhookConfigurationObject {
    /// The configurations with this name, of both kinds.
    pub(crate) fn all(client: &Client, name: &str) -> Vec<Self> {
        let object = |kind: ConfigurationKind| {
            let resource = kind.resource();
            let api = Api::all_with(client.clone(), &resource);
            Self { kind, name: name.to_owned(), api, resource, failed: Mutex::new(None) }
        };
        [ConfigurationKind::Mutating, ConfigurationKind::Validating].map(object).into()
    }

    /// The state of the configuration from now on.
    pub(crate) fn watch(&self) -> WatchedConfiguration {
        WatchedConfiguration { kind: self.kind, state: watching::object(self.api.clone(), &self.name) }
    }

    /// The configuration as it is stored.
    pub(super) async fn read(&self) -> kube::Result<ReadConfiguration> {
        if self.has_just_failed() {
            return Ok(ReadConfiguration::Unusable);
        }
        let object = self.api.get_opt(&self.name).await?;
        Ok(object.map_or(ReadConfiguration::Absent, |object| {
            let entries = entries(&object);
            ReadConfiguration::Present(PresentConfiguration { version: object.metadata.resource_version, entries })
        }))
    }

    /// Whether the certificates can do without this configuration after a call about it failed. It is
    /// then left alone for a while.
    pub(super) fn can_be_left_out(&self) -> bool {
        let can = self.kind == ConfigurationKind::Validating;
        if can && let Ok(mut failed) = self.failed.lock() {
            *failed = Some(Instant::now());
        }
        can
    }

    fn has_just_failed(&self) -> bool {
        self.failed.lock().is_ok_and(|failed| failed.is_some_and(|failed| failed.elapsed() < RETRY_AFTER))
    }

    /// Sets `caBundle` of every entry to these certificates, unless it has this value or the
    /// configuration has changed since it was read. No other field changes its owner.
    pub(super) async fn set_bundle(&self, read: &PresentConfiguration, pem: &str, base64: &str) -> kube::Result<bool> {
        if read.entries.iter().all(|entry| entry.ca_bundle() == pem.as_bytes()) {
            return Ok(false);
        }
        let webhooks: Vec<Value> = read
            .entries
            .iter()
            .map(|entry| json!({"name": entry.name, "clientConfig": {"caBundle": base64}}))
            .collect();
        let object = json!({
            "apiVersion": self.resource.api_version, "kind": self.resource.kind,
            "metadata": {"name": self.name, "resourceVersion": read.version},
            "webhooks": webhooks,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.api.patch(&self.name, &params, &Patch::Apply(object)).await.map(|_| true)
    }
}

/// A configuration that is watched.
#[derive(Clone)]
pub(crate) struct WatchedConfiguration {
    pub kind: ConfigurationKind,
    pub state: watch::Receiver<ObjectState<DynamicObject>>,
}

/// Waits until one of the configurations has changed. Fails if a watch has ended.
pub(crate) async fn changed(watched: &mut [WatchedConfiguration]) -> Result<(), watch::error::RecvError> {
    let changes = watched.iter_mut().map(|watched| Box::pin(watched.state.changed()));
    futures::future::select_all(changes).await.0
}
