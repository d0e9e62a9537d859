//! The fields of Deployments and pods that `check` reads: the full types are a tenth of the
//! program.
//!
//! The names are those of the Kubernetes API.
//! Invariant: a field that is not there, or null, is no error.

use k8s_openapi::api::apps::v1::DeploymentStatus;
use kube::api::ApiResource;
use kube::core::Object;
use serde::{Deserialize, Serialize};

pub(super) type PartialDeployment = Object<PartialDeploymentSpec, DeploymentStatus>;
pub(super) type PartialPod = Object<PartialPodSpec, PodStatus>;

/// What the API server calls Deployments.
pub(super) fn deployments() -> ApiResource {
    ApiResource::erase::<k8s_openapi::api::apps::v1::Deployment>(&())
}

/// What the API server calls pods.
pub(super) fn pods() -> ApiResource {
    ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&())
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct PartialDeploymentSpec {
    pub replicas: Option<i32>,
    #[serde(default)]
    pub template: PartialPodTemplate,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct PartialPodTemplate {
    pub spec: Option<PartialPodSpec>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct PartialPodSpec {
    pub containers: Option<Vec<Container>>,
    pub volumes: Option<Vec<Volume>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Container {
    pub image: Option<String>,
    pub ports: Option<Vec<ContainerPort>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerPort {
    pub name: Option<String>,
    pub container_port: i32,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Volume {
    pub secret: Option<SecretVolume>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretVolume {
    pub secret_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodStatus {
    pub phase: Option<String>,
    pub conditions: Option<Vec<PodCondition>>,
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
    pub container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct PodCondition {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    pub message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub state: Option<ContainerState>,
    pub last_state: Option<ContainerState>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct ContainerState {
    pub waiting: Option<Reason>,
    pub terminated: Option<Reason>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Reason {
    pub reason: Option<String>,
    pub message: Option<String>,
}
