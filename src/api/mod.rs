//! Kubernetes API objects that Outrigger defines or writes, as values.

pub mod webhook_configuration;
