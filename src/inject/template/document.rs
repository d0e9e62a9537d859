//! YAML or JSON text as JSON values that know where each key and scalar stands.
