//! Scans the text of a pod once: checks that it is JSON, reads its head, and notes where its members
//! are, so that what is read afterwards is not searched again.
//!
//! Only pods as API servers write them are scanned. For others, which repeat a key of the head, escape
//! one or have another structure, [`ScannedPod::scan`] gives `None`, and the pod is read with serde.
//!
//! Invariant: a scanned pod has the head that serde would read.

use super::OperatingSystem;
use super::head::PodHead;
use crate::inject::annotations::NODE_OS;
use crate::inject::text::json_scanner::JsonScanner;
use std::borrow::Cow;

/// Members of an object in their order: key and text of the value.
pub(super) type Members<'a> = Vec<(&'a str, &'a str)>;

/// Most annotations of a scanned pod.
const MAX_ANNOTATIONS: usize = 1024;

/// A pod's head, and the texts of its fields.
pub(crate) struct ScannedPod<'a> {
    pub(super) head: PodHead<'a>,
    /// All members but annotations and managed fields.
    pub(super) metadata: Members<'a>,
    /// Whether the metadata has annotations, which are in the head.
    pub(super) has_annotations: bool,
    pub(super) spec: Members<'a>,
}

impl<'a> ScannedPod<'a> {
    /// Scans an object that is the whole text.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let mut scanner = JsonScanner::new(text);
        let pod = Self::scan(&mut scanner)?;
        scanner.is_at_end().then_some(pod)
    }

    /// Scans the object that is next. It may be any object with metadata and spec.
    pub(crate) fn scan(scanner: &mut JsonScanner<'a>) -> Option<Self> {
        let (mut metadata, mut spec) = (None, None);
        scanner.object(|scanner, key| match key {
            "metadata" if metadata.is_none() => scan_metadata(scanner).map(|found| metadata = Some(found)),
            "spec" if spec.is_none() => scan_spec(scanner).map(|found| spec = Some(found)),
            "metadata" | "spec" => None,
            _ => scanner.skip(),
        })?;
        let ((metadata, annotations), (spec, operating_system)) = (metadata?, spec?);
        let has_annotations = annotations.is_some();
        let head = PodHead::new(annotations.unwrap_or_default(), operating_system);
        Some(Self { head, metadata, has_annotations, spec })
    }

    /// `metadata.generateName`; empty if it is absent.
    pub(crate) fn generate_name(&self) -> Cow<'a, str> {
        let text = self.metadata.iter().find(|(key, _)| *key == "generateName").map(|(_, text)| *text);
        text.and_then(|text| JsonScanner::new(text).string_or_null()).unwrap_or_default()
    }
}

type Annotations<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

fn scan_metadata<'a>(scanner: &mut JsonScanner<'a>) -> Option<(Members<'a>, Option<Annotations<'a>>)> {
    let (mut members, mut annotations) = (Members::with_capacity(8), None);
    scanner.object(|scanner, key| match key {
        "annotations" if annotations.is_none() => scan_annotations(scanner).map(|found| annotations = Some(found)),
        "annotations" => None,
        "managedFields" => scanner.skip(),
        _ => scanner.raw().map(|text| members.push((key, text))),
    })?;
    Some((members, annotations))
}

fn scan_annotations<'a>(scanner: &mut JsonScanner<'a>) -> Option<Annotations<'a>> {
    let mut pairs = Annotations::with_capacity(4);
    scanner.pairs(|key, value| {
        pairs.push((key, value?));
        (pairs.len() <= MAX_ANNOTATIONS).then_some(())
    })?;
    Some(pairs)
}

fn scan_spec<'a>(scanner: &mut JsonScanner<'a>) -> Option<(Members<'a>, OperatingSystem)> {
    let mut members = Members::with_capacity(24);
    let (mut os, mut selected) = (None, None);
    scanner.object(|scanner, key| {
        let text = match key {
            "os" => scanner.text_of(|scanner| scan_once(scanner, "name", &mut os))?,
            "nodeSelector" => scanner.text_of(|scanner| scan_once(scanner, NODE_OS, &mut selected))?,
            _ => scanner.raw()?,
        };
        members.push((key, text));
        Some(())
    })?;
    let operating_system = OperatingSystem::of(os.flatten().as_deref(), selected.flatten().as_deref());
    Some((members, operating_system))
}

/// Reads a map of strings for the value of one key, which must not occur twice. The other values of a
/// map of strings are strings as well.
fn scan_once<'a>(scanner: &mut JsonScanner<'a>, wanted: &str, found: &mut Option<Option<Cow<'a, str>>>) -> Option<()> {
    if scanner.null() {
        return Some(());
    }
    scanner.pairs(|key, value| {
        if key != wanted {
            return Some(());
        }
        found.replace(value).is_none().then_some(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn scan(text: &str) -> Option<ScannedPod<'_>> {
        ScannedPod::of(text)
    }

    #[test]
    fn members_are_noted_with_their_texts() {
        let text = r#"{"kind":"Pod","metadata":{"generateName":"w\u0065b-","annotations":{"a":"b\n","c":""},"managedFields":[{"f:a":{}}]},
            "spec":{"containers":[ ],"os":{"name":"windows"}},"status":{}} "#;
        let pod = scan(text).expect("a pod");
        assert_eq!(pod.metadata, [("generateName", r#""w\u0065b-""#)]);
        assert_eq!(pod.spec, [("containers", "[ ]"), ("os", r#"{"name":"windows"}"#)]);
        assert_eq!(pod.generate_name(), "web-");
        assert_eq!(pod.head.annotation("a"), Some("b\n"));
        assert_eq!((pod.head.annotation_keys().count(), pod.has_annotations), (2, true));
        assert_eq!(pod.head.operating_system(), OperatingSystem::Windows);
    }

    /// The head is that which serde reads, or there is none.
    #[test]
    fn unusual_texts_are_left_to_serde() {
        let usual = r#"{"metadata":{"annotations":{"a":"b"}},"spec":{"os":{"name":"linux"},"nodeSelector":{"x":"y"}}}"#;
        assert!(scan(usual).is_some());
        for (from, to) in [
            (r#""metadata""#, r#""metadata":{},"metadata""#),
            (r#""metadata""#, r#""metad\u0061ta""#),
            (r#""metadata":{"#, r#""metadata":{"annotations":null,"#),
            (r#""annotations":"#, r#""annotations":{},"annotations":"#),
            (r#""annotations""#, r#""\u0061nnotations""#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#),
            (r#"{"a":"b"}"#, r#"{"a":1}"#),
            (r#"{"a":"b"}"#, "[]"),
            (r#"{"name":"linux"}"#, r#"{"name":"linux","name":"windows"}"#),
            (r#"{"name":"linux"}"#, r#"{"name":1}"#),
            (r#"{"name":"linux"}"#, r#""linux""#),
            (r#"{"x":"y"}"#, r#"{"x":1}"#),
            (r#"{"x":"y"}"#, "[]"),
            (r#","spec""#, r#","spec":null,"x""#),
            (r#"{"metadata":"#, r#"{"x":"#),
            (r#"}}"#, "}"),
            (r#"}}"#, "}}}"),
        ] {
            let text = usual.replacen(from, to, 1);
            assert_ne!(text, usual, "{from}");
            assert!(scan(&text).is_none(), "{text}");
        }
        let many: Value = (0..=MAX_ANNOTATIONS).map(|n| (n.to_string(), Value::from("x"))).collect();
        assert!(scan(&json!({"metadata": {"annotations": many}, "spec": {}}).to_string()).is_none());
    }
}
