//! The pod as raw JSON, and read accessors.
