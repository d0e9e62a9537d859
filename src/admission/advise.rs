//! How much advice about workloads is given.

/// What a workload gets whose pods would be refused, or have keys that nothing reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdviceMode {
    /// Warnings.
    Warn,
    /// A refusal for what its pods would be refused for, and warnings for the rest.
    Deny,
    /// Nothing.
    Off,
}
