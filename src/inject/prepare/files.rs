//! Makes volumes of a template's files: the pod carries the text of each in an annotation, and a
//! downwardAPI volume shows it as a file.
//!
//! Invariant: the text is the template's. A pod that brings such an annotation with another text is
//! refused.

use super::Preparation;
use super::parameters::MAX_PROBLEMS;
use crate::inject::annotations;
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::merge::FileVolume;
use crate::inject::overlay::{Overlay, OverlayPart};
use crate::inject::template::Template;
use crate::inject::text::json::text;
use crate::inject::text::{message, quote, value};
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Preparation<'_, '_> {
    /// The volumes of the template's files.
    pub(super) fn files(&self, template: &Template, overlay: &Overlay) -> Result<Vec<FileVolume>, Vec<Problem>> {
        let files = overlay.list(OverlayPart::Files);
        let volumes: Vec<FileVolume> = files.iter().map(|volume| self.file_volume(template, volume)).collect();
        let is_file = |key: &str| self.keys.parameter_of(&template.name, key).is_some_and(annotations::is_file);
        let mut own = self.pod.annotations().filter(|(key, _)| is_file(key)).peekable();
        if own.peek().is_none() {
            return Ok(volumes);
        }
        let keys = volumes.iter().flat_map(|volume| &volume.annotations).map(String::as_str);
        let texts: BTreeMap<&str, &str> = keys.zip(overlay.file_texts()).collect();
        let others = own.filter(|(key, text)| texts.get(key) != Some(text)).take(MAX_PROBLEMS);
        let problems: Vec<Problem> = others.map(|(key, _)| foreign(template, key)).collect();
        if problems.is_empty() { Ok(volumes) } else { Err(problems) }
    }

    fn file_volume(&self, template: &Template, volume: &Value) -> FileVolume {
        let name = text(volume, "name");
        let files = volume.get("items").and_then(Value::as_object).into_iter().flatten();
        let (mut items, mut annotations) = (Vec::new(), Vec::new());
        for (file, _) in files {
            let key = self.keys.file(&template.name, name, file);
            let field = format!("metadata.annotations['{key}']");
            items.push(json!({"path": file, "fieldRef": {"fieldPath": field}}));
            annotations.push(key);
        }
        FileVolume { volume: json!({"name": name, "downwardAPI": {"items": items}}), annotations }
    }
}

/// The problem of an annotation that the template does not write.
fn foreign(template: &Template, key: &str) -> Problem {
    let shown = quote(key);
    let rule = ": Outrigger alone writes the files of a template; remove the annotation";
    let message = message!["annotation ", value(shown.trim_matches('"')), rule];
    let (template, annotation) = (Some(template.name.clone()), Some(key.to_owned()));
    Problem { template, annotation, ..Problem::new(ErrorCode::AnnotationInvalid, message) }
}
