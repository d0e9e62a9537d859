//! Volumes that templates share and files that pods carry, in the output of `outrigger inject`.

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use super::{Workspace, documents, workloads};

/// A helper that reads the app's logs and a file of its own.
const TEMPLATE: &str = r##"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: helper}
spec:
  sidecars:
  - name: helper
    image: example.com/helper:1
    volumeMounts:
    - {name: logs, mountPath: /logs, readOnly: true}
    - {name: conf, mountPath: /etc/helper, readOnly: true}
  volumes:
  - {name: logs, emptyDir: {}, share: {mountedAt: /var/lib/db/log}}
  files:
  - name: conf
    items:
      helper.conf: "# ü: 'quotes' \"\\\"\n\ttab\r\n\0\x7f\e[0m: - {a: b} \n\n"
      numbers: "0x10"
  app:
    volumeMounts:
    - {name: logs, mountPath: /var/lib/db/log}
"##;

const TEXT: &str = "# ü: 'quotes' \"\\\"\n\ttab\r\n\0\u{7f}\u{1b}[0m: - {a: b} \n\n";

/// A StatefulSet whose container mounts its claim.
fn database() -> Value {
    let mut object = workloads().remove(2).0;
    object["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}}]);
    object["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/var/lib/db"}]);
    object
}

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.file("templates/helper.yaml", TEMPLATE);
    workspace
}

#[test]
fn a_claim_of_a_stateful_set_is_shared() {
    let printed = documents(&workspace().inject(&["-f", "-"], &database().to_string()).done());
    let spec = &printed[0]["spec"]["template"]["spec"];
    let expected = json!({"name": "data", "mountPath": "/logs", "readOnly": true, "subPath": "log"});
    assert_eq!(spec["initContainers"][0]["volumeMounts"][0], expected);
    assert_eq!(spec["containers"][0]["volumeMounts"], json!([{"name": "data", "mountPath": "/var/lib/db"}]));
    let volumes = spec["volumes"].as_array().expect("volumes");
    assert_eq!(volumes.iter().map(|volume| &volume["name"]).collect::<Vec<_>>(), [&json!("conf")]);
}

#[test]
fn files_are_printed_as_they_are_and_uninject_takes_them_out() {
    let workspace = workspace();
    let object = database();
    for format in ["yaml", "json"] {
        let printed = workspace.inject(&["-f", "-", "-o", format], &object.to_string()).done();
        let parsed =
            if format == "json" { vec![serde_json::from_str(&printed).expect("JSON")] } else { documents(&printed) };
        let annotations = &parsed[0]["spec"]["template"]["metadata"]["annotations"];
        assert_eq!(annotations["helper.outrigger.dev/file.conf.helper.conf"], TEXT, "{printed}");
        assert_eq!(annotations["helper.outrigger.dev/file.conf.numbers"], "0x10", "{printed}");
        let again = workspace.inject(&["-f", "-", "-o", format], &printed);
        assert_eq!((again.code, again.stdout), (0, printed.clone()), "{}", again.stderr);
        let back = workspace.run_with(&["uninject", "-f", "-"], &printed).done();
        assert_eq!(documents(&back), std::slice::from_ref(&object));
    }
}
