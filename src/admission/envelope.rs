//! Reads a review as API servers write it, and scans its pod in the same pass.
//!
//! Any other text gets `None`, and serde reads it: invalid JSON, repeated keys, fields of other types.
//! Invariant: a review that is read here is the one that serde would read.

use std::borrow::Cow;

use super::wire::{AdmissionRequest, AdmissionReview, GroupVersionResource};
use crate::inject::ScannedPod;
use crate::inject::text::json_scanner::JsonScanner;

/// The review, and its object if there is one.
pub(super) fn read(body: &[u8]) -> Option<(AdmissionReview<'_>, Option<ScannedPod<'_>>)> {
    let mut scanner = JsonScanner::new(std::str::from_utf8(body).ok()?);
    let (mut api_version, mut kind, mut request) = (None, None, None);
    scanner.object(|scanner, key| match key {
        "apiVersion" => put(&mut api_version, scanner.string_or_null()),
        "kind" => put(&mut kind, scanner.string_or_null()),
        "request" => put(&mut request, read_request(scanner)),
        _ => scanner.skip(),
    })?;
    let (request, pod) = request.filter(|_| scanner.is_at_end())?;
    Some((AdmissionReview { api_version: text(api_version), kind: text(kind), request: Some(request) }, pod))
}

fn read_request<'a>(scanner: &mut JsonScanner<'a>) -> Option<(AdmissionRequest<'a>, Option<ScannedPod<'a>>)> {
    let (mut uid, mut resource, mut sub_resource, mut name) = (None, None, None, None);
    let (mut namespace, mut operation, mut object, mut dry_run) = (None, None, None, None);
    scanner.object(|scanner, key| match key {
        "uid" => put(&mut uid, scanner.string_or_null()),
        "resource" => put(&mut resource, read_resource(scanner)),
        "subResource" => put(&mut sub_resource, scanner.string_or_null()),
        "name" => put(&mut name, scanner.string_or_null()),
        "namespace" => put(&mut namespace, scanner.string_or_null()),
        "operation" => put(&mut operation, scanner.string_or_null()),
        "object" => put(&mut object, read_object(scanner)),
        "dryRun" => put(&mut dry_run, scanner.boolean()),
        _ => scanner.skip(),
    })?;
    let (object, pod) = object.flatten().unzip();
    let request = AdmissionRequest {
        uid: text(uid),
        resource: resource.unwrap_or_default(),
        sub_resource: text(sub_resource),
        name: text(name),
        namespace: text(namespace),
        operation: text(operation),
        object,
        dry_run,
    };
    Some((request, pod))
}

fn read_resource<'a>(scanner: &mut JsonScanner<'a>) -> Option<GroupVersionResource<'a>> {
    let (mut group, mut version, mut resource) = (None, None, None);
    scanner.object(|scanner, key| match key {
        "group" => put(&mut group, scanner.string_or_null()),
        "version" => put(&mut version, scanner.string_or_null()),
        "resource" => put(&mut resource, scanner.string_or_null()),
        _ => scanner.skip(),
    })?;
    Some(GroupVersionResource { group: text(group), version: text(version), resource: text(resource) })
}

/// The object's text and its head; `Some(None)` for null.
fn read_object<'a>(scanner: &mut JsonScanner<'a>) -> Option<Option<(&'a str, ScannedPod<'a>)>> {
    if scanner.null() {
        return Some(None);
    }
    let mut pod = None;
    let text = scanner.text_of(|scanner| {
        pod = ScannedPod::scan(scanner);
        pod.is_some().then_some(())
    })?;
    Some(pod.map(|pod| (text, pod)))
}

/// Keeps a member of an object, which must not be there already.
fn put<T>(member: &mut Option<T>, value: Option<T>) -> Option<()> {
    member.replace(value?).is_none().then_some(())
}

fn text<'a, T: From<Cow<'a, str>>>(member: Option<Cow<'a, str>>) -> T {
    member.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVIEW: &str = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u\"",
        "resource":{"group":"","version":"v1","resource":"pods"},"subResource":null,"name":"n","namespace":"shop",
        "operation":"CREATE","userInfo":{"groups":["a"]},"dryRun":true,"options":null,
        "object":{"metadata":{"annotations":{"a":"b"}},"spec":{"containers":[]}},"oldObject":null}}
"#;

    /// What both ways read of a review.
    fn described(review: &AdmissionReview<'_>) -> String {
        let request = review.request.as_ref().map(|request| {
            let resource = &request.resource;
            let texts = [&request.uid, &resource.group, &resource.version, &resource.resource, &request.sub_resource];
            let more = [&request.name, &request.namespace, &request.operation];
            format!("{texts:?} {more:?} {:?} {:?}", request.object, request.dry_run)
        });
        format!("{:?} {:?} {request:?}", review.api_version, review.kind)
    }

    #[test]
    fn a_review_is_read_as_serde_reads_it() {
        for text in [REVIEW.to_owned(), REVIEW.replace("\"name\":\"n\",", ""), REVIEW.replace("true", "false")] {
            let (review, pod) = read(text.as_bytes()).expect("a usual review");
            let by_serde: AdmissionReview<'_> = serde_json::from_str(&text).expect("a review");
            assert_eq!(described(&review), described(&by_serde));
            assert!(pod.is_some());
        }
        let without = REVIEW.replace("\"object\":{", "\"object\":null,\"x\":{");
        let (review, pod) = read(without.as_bytes()).expect("a usual review");
        assert!(review.request.is_some_and(|request| request.object.is_none()) && pod.is_none());
    }

    #[test]
    fn unusual_reviews_are_left_to_serde() {
        for (from, to) in [
            ("\"uid\"", "\"u\\u0069d\""),
            ("\"uid\":", "\"uid\":\"a\",\"uid\":"),
            ("\"resource\":{", "\"resource\":null,\"x\":{"),
            ("\"dryRun\":true", "\"dryRun\":null"),
            ("\"dryRun\":true", "\"dryRun\":1"),
            ("\"CREATE\"", "5"),
            ("\"request\":", "\"request\":null,\"request\":"),
            ("\"request\":", "\"x\":"),
            ("\"object\":", "\"object\":null,\"object\":"),
            ("\"metadata\":", "\"metadata\":null,\"x\":"),
            ("}}\n", "}}\nx"),
            ("}}\n", "}"),
            ("[\"a\"]", "[\"a\",]"),
        ] {
            let text = REVIEW.replacen(from, to, 1);
            assert_ne!(text, REVIEW, "{from}");
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
        let mut bytes = REVIEW.as_bytes().to_vec();
        bytes[10] = 0xff;
        assert!(read(&bytes).is_none());
    }
}
