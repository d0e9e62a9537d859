//! What this program is: constants of its build.

/// Version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Revision of the source, where whoever built it said so by `OUTRIGGER_REVISION` in the
/// environment of the compiler.
pub const REVISION: Option<&str> = match option_env!("OUTRIGGER_REVISION") {
    Some(revision) if !revision.is_empty() => Some(revision),
    _ => None,
};

/// Newest Kubernetes API whose fields are known by name and type.
pub const KUBERNETES_API: &str = "1.37";

/// Optional parts that are compiled in.
pub const FEATURES: &[&str] = if cfg!(feature = "otel") { &["otel"] } else { &[] };
