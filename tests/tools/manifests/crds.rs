//! The CustomResourceDefinitions and the roles of people in the manifests and the chart.

use outrigger::api::crd;
use outrigger::api::template_object::TemplateKind;
use serde_json::{Value, json};

use super::render;
use super::{file, object, read, text};

tests! {
    the_manifests_equal_the_generated_definitions,
    the_command_prints_the_definitions,
    uninstalling_the_chart_keeps_the_definitions_unless_told_otherwise,
    a_removal_can_leave_the_definitions_out,
    people_get_no_rights_on_templates_of_the_cluster,
}

const KIND: &str = "CustomResourceDefinition";

fn manifest(kind: TemplateKind) -> String {
    format!("manifests/crds/{}.yaml", kind.plural())
}

fn the_manifests_equal_the_generated_definitions() {
    for kind in TemplateKind::ALL {
        let repair = "run outrigger generate crds and write its documents to manifests/crds and the chart's files/crds";
        pretty_assertions::assert_eq!(object(&manifest(kind)), crd::definition(kind), "{repair}");
        let of_chart = format!("manifests/chart/files/crds/{}.yaml", kind.plural());
        assert_eq!(read(&manifest(kind)), read(&of_chart), "{repair}");
        // Client-side `kubectl apply` keeps the object in an annotation of at most 256 KiB.
        assert!(read(&manifest(kind)).len() < 200 << 10, "{kind:?}");
    }
}

fn the_command_prints_the_definitions() {
    let mut outrigger = std::process::Command::new(env!("CARGO_BIN_EXE_outrigger"));
    let output = outrigger.args(["generate", "crds"]).output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = TemplateKind::ALL.map(|kind| read(&manifest(kind))).join("---\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

fn uninstalling_the_chart_keeps_the_definitions_unless_told_otherwise() {
    let definitions = |values: &[&str]| -> Vec<Value> {
        render::helm(values).into_iter().filter(|object| object["kind"] == KIND).collect()
    };
    for (values, expected) in [(&[][..], json!("keep")), (&["crds.keep=false"][..], Value::Null)] {
        let definitions = definitions(values);
        assert_eq!(definitions.len(), 2, "{values:?}");
        for definition in definitions {
            assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], expected, "{values:?}");
        }
    }
    assert_eq!(definitions(&["crds.install=false"]), [Value::Null; 0]);
}

/// docs/install.md removes everything without this label.
fn a_removal_can_leave_the_definitions_out() {
    let label = "app.kubernetes.io/component";
    for object in render::kustomize(&["high-availability", "monitoring"]) {
        let is_definition = object["kind"] == KIND;
        assert_eq!(object["metadata"]["labels"][label] == "crds", is_definition, "{}", object["metadata"]);
    }
    assert!(read("docs/install.md").contains("--selector=app.kubernetes.io/component!=crds"));
}

/// One who may write templates of the cluster can put a container beside any pod.
fn people_get_no_rights_on_templates_of_the_cluster() {
    let labels = |role: &Value, label: &str| {
        role["metadata"]["labels"].get(format!("rbac.authorization.k8s.io/{label}")).is_some()
    };
    for (values, is_aggregated) in [(&[][..], true), (&["rbac.aggregateTemplateRoles=false"][..], false)] {
        let objects = render::helm(values);
        let roles: Vec<&Value> = objects
            .iter()
            .filter(|object| object["kind"] == "ClusterRole" && text(object, "/metadata/name").contains("template"))
            .collect();
        assert_eq!(roles.len(), 3);
        for role in roles {
            let (rules, name) = (role["rules"].to_string(), text(role, "/metadata/name"));
            let names = ["aggregate-to-view", "aggregate-to-edit", "aggregate-to-admin"];
            let aggregated = names.map(|label| labels(role, label));
            let expected = match name {
                "outrigger-namespace-template-viewer" => [is_aggregated, false, false],
                "outrigger-template-editor" => [false, is_aggregated, is_aggregated],
                _ => [false; 3],
            };
            assert_eq!(aggregated, expected, "{name}");
            let may_write = ["create", "update", "patch", "delete", "\"*\""].iter().any(|verb| rules.contains(verb));
            assert!(!rules.contains("cluster") || !may_write && aggregated == [false; 3], "{name}: {rules}");
            assert!(!rules.contains("status"), "only the program writes it: {rules}");
        }
    }
    assert_eq!(file("manifests/base/template-roles.yaml").len(), 3);
}
