//! Tests of keys that nothing reads: what each is taken for at each place.

use super::KeyPlace::*;
use super::*;
use std::collections::BTreeMap;

/// Names of parameters by template.
impl KnownTemplates for BTreeMap<String, Vec<String>> {
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.keys().map(String::as_str))
    }

    fn has(&self, template: &str) -> bool {
        self.contains_key(template)
    }

    fn parameters(&self, template: &str) -> Option<Vec<&str>> {
        Some(self.get(template)?.iter().map(String::as_str).collect())
    }

    fn is_complete(&self) -> bool {
        true
    }
}

fn templates() -> BTreeMap<String, Vec<String>> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    BTreeMap::from([
        ("log-collector".to_owned(), names(&["logDir", "memoryLimit"])),
        ("proxy".to_owned(), names(&["appPort", "revision"])),
    ])
}

fn check(requested: &[&str], place: KeyPlace, key: &str) -> UnreadKey {
    let keys = AnnotationKeys::new("outrigger.dev");
    let found = KeyCheck::new(&keys, &templates(), requested).key(place, key);
    UnreadKey { key: key.to_owned(), place, found }
}

fn sentence(requested: &[&str], place: KeyPlace, key: &str) -> String {
    check(requested, place, key).sentence().to_string()
}

#[test]
fn keys_that_are_read_or_written_have_no_finding() {
    for (place, key) in [
        (PodAnnotation, "outrigger.dev/inject"),
        (PodAnnotation, "outrigger.dev/containers"),
        (PodAnnotation, "outrigger.dev/status"),
        (PodAnnotation, "log-collector.outrigger.dev/logDir"),
        (PodLabel, "log-collector.outrigger.dev/revision"),
        (PodLabel, "removed-since.outrigger.dev/revision"),
        (PodAnnotation, "log-collector.outrigger.dev/file.conf.fluent.conf"),
        (PodAnnotation, "removed-since.outrigger.dev/file.conf.fluent.conf"),
        (NamespaceAnnotation, "outrigger.dev/inject"),
        (NamespaceLabel, "outrigger.dev/injection"),
        // `prepare` reports it, with the parameters that the template has.
        (PodAnnotation, "log-collector.outrigger.dev/other"),
    ] {
        assert_eq!(check(&["log-collector"], place, key).found, KeyUse::Read, "{place:?} {key}");
    }
}

#[test]
fn keys_of_other_domains_are_foreign() {
    for key in [
        "app",
        "prometheus.io/scrape",
        "sidecar.istio.io/inject",
        "outrigger.io/team",
        "outrigger.io/status",
        "log-collector.outrigger.io/revision",
        "log-collector.outrigger.io/file.conf.fluent.conf",
        "x.outriger.dev/y",
    ] {
        for place in [PodAnnotation, PodLabel, NamespaceLabel, OtherAnnotation] {
            assert_eq!(check(&["log-collector"], place, key).found, KeyUse::Foreign, "{key}");
        }
    }
}

#[test]
fn a_key_that_resembles_one_that_is_read_is_an_error_with_a_hint() {
    for (key, meant) in [
        ("outrigger.dev/container", "outrigger.dev/containers"),
        ("outrigger.dev/Containers", "outrigger.dev/containers"),
        ("outrigger.dev/injct", "outrigger.dev/inject"),
        ("Outrigger.dev/Inject", "outrigger.dev/inject"),
        ("Outrigger.dev/containers", "outrigger.dev/containers"),
        ("sidecar.outrigger.dev/inject", "outrigger.dev/inject"),
        ("proxy.outrigger.dev/inject", "outrigger.dev/inject"),
        ("log-colector.outrigger.dev/logDir", "log-collector.outrigger.dev/logDir"),
        ("log-colector.outrigger.dev/logdir", "log-collector.outrigger.dev/logDir"),
        ("Log-Collector.outrigger.dev/logDir", "log-collector.outrigger.dev/logDir"),
        ("log-collector.OUTRIGGER.dev/logDir", "log-collector.outrigger.dev/logDir"),
        ("outrigger.dev/logDir", "log-collector.outrigger.dev/logDir"),
        ("outrigger.dev/logdir", "log-collector.outrigger.dev/logDir"),
        ("outrigger.dev/proxy", "outrigger.dev/inject: proxy"),
    ] {
        let found = check(&["log-collector"], PodAnnotation, key);
        assert!(found.is_error(), "{found:?}");
        let expected = format!("annotation {key}: nothing reads this key; did you mean {meant:?}?");
        assert_eq!(found.sentence().to_string(), expected);
    }
}

