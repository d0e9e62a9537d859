//! The laws of the patch, checked with code that the engine does not use itself.

use json_patch::{Patch, PatchOperation};
use outrigger::inject::{Injection, Injector, Outcome, Request, uninject};
use serde_json::Value;

/// Checks all laws for one injected pod; each failure prints the pod and the patch.
pub fn hold(injector: &Injector, pod: &Value, injection: &Injection) {
    let shown = || format!("pod: {pod:#}\npatch: {}", String::from_utf8_lossy(&injection.patch_json));
    let patch = injection.patch().unwrap_or_else(|error| panic!("no patch: {error}\n{}", shown()));
    assert!(!patch.0.is_empty(), "an injection changes something\n{}", shown());
    let injected = applies(pod, &patch);
    assert_eq!(second_engine(pod, &patch).as_ref(), Ok(&injected), "a strict second engine agrees\n{}", shown());
    assert_no_more(injector, &injected, &shown);
    assert_eq!(repeated(injector, pod), injection.patch_json, "the same input gives the same patch\n{}", shown());
    assert_keeps("", pod, &injected, &shown);
    let restored = uninject(&injected, &injector.settings().domain);
    assert_eq!(restored, Ok(Some(pod.clone())), "uninject gives the pod back\n{}", shown());
}

/// Applies the patch and returns the resulting pod.
pub fn applies(pod: &Value, patch: &Patch) -> Value {
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, patch).unwrap_or_else(|error| panic!("the patch does not apply: {error}\n{pod:#}"));
    patched
}

fn assert_no_more(injector: &Injector, injected: &Value, shown: &impl Fn() -> String) {
    match injector.inject(&Request::create_pod("demo", &injected.to_string())) {
        Ok(Outcome::Skipped(_)) => {}
        Ok(Outcome::Injected(again)) => panic!("injected again: {:?}\n{}", again.patch(), shown()),
        Err(error) => panic!("refused the second time: {error}\n{}", shown()),
    }
}

fn repeated(injector: &Injector, pod: &Value) -> Vec<u8> {
    match injector.inject(&Request::create_pod("demo", &pod.to_string())) {
        Ok(Outcome::Injected(injection)) => injection.patch_json,
        other => panic!("the second run decided otherwise: {other:?}"),
    }
}

/// Checks that no field of the pod is lost or changed: objects keep their keys, and lists keep
/// their elements in order. Exceptions are defaults of the API server, which may be replaced, and
/// containers with `image: auto`, which the template completes.
fn assert_keeps(path: &str, before: &Value, after: &Value, shown: &impl Fn() -> String) {
    const REPLACEABLE: [&str; 9] = [
        "/spec/terminationGracePeriodSeconds",
        "/spec/dnsPolicy",
        "/spec/schedulerName",
        "/spec/serviceAccountName",
        "/spec/serviceAccount",
        "/spec/securityContext",
        "/spec/enableServiceLinks",
        "/spec/priority",
        "/spec/preemptionPolicy",
    ];
    if REPLACEABLE.contains(&path) || before["image"] == "auto" {
        return;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let path = format!("{path}/{key}");
                match after.get(key) {
                    Some(kept) => assert_keeps(&path, value, kept, shown),
                    None => assert!(REPLACEABLE.contains(&path.as_str()), "{path} is gone\n{}", shown()),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => assert_keeps_elements(path, before, after, shown),
        // A list or map that was null may be created.
        (Value::Null, _) => {}
        _ => assert_eq!(before, after, "{path} has changed\n{}", shown()),
    }
}

/// Compares elements with a name to the element of that name; all others must be present unchanged.
/// The order must stay.
fn assert_keeps_elements(path: &str, before: &[Value], after: &[Value], shown: &impl Fn() -> String) {
    let mut position = 0;
    for element in before {
        let same = |other: &Value| match element["name"].as_str() {
            Some(name) => other["name"] == name && other["mountPath"] == element["mountPath"],
            None => other == element,
        };
        let found = after[position..].iter().position(same);
        let found = found.unwrap_or_else(|| panic!("{path}: {element} is gone or moved\n{}", shown()));
        assert_keeps(&format!("{path}/#"), element, &after[position + found], shown);
        position += found + 1;
    }
}

/// A second, strict implementation of RFC 6902 for the operations that a merge may use.
fn second_engine(pod: &Value, patch: &Patch) -> Result<Value, String> {
    let mut pod = pod.clone();
    for operation in &patch.0 {
        match operation {
            PatchOperation::Add(add) => put(&mut pod, add.path.as_str(), add.value.clone(), false)?,
            PatchOperation::Replace(replace) => put(&mut pod, replace.path.as_str(), replace.value.clone(), true)?,
            PatchOperation::Remove(remove) => take(&mut pod, remove.path.as_str())?,
            other => return Err(format!("an operation that a merge does not need: {other:?}")),
        }
    }
    Ok(pod)
}

fn put(pod: &mut Value, path: &str, value: Value, replaces: bool) -> Result<(), String> {
    let (parent, key) = parent(pod, path)?;
    match parent {
        Value::Object(object) if object.contains_key(&key) == replaces => {
            object.insert(key, value);
            Ok(())
        }
        Value::Array(list) if key == "-" && !replaces => {
            list.push(value);
            Ok(())
        }
        Value::Array(list) => match key.parse::<usize>() {
            Ok(index) if !replaces && index <= list.len() => {
                list.insert(index, value);
                Ok(())
            }
            Ok(index) if replaces && index < list.len() => {
                list[index] = value;
                Ok(())
            }
            _ => Err(format!("{path}: no such place in a list of {}", list.len())),
        },
        _ => Err(format!("{path}: added although there, or replaced although absent")),
    }
}

fn take(pod: &mut Value, path: &str) -> Result<(), String> {
    let (parent, key) = parent(pod, path)?;
    let removed = parent.as_object_mut().and_then(|object| object.remove(&key));
    removed.map(|_| ()).ok_or_else(|| format!("{path}: nothing to remove"))
}

fn parent<'a>(pod: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), String> {
    let (parent, key) = path.rsplit_once('/').ok_or_else(|| format!("{path:?} names the pod itself"))?;
    let parent = pod.pointer_mut(parent).ok_or_else(|| format!("{path}: its parent is not there"))?;
    Ok((parent, key.replace("~1", "/").replace("~0", "~")))
}
