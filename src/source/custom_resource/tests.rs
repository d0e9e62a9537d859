//! Template objects as they come from a watch, and what is compiled again.

use super::*;
use crate::api::template_object::TemplateObjectStatus;
use crate::inject::TemplateState;

fn key(namespace: &str, name: &str) -> ObjectKey {
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty()).map(str::to_owned);
    ObjectKey { namespace, name: name.to_owned() }
}

fn applied(namespace: &str, name: &str, image: &str) -> TemplateChange {
    TemplateChange::Applied(Box::new(object(namespace, name, image)))
}

fn object(namespace: &str, name: &str, image: &str) -> TemplateObject {
    let key = key(namespace, name);
    let place = if namespace.is_empty() { String::new() } else { format!(r#","namespace":"{namespace}""#) };
    let document = format!(
        r#"{{"apiVersion":"outrigger.dev/v1alpha1","kind":"{}","metadata":{{"name":"{name}"{place}}},"spec":{{"sidecars":[{{"name":"s","image":"{image}"}}]}}}}"#,
        key.kind().kind()
    );
    let status = TemplateObjectStatus::default();
    TemplateObject { key, uid: "u".to_owned(), generation: 1, document, status }
}

fn list(objects: Vec<TemplateChange>) -> Vec<TemplateChange> {
    let begin = TemplateChange::ListBegins(TemplateKind::Cluster);
    let end = TemplateChange::ListEnds(TemplateKind::Cluster);
    std::iter::once(begin).chain(objects).chain([end]).collect()
}

fn states(objects: &TemplateObjects) -> Vec<(String, TemplateState)> {
    let loaded = TemplateSet::assemble(&objects.sources(), &TemplateSet::default());
    loaded.templates.all().map(|template| (template.name.to_owned(), template.state)).collect()
}

#[test]
fn objects_come_change_and_go() {
    let mut objects = TemplateObjects::default();
    assert!(objects.apply(list(vec![applied("", "a", "x:1"), applied("", "b", "x:1")])));
    assert!(!objects.apply(vec![applied("", "a", "x:1")]), "nothing is new");
    assert!(objects.apply(vec![applied("", "a", "x:2")]));
    assert!(objects.apply(vec![TemplateChange::Deleted(key("", "b"))]));
    assert!(!objects.apply(vec![TemplateChange::Deleted(key("", "b"))]));
    assert_eq!(states(&objects), [("a".to_owned(), TemplateState::Active)]);
}

#[test]
fn an_object_that_a_list_lacks_is_gone_when_the_list_ends() {
    let mut objects = TemplateObjects::default();
    objects.apply(list(vec![applied("", "a", "x:1"), applied("", "b", "x:1")]));
    objects.apply(vec![TemplateChange::ListBegins(TemplateKind::Cluster), applied("", "b", "x:1")]);
    assert_eq!(states(&objects).len(), 2, "the list may still show it");
    assert!(objects.is_listing());
    assert!(objects.apply(vec![TemplateChange::ListEnds(TemplateKind::Cluster)]));
    assert_eq!(states(&objects), [("b".to_owned(), TemplateState::Active)]);
}

#[test]
fn objects_that_vanish_all_at_once_are_orphans_until_one_is_there() {
    for gone in [list(Vec::new()), vec![TemplateChange::KindMissing(TemplateKind::Cluster)]] {
        let mut objects = TemplateObjects::default();
        objects.apply(list(vec![applied("", "a", "x:1")]));
        objects.apply(vec![applied("shop", "own", "x:1")]);
        assert!(objects.apply(gone));
        let expected = [("a".to_owned(), TemplateState::Orphaned), ("own".to_owned(), TemplateState::Active)];
        assert_eq!(states(&objects), expected);
        assert_eq!((objects.troubles().len(), objects.existing().count()), (1, 1));
        assert!(objects.apply(list(vec![applied("", "b", "x:1")])));
        assert_eq!(states(&objects)[0], ("b".to_owned(), TemplateState::Active));
        assert!(objects.troubles().is_empty());
    }
}

#[test]
fn many_objects_are_compiled_in_their_order_and_with_their_own_text() {
    let mut objects = TemplateObjects::default();
    let names: Vec<String> = (0..100).map(|index| format!("t-{index:03}")).collect();
    objects.apply(list(names.iter().map(|name| applied("", name, &format!("{name}:1"))).collect()));
    let loaded = TemplateSet::assemble(&objects.sources(), &TemplateSet::default());
    assert_eq!(loaded.templates.names(), names);
    let revisions: BTreeSet<&str> = loaded.templates.iter().map(|template| template.revision).collect();
    assert_eq!(revisions.len(), 100);
}

/// The revisions that the object has, the newest first, and the stable one.
fn history(objects: &TemplateObjects) -> (Vec<String>, String) {
    let (kept, stable) = objects.objects.values().next().and_then(|known| known.source.history()).expect("it works");
    (kept.into_iter().map(|kept| kept.revision).collect(), stable)
}

#[test]
fn edits_in_quick_succession_and_a_cleared_status_lose_no_revision() {
    let edition = |generation: i64, image: &str, rollout: &str| {
        let mut object = object("", "a", image);
        object.generation = generation;
        object.document = object.document.replace("\"sidecars\"", &format!("{rollout}\"sidecars\""));
        object
    };
    let edited = |generation: i64, image: &str, rollout: &str| {
        TemplateChange::Applied(Box::new(edition(generation, image, rollout)))
    };
    let mut objects = TemplateObjects::default();
    objects.apply(list(vec![edited(1, "x:1", "")]));
    let (_, first) = history(&objects);
    // No status was written in between.
    objects.apply(vec![edited(2, "x:2", ""), edited(3, "x:3", "")]);
    let (_, third) = history(&objects);
    objects.apply(vec![edited(4, "x:4", "\"rollout\":{\"percent\":0},")]);
    let (revisions, stable) = history(&objects);
    assert_eq!((revisions.len(), &stable), (4, &third), "what all pods had is stable");
    assert_eq!(revisions[3], first);
    // The same object with an empty status.
    assert!(!objects.apply(vec![edited(4, "x:4", "\"rollout\":{\"percent\":0},")]));
    assert_eq!(history(&objects), (revisions, stable));
    // Another object of the name has no history.
    let mut other = edition(1, "x:5", "");
    other.uid = "another".to_owned();
    objects.apply(vec![TemplateChange::Applied(Box::new(other))]);
    assert_eq!(history(&objects).0.len(), 1);
}

#[test]
fn a_namespace_takes_no_more_room_than_it_has() {
    let mut objects = TemplateObjects::default();
    objects.apply((0..120).map(|index| applied("shop", &format!("t-{index:03}"), "x:1")).collect());
    objects.apply(vec![applied("other", "own", "x:1")]);
    let loaded = TemplateSet::assemble(&objects.sources(), &TemplateSet::default());
    assert_eq!((loaded.templates.len(), loaded.templates.broken()), (101, 20));
    assert!(loaded.problems.iter().all(|problem| problem.to_string().contains("more than 100 templates")));
    let held =
        objects.objects.iter().filter(|(key, known)| known.bytes > 0 && key.namespace.as_deref() == Some("shop"));
    assert_eq!(held.count(), 100);
    let long = "x".repeat(200 * 1024);
    let mut objects = TemplateObjects::default();
    objects.apply((0..30).map(|index| applied("shop", &format!("t-{index:03}"), &long)).collect());
    assert!(objects.objects.values().filter(|known| known.bytes > 0).count() < 21);
    // Where one is gone, there is room again.
    objects.apply(vec![TemplateChange::Deleted(key("shop", "t-000")), applied("shop", "t-029", "x:1")]);
    assert!(objects.objects[&key("shop", "t-029")].bytes > 0);
}

#[test]
fn the_last_of_several_changes_of_a_new_object_counts() {
    let mut objects = TemplateObjects::default();
    objects.apply(vec![applied("", "a", "x:1"), applied("", "a", "x:2")]);
    let mut last = TemplateObjects::default();
    last.apply(vec![applied("", "a", "x:2")]);
    assert_eq!(history(&objects).1, history(&last).1, "the current revision");
}

#[test]
fn an_object_that_is_too_large_is_not_parsed() {
    let mut object = object("shop", "t", "x:1");
    object.document = format!("{{\"spec\":[{}]}}", r#"{"":1},"#.repeat(200_000));
    let mut objects = TemplateObjects::default();
    objects.apply(vec![TemplateChange::Applied(Box::new(object))]);
    let loaded = TemplateSet::assemble(&objects.sources(), &TemplateSet::default());
    assert!(loaded.problems[0].to_string().contains("256 KiB that a template may have"), "{:?}", loaded.problems);
}

#[test]
fn one_object_that_is_deleted_is_no_orphan() {
    let mut objects = TemplateObjects::default();
    objects.apply(list(vec![applied("", "a", "x:1")]));
    objects.apply(vec![TemplateChange::Deleted(key("", "a"))]);
    assert!(states(&objects).is_empty() && objects.troubles().is_empty());
}