#[test]
fn a_key_without_effect_that_misleads_nobody_is_no_error() {
    for (key, expected) in [
        (
            "proxy.outrigger.dev/appPort",
            "annotation proxy.outrigger.dev/appPort has no effect: the pod does not request template \"proxy\"",
        ),
        (
            "proxi.outrigger.dev/appPort",
            "annotation proxi.outrigger.dev/appPort: nothing reads this key; did you mean \"proxy.outrigger.dev/appPort\"?",
        ),
        ("outrigger.dev/team", "annotation outrigger.dev/team: nothing reads this key"),
        ("shop.outrigger.dev/team", "annotation shop.outrigger.dev/team: nothing reads this key"),
        (
            "outrigger.dev/injection",
            "annotation outrigger.dev/injection has no effect here: it must be a label of the namespace",
        ),
        (
            "outrigger.dev/injections",
            "annotation outrigger.dev/injections: nothing reads this key; did you mean \"outrigger.dev/injection\", a label of the namespace?",
        ),
        (
            "outriger.dev/containers",
            "annotation outriger.dev/containers: nothing reads this key; did you mean \"outrigger.dev/containers\"?",
        ),
        (
            "log-collector.outrigger.io/logDir",
            "annotation log-collector.outrigger.io/logDir: nothing reads this key; did you mean \"log-collector.outrigger.dev/logDir\"?",
        ),
        // The pod has the template that this key seems to ask for.
        (
            "outrigger.dev/log-collector",
            "annotation outrigger.dev/log-collector: nothing reads this key; did you mean \"outrigger.dev/inject: log-collector\"?",
        ),
    ] {
        let found = check(&["log-collector"], PodAnnotation, key);
        assert!(!found.is_error(), "{found:?}");
        assert_eq!(found.sentence().to_string(), expected);
    }
}

#[test]
fn a_key_at_the_wrong_place_is_told_its_place() {
    let pod = "it must be an annotation of the pod";
    let namespace = "it must be a label of the namespace";
    for (place, key, expected) in [
        (PodLabel, "outrigger.dev/inject", pod),
        (PodLabel, "log-collector.outrigger.dev/logDir", pod),
        (PodLabel, "outrigger.dev/injection", namespace),
        (OtherAnnotation, "outrigger.dev/inject", pod),
        (OtherLabel, "outrigger.dev/containers", pod),
        (NamespaceAnnotation, "outrigger.dev/injection", namespace),
        (NamespaceLabel, "outrigger.dev/inject", "it must be an annotation of the namespace"),
        (OtherLabel, "proxy.outrigger.dev/appPort", pod),
        (PodAnnotation, "log-collector.outrigger.dev/revision", "it must be a label of the pod"),
    ] {
        let found = check(&[], place, key);
        assert!(!found.is_error(), "{found:?}");
        assert_eq!(found.sentence().to_string(), format!("{} {key} has no effect here: {expected}", place.kind()));
    }
    assert_eq!(
        sentence(&[], PodLabel, "outriger.dev/inject"),
        "label outriger.dev/inject: nothing reads this key; did you mean \"outrigger.dev/inject\", an annotation of the pod?"
    );
    assert!(
        sentence(&[], NamespaceLabel, "outrigger.dev/Injection").ends_with("did you mean \"outrigger.dev/injection\"?")
    );
}

#[test]
fn a_pod_that_requests_nothing_reads_no_parameter() {
    let found = check(&[], PodAnnotation, "log-collector.outrigger.dev/logDir").found;
    assert_eq!(found, KeyUse::NotRequested { template: "log-collector".to_owned() });
}

#[test]
fn the_number_of_searches_and_findings_is_bounded() {
    let keys = AnnotationKeys::new("outrigger.dev");
    let templates = templates();
    let many: Vec<String> = (0..100).map(|_| "log-colector.outrigger.dev/logDir".to_owned()).collect();
    let check = KeyCheck::new(&keys, &templates, &["log-collector"]);
    let unread = check.unread(PodAnnotation, many.iter().map(String::as_str));
    assert_eq!(unread.len(), MAX_UNREAD);
    assert_eq!(unread.iter().filter(|key| key.is_near()).count(), MAX_SEARCHES);
}

#[test]
fn an_unknown_template_is_no_near_miss_while_a_source_cannot_be_read() {
    struct Incomplete(BTreeMap<String, Vec<String>>);
    impl KnownTemplates for Incomplete {
        fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
            self.0.names()
        }
        fn has(&self, template: &str) -> bool {
            self.0.has(template)
        }
        fn parameters(&self, template: &str) -> Option<Vec<&str>> {
            self.0.parameters(template)
        }
        fn is_complete(&self) -> bool {
            false
        }
    }
    let (keys, templates) = (AnnotationKeys::new("outrigger.dev"), Incomplete(templates()));
    let check = KeyCheck::new(&keys, &templates, &["log-collector"]);
    assert_eq!(check.key(PodAnnotation, "log-colector.outrigger.dev/logDir"), KeyUse::Unread);
    assert!(matches!(check.key(PodAnnotation, "outrigger.dev/container"), KeyUse::Near { .. }));
}
