//! The variables of expressions; only the fields that an expression reads are converted to CEL.

use super::reads::{Reads, Root};
use super::{convert, functions};
use cel::{Context, Value};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Values of the variables for one pod and one template.
pub(crate) struct Scope<'a> {
    params: &'a BTreeMap<String, Value>,
    clock: Option<fn() -> u64>,
    context: Context<'a>,
}

thread_local! {
    /// The functions, registered once a thread: a context cannot be shared between threads.
    static LIBRARY: Context<'static> = functions::library();
}

impl Scope<'_> {
    /// Runs `work` with the variables as far as `reads` needs them; `object` gives the JSON of all
    /// but the parameters.
    pub(crate) fn with<'o, T>(
        params: &BTreeMap<String, Value>,
        reads: &Reads,
        clock: Option<fn() -> u64>,
        object: impl Fn(Root) -> Option<Cow<'o, Json>>,
        work: impl FnOnce(&Scope<'_>) -> T,
    ) -> T {
        LIBRARY.with(|library| {
            let mut context = library.new_inner_scope();
            for root in Root::ALL {
                let paths: Vec<&[String]> = reads.of(root).collect();
                if paths.is_empty() {
                    continue;
                }
                let value = match root {
                    Root::Params => {
                        Some(convert::map(params.iter().map(|(name, value)| (name.as_str(), value.clone()))))
                    }
                    _ => object(root).map(|json| convert::object_to_cel(&prune(&json, &paths))),
                };
                if let Some(value) = value {
                    context.add_variable_from_value(root.name(), value);
                }
            }
            work(&Scope { params, clock, context })
        })
    }

    /// Runs `work` with one more variable.
    pub(crate) fn with_variable<T>(&self, root: Root, value: Value, work: impl FnOnce(&Scope<'_>) -> T) -> T {
        let mut context = self.context.new_inner_scope();
        context.add_variable_from_value(root.name(), value);
        work(&Scope { params: self.params, clock: self.clock, context })
    }

    /// Runs `work` with one more variable, an object of which `reads` needs only a part.
    pub(crate) fn with_object<T>(
        &self,
        root: Root,
        object: &Json,
        reads: &Reads,
        work: impl FnOnce(&Scope<'_>) -> T,
    ) -> T {
        let paths: Vec<&[String]> = reads.of(root).collect();
        self.with_variable(root, convert::object_to_cel(&prune(object, &paths)), work)
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&Value> {
        self.params.get(name)
    }

    pub(super) fn clock(&self) -> Option<fn() -> u64> {
        self.clock
    }

    pub(super) fn context(&self) -> &Context<'_> {
        &self.context
    }
}

/// Runs `work` with the functions and these variables.
#[cfg(feature = "runtime")]
pub(super) fn with_values<'v, T>(
    variables: impl IntoIterator<Item = (&'v str, Value)>,
    work: impl FnOnce(&Context<'_>) -> T,
) -> T {
    LIBRARY.with(|library| {
        let mut context = library.new_inner_scope();
        variables.into_iter().for_each(|(name, value)| context.add_variable_from_value(name, value));
        work(&context)
    })
}

/// Converts only the subtrees at the paths: reading one label does not convert the whole pod.
fn prune(value: &Json, paths: &[&[String]]) -> Json {
    if paths.iter().any(|path| path.is_empty()) {
        return value.clone();
    }
    let Json::Object(fields) = value else { return value.clone() };
    let mut below: BTreeMap<&str, Vec<&[String]>> = BTreeMap::new();
    for (key, rest) in paths.iter().filter_map(|path| path.split_first()) {
        below.entry(key).or_default().push(rest);
    }
    let kept = below.into_iter().filter_map(|(key, paths)| Some((key.to_owned(), prune(fields.get(key)?, &paths))));
    Json::Object(kept.collect())
}
