//! Kubernetes API objects that Outrigger defines or writes, as values.

pub mod crd;
pub mod template_object;
pub mod webhook_configuration;
