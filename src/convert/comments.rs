//! Finds the item of a template that a loss belongs to, for a comment above it.

use super::{ConvertedTemplate, Lost};

/// A loss of a part of one item.
#[derive(Debug, PartialEq, Eq)]
pub struct ItemLoss<'l> {
    /// JSON Pointer of the item in the template.
    pub pointer: String,
    /// The lost field, below the item.
    pub field: &'l str,
    /// The loss itself.
    pub lost: &'l Lost,
}

impl ConvertedTemplate {
    /// The losses below the items that this template carries; the others belong to no item.
    pub fn losses_of_items<'l>(&self, lost: &'l [Lost]) -> Vec<ItemLoss<'l>> {
        lost.iter().filter_map(|lost| self.loss_of_item(lost)).collect()
    }

    fn loss_of_item<'l>(&self, lost: &'l Lost) -> Option<ItemLoss<'l>> {
        let below = |(path, source): &(String, String)| {
            // FILE:LINE: FIELD
            let (_, field) = source.strip_prefix(&lost.file)?.strip_prefix(':')?.split_once(": ")?;
            let rest = lost.path.strip_prefix(field).filter(|rest| rest.starts_with(['.', '[']))?;
            path.ends_with(']').then(|| (pointer(path), rest.trim_start_matches('.')))
        };
        let nearest = self.places.iter().filter_map(below).min_by_key(|(_, field)| field.len());
        nearest.map(|(pointer, field)| ItemLoss { pointer, field, lost })
    }
}

/// `spec.sidecars[0]` as `/spec/sidecars/0`.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace(['.', '['], "/").replace(']', ""))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::SourceFormat;
    use super::*;

    #[test]
    fn a_loss_belongs_to_the_nearest_item_around_it() {
        let place = |path: &str, source: &str| (path.to_owned(), source.to_owned());
        let template = ConvertedTemplate {
            value: Value::Null,
            from: "f:1".to_owned(),
            format: SourceFormat::SidecarSet,
            places: vec![
                place("spec.match", "f:1: spec"),
                place("spec.sidecars[0]", "f:3: spec.containers[1]"),
                place("spec.sidecars[1]", "f:9: spec.containers[10]"),
            ],
        };
        let lost = |file: &str, path: &str| Lost {
            file: file.to_owned(),
            line: 1,
            path: path.to_owned(),
            why: String::new(),
            instead: String::new(),
        };
        let all = [
            lost("f", "spec.updateStrategy"),
            lost("f", "spec.containers[1].transferEnv[0]"),
            lost("g", "spec.containers[1].x"),
            lost("f", "spec.containers[10].y"),
            lost("f", "spec.containers[1]"),
        ];
        let found: Vec<_> =
            template.losses_of_items(&all).into_iter().map(|loss| (loss.pointer, loss.field.to_owned())).collect();
        let expected = [("/spec/sidecars/0", "transferEnv[0]"), ("/spec/sidecars/1", "y")];
        assert_eq!(found, expected.map(|(pointer, field)| (pointer.to_owned(), field.to_owned())));
    }
}
