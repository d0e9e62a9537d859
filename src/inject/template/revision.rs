//! The revision of a template: a hash that tells whether a pod carries the current template.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};

/// First 10 hex digits of SHA-256 over the canonical JSON of a template's spec. Everything of the
/// spec counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Revision(String);

impl Revision {
    pub(crate) fn of(spec: &Value) -> Self {
        let digest = Sha256::digest(spec.to_string().as_bytes());
        Self(digest.iter().take(5).fold(String::with_capacity(10), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
