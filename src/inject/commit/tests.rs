//! Tests that the patch has the same effect as the edits of the tree.

use super::*;
use crate::inject::merge::Edit;
use crate::inject::text::pointer::Pointer;
use serde_json::json;

/// The tree after the edits, and the operations as JSON. Asserts that they have the same effect.
fn edited(tree: Value, edits: Vec<Edit>) -> (Value, Value) {
    let mut editor = Editor::new(tree.clone());
    editor.apply(Plan { edits, ..Plan::default() }).expect("the edits fit");
    let (edited, patch) = editor.finish();
    let patch: Patch = serde_json::from_slice(&patch).expect("a patch");
    let mut patched = tree;
    json_patch::patch(&mut patched, &patch).expect("the patch applies");
    assert_eq!(patched, edited);
    (edited, serde_json::to_value(&patch).expect("JSON"))
}

/// The pointer of a text without escapes.
fn pointer(text: &str) -> Pointer {
    Pointer::of(text.split('/').skip(1))
}

fn set(object: &str, key: &str, value: Value) -> Edit {
    Edit::Set { object: pointer(object), key: key.to_owned(), value }
}

fn append(list: &str, items: &[Value]) -> Edit {
    Edit::Append { list: pointer(list), items: items.to_vec() }
}

#[test]
fn missing_parents_are_added_first() {
    let (tree, patch) = edited(json!({}), vec![set("/metadata/labels", "a", json!("b"))]);
    assert_eq!(tree, json!({"metadata": {"labels": {"a": "b"}}}));
    let expected = json!([
        {"op": "add", "path": "/metadata", "value": {}},
        {"op": "add", "path": "/metadata/labels", "value": {}},
        {"op": "add", "path": "/metadata/labels/a", "value": "b"},
    ]);
    assert_eq!(patch, expected);
}

#[test]
fn null_parents_are_replaced() {
    let (tree, patch) = edited(json!({"metadata": {"labels": null}}), vec![set("/metadata/labels", "a", json!("b"))]);
    assert_eq!(tree, json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(patch[0], json!({"op": "replace", "path": "/metadata/labels", "value": {}}));
}

#[test]
fn an_existing_member_is_replaced() {
    let (_, patch) = edited(json!({"spec": {"a": 1}}), vec![set("/spec", "a", json!(2)), set("/spec", "b", json!(3))]);
    assert_eq!(
        patch,
        json!([{"op": "replace", "path": "/spec/a", "value": 2}, {"op": "add", "path": "/spec/b", "value": 3}])
    );
}

#[test]
fn keys_are_escaped() {
    let below = Edit::Set { object: Pointer::of(["labels", "a/b~c"]), key: "d".to_owned(), value: json!(1) };
    let (tree, patch) = edited(json!({}), vec![set("/labels", "a/b~c~1", json!("x")), below]);
    assert_eq!(patch[1]["path"], "/labels/a~1b~0c~01");
    assert_eq!(tree, json!({"labels": {"a/b~c~1": "x", "a/b~c": {"d": 1}}}));
}

#[test]
fn items_are_appended_to_a_list_or_create_it() {
    let (tree, patch) = edited(json!({"a": [1]}), vec![append("/a", &[json!(2), json!(3)])]);
    assert_eq!(tree, json!({"a": [1, 2, 3]}));
    assert_eq!(patch, json!([{"op": "add", "path": "/a/-", "value": 2}, {"op": "add", "path": "/a/-", "value": 3}]));
    for tree in [json!({}), json!({"a": null})] {
        let (tree, patch) = edited(tree, vec![append("/a", &[json!(1), json!(2)])]);
        assert_eq!(tree, json!({"a": [1, 2]}));
        assert_eq!(patch.as_array().map(Vec::len), Some(1), "a list is made at once");
    }
}

#[test]
fn items_are_inserted_at_their_position() {
    let insert = |index, item| Edit::Insert { list: pointer("/a"), index, item };
    let (tree, _) = edited(json!({"a": [1]}), vec![insert(0, json!(0)), insert(2, json!(2))]);
    assert_eq!(tree, json!({"a": [0, 1, 2]}));
}

#[test]
fn a_computed_member_is_removed() {
    let (tree, patch) = edited(
        json!({"spec": {"priority": 0}}),
        vec![Edit::Remove { object: pointer("/spec"), key: "priority".to_owned() }],
    );
    assert_eq!(tree, json!({"spec": {}}));
    assert_eq!(patch, json!([{"op": "remove", "path": "/spec/priority"}]));
}

#[test]
fn an_edit_that_does_not_fit_the_tree_is_an_error_not_a_panic() {
    let error_message = |tree: Value, edit: Edit| {
        Editor::new(tree).apply(Plan { edits: vec![edit], ..Plan::default() }).expect_err("does not fit").to_string()
    };
    assert_eq!(error_message(json!({"a": 1}), set("/a", "b", json!(1))), "the patch does not fit the pod at \"/a\"");
    error_message(json!({"a": 1}), append("/a", &[json!(1)]));
    error_message(json!({"a": {}}), append("/a", &[json!(1)]));
    error_message(json!({"a": [1]}), Edit::Insert { list: pointer("/a"), index: 2, item: json!(1) });
    error_message(json!({}), Edit::Insert { list: pointer("/a"), index: 0, item: json!(1) });
    error_message(json!({"a": {}}), Edit::Remove { object: pointer("/a"), key: "b".to_owned() });
    error_message(json!([]), set("/a", "b", json!(1)));
}
