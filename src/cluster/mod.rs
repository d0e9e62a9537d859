//! What Outrigger puts into, and reads from, a cluster.

pub mod certificates;
pub mod webhook_configuration;
