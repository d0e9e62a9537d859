//! JSON Pointers (RFC 6901).

/// A key as one segment of a place, escaped as in JSON Pointer.
pub fn escape(segment: &str) -> String {
    if segment.contains(['~', '/']) { segment.replace('~', "~0").replace('/', "~1") } else { segment.to_owned() }
}

/// The key or place that was escaped.
pub fn unescape(place: &str) -> String {
    place.replace("~1", "/").replace("~0", "~")
}
