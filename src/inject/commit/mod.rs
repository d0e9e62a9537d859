//! The last step: change the tree, write the status, check the result.
//!
//! Invariant: the status lists exactly what is put in, so that a second pass knows it and `uninject` can take it out.

pub(super) mod editor;
pub(super) mod operations;
mod postconditions;

use self::editor::{Editor, Misfit};
pub(super) use self::operations::Form;
use self::operations::Operations;
use super::annotations::{DEFAULT_CONTAINER, Keys};
use super::error::{ErrorCode, InjectError, Problem};
use super::merge::{Plan, RenderedTemplate};
use super::pod::PodDocument;
use super::schema::merge_path::MergePath;
use super::status::{Status, StatusEntry};
use super::text::pointer::Pointer;
use json_patch::Patch;
use serde_json::{Map, Value};

/// What is to be written into a pod.
pub(super) struct Writing {
    plan: Plan,
    /// Entries of earlier passes.
    kept: Vec<StatusEntry>,
    /// Entries of this pass, in the order of the templates; those of templates that the pod had already list nothing.
    new: Vec<StatusEntry>,
    default_container: Option<String>,
}

impl Writing {
    /// `None` when the plan changes nothing.
    pub fn new(
        pod: &PodDocument,
        status: &[StatusEntry],
        candidates: &[RenderedTemplate<'_>],
        mut plan: Plan,
        default_container: Option<String>,
    ) -> Option<Self> {
        // What the pod had already is listed too, with nothing put in: a later webhook may rewrite it, and a second pass
        // must not take that for a conflict.
        let mut new = std::mem::take(&mut plan.entries);
        let first = new.iter_mut().find(|entry| !entry.is_nothing())?;
        note_empty_metadata(pod, first);
        if default_container.is_some() {
            let path = MergePath::of(["annotations", DEFAULT_CONTAINER]);
            let null = pod.metadata_field("annotations").and_then(|map| map.get(DEFAULT_CONTAINER));
            first.replaced.extend(null.map(|null| (path.clone(), null.clone())));
            first.added.push(path);
        }
        let renewed = |name: &str| candidates.iter().any(|candidate| candidate.template.name == name);
        let kept = status.iter().filter(|entry| !renewed(&entry.name)).cloned().collect();
        Some(Self { plan, kept, new, default_container })
    }

    /// Names of the templates that are put in.
    pub fn templates(&self) -> Vec<String> {
        self.put_in().map(|entry| entry.name.clone()).collect()
    }

    fn put_in(&self) -> impl Iterator<Item = &StatusEntry> {
        self.new.iter().filter(|entry| !entry.is_nothing())
    }

    /// The changed tree and the operations that changed it.
    pub fn carry_out(mut self, pod: PodDocument, keys: &Keys, form: Form) -> Result<(Value, Operations), InjectError> {
        let original = if cfg!(debug_assertions) { Some(pod.tree().clone()) } else { None };
        let mut editor = Editor::new(pod.into_tree(), form);
        let plan = std::mem::take(&mut self.plan);
        editor.apply(plan).and_then(|()| self.write_metadata(&mut editor, keys)).map_err(|misfit| internal(&misfit))?;
        let problems = postconditions::check(editor.tree(), &self.new);
        if !problems.is_empty() {
            return Err(InjectError::from(problems));
        }
        let (tree, mut operations) = editor.finish();
        if let Some(original) = original {
            let patch = operations.into_patch().map_err(|error| internal(&error))?;
            check_with_second_engine(original, &patch, &tree)?;
            operations = Operations::List(patch.0);
        }
        Ok((tree, operations))
    }

    fn write_metadata(&self, editor: &mut Editor, keys: &Keys) -> Result<(), Misfit> {
        let labels = Pointer::of(["metadata", "labels"]);
        let annotations = Pointer::of(["metadata", "annotations"]);
        for entry in self.put_in() {
            editor.set(&labels, &keys.revision(&entry.name), Value::from(entry.revision.as_str()))?;
        }
        if let Some(name) = &self.default_container {
            editor.set(&annotations, DEFAULT_CONTAINER, Value::from(name.as_str()))?;
        }
        let status = Status::to_annotation(self.kept.iter().chain(&self.new));
        editor.set(&annotations, &keys.status, Value::from(status))
    }
}

/// Metadata that was there but empty, so that `uninject` leaves it as it was.
fn note_empty_metadata(pod: &PodDocument, entry: &mut StatusEntry) {
    let fields = [
        ("metadata", pod.tree().get("metadata")),
        ("labels", pod.metadata_field("labels")),
        ("annotations", pod.metadata_field("annotations")),
    ];
    for (field, value) in fields {
        if let Some(value) = value
            && (value.is_null() || value.as_object().is_some_and(Map::is_empty))
        {
            entry.replaced.insert(MergePath::of([field]), value.clone());
        }
    }
}

/// Debug builds apply the patch to the original with another engine as well: the pod must be the same.
fn check_with_second_engine(mut original: Value, patch: &Patch, tree: &Value) -> Result<(), InjectError> {
    match json_patch::patch(&mut original, patch) {
        Ok(()) if original == *tree => Ok(()),
        Ok(()) => Err(internal(&"the patch gives another pod than the one that was edited")),
        Err(error) => Err(internal(&error)),
    }
}

pub(super) fn internal(fault: &dyn std::fmt::Display) -> InjectError {
    let message = fault.to_string();
    InjectError::from(vec![Problem {
        code: ErrorCode::Internal,
        template: None,
        annotation: None,
        message: message.into(),
    }])
}

#[cfg(test)]
mod tests;
