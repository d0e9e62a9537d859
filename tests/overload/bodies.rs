//! Bodies of 8.9 MiB, about the largest that a legal pod can have: what an API server may send, and
//! what only a hostile client sends.

use serde_json::{Value, json};

use crate::support::{pod, review};

/// Length of every body: a pod at etcd's limit, with each character escaped sixfold.
pub const LENGTH: usize = 89 * 1024 * 1024 / 10;
/// Stands within a string, where a text of the right length comes to stand.
const TEXT: &str = "@text@";
/// Stands in a list, instead of which the same.
const LIST: &str = "@list@";

/// One body, and how its review must end when it is answered at all.
pub struct Body {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub allowed: bool,
}

/// All kinds. `template` is one that exists.
pub fn all(template: &str) -> Vec<Body> {
    let asks = || pod(&json!({"outrigger.dev/inject": template}));
    let plain = || pod(&json!({}));
    vec![
        body("legal", true, with_args(plain()), escapes),
        body("legal, asks", true, with_args(asks()), escapes),
        body("numbers", true, with_field(plain()), |length| repeat("1,", "1", length)),
        body("numbers, asks", false, with_field(asks()), |length| repeat("1,", "1", length)),
        body("maps", true, with_field(plain()), |length| repeat(r#"{"":1},"#, "1", length)),
        body("maps, asks", false, with_field(asks()), |length| repeat(r#"{"":1},"#, "1", length)),
        body("strings, asks", false, with_field(asks()), |length| repeat(r#""","#, "1", length)),
        body("as heavy as may be", true, heavy(asks()), escapes),
        body("annotations", false, annotation(plain(), "outrigger.dev/x"), |length| repeat(r#"","":""#, "", length)),
        body("a list of templates", false, annotation(plain(), "outrigger.dev/inject"), |length| {
            repeat("ab,", "", length)
        }),
        body("a status", false, status(asks()), |length| repeat("{},", "{}", length)),
    ]
}

/// `fill` makes the text that takes the place, of at most so many bytes.
fn body(name: &'static str, allowed: bool, object: Value, fill: impl Fn(usize) -> String) -> Body {
    let text = review(&object).to_string();
    let filling = fill(LENGTH - text.len());
    let bytes = text.replacen(&format!("\"{LIST}\""), &filling, 1).replacen(TEXT, &filling, 1).into_bytes();
    Body { name, bytes, allowed }
}

fn repeat(item: &str, last: &str, length: usize) -> String {
    item.repeat((length - last.len()) / item.len()) + last
}

/// `<&>` as the API server writes it.
fn escapes(length: usize) -> String {
    repeat(r"\u003c\u0026\u003e", "", length)
}

fn with_args(mut pod: Value) -> Value {
    pod["spec"]["containers"][0]["args"] = json!([TEXT]);
    pod
}

fn with_field(mut pod: Value) -> Value {
    pod["spec"]["fromAnEnemy"] = json!([LIST]);
    pod
}

/// Values up to what a pod may have as a tree, and text for the rest.
fn heavy(pod: Value) -> Value {
    let mut pod = with_args(pod);
    pod["spec"]["fromAnEnemy"] = json!(vec![1; 100_000]);
    pod
}

fn annotation(mut pod: Value, key: &str) -> Value {
    pod["metadata"]["annotations"][key] = json!(TEXT);
    pod
}

fn status(mut pod: Value) -> Value {
    pod["metadata"]["annotations"]["outrigger.dev/status"] = json!(format!(r#"{{"version":1,"templates":[{TEXT}]}}"#));
    pod
}
