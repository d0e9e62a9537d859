//! Files of many shapes through `outrigger inject` and back: what is not touched stays byte for byte.
//!
//! The files are in `tests/testdata/offline/`: in `untouched/` nobody requests a template, in `injected/`
//! somebody requests `helper`. A new shape is a new file there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pretty_assertions::assert_eq;
use serde_json::Value;

const TEMPLATE: &str = "
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: helper}
spec:
  sidecars:
  - {name: helper, image: 'example.com/helper:1', args: ['a: b', \"two\\nlines\\n\"]}
  volumes:
  - {name: helper-data, emptyDir: {}}
  app:
    volumeMounts:
    - {name: helper-data, mountPath: /helper}
  pod: {securityContext: {fsGroup: 5}}
";

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/offline").join(directory);
    let entries = std::fs::read_dir(&directory).expect("a directory");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

struct Run {
    templates: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        let templates = tempfile::tempdir().expect("a directory");
        std::fs::write(templates.path().join("helper.yaml"), TEMPLATE).expect("a file");
        Self { templates }
    }

    fn inject(&self, file: &Path, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
        command.arg("inject").arg(file).arg("--templates").arg(self.templates.path().join("helper.yaml"));
        command.args(more).output().expect("the program runs")
    }

    fn done(&self, file: &Path, more: &[&str]) -> Vec<u8> {
        let output = self.inject(file, more);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {stderr}", file.display());
        assert!(!stderr.contains("written anew"), "{}: {stderr}", file.display());
        output.stdout
    }
}

#[test]
fn files_in_which_nobody_asks_come_out_byte_for_byte() {
    let run = Run::new();
    let files = files("untouched");
    assert!(files.len() >= 30, "{}", files.len());
    for file in &files {
        let text = std::fs::read(file).expect("a file");
        assert_eq!(
            run.done(file, &[]).escape_ascii().to_string(),
            text.escape_ascii().to_string(),
            "{}",
            file.display()
        );
        // They are objects for the other formats too.
        run.done(file, &["-o", "json"]);
        assert_eq!(run.done(file, &["-o", "diff"]), b"", "{}", file.display());
    }
}

/// Lines that are in the first text are in the second one too, in their order.
fn keeps_lines(before: &str, after: &str) -> Result<(), String> {
    let mut after = after.lines();
    for line in before.lines() {
        if !after.any(|other| other == line) {
            return Err(line.to_owned());
        }
    }
    Ok(())
}

#[test]
fn injected_files_keep_their_text_and_uninject_gives_it_back() {
    let run = Run::new();
    let files = files("injected");
    assert!(files.len() >= 10, "{}", files.len());
    let directory = tempfile::tempdir().expect("a directory");
    for file in &files {
        let name = file.display();
        let before = std::fs::read_to_string(file).expect("a file");
        let injected = run.done(file, &[]);
        let after = String::from_utf8(injected.clone()).expect("text");
        // An empty value is filled, and a flow collection grows within its line.
        let grows = before.contains(": []") || before.contains(": {");
        assert!(grows || keeps_lines(&before, &after).is_ok(), "{name}: {:?}\n{after}", keeps_lines(&before, &after));
        let comments = |text: &str| -> Vec<String> {
            text.lines().filter_map(|line| line.split_once('#')).map(|(_, comment)| comment.to_owned()).collect()
        };
        assert_eq!(comments(&before), comments(&after), "{name}");
        assert_eq!(before.contains("\r\n"), after.contains("\r\n"), "{name}");

        // The text says what the other format says.
        let json: Value = serde_json::from_slice(&run.done(file, &["-o", "json"])).expect("JSON");
        let from_text = directory.path().join("after.yaml");
        std::fs::write(&from_text, &injected).expect("a file");
        let again: Value = serde_json::from_slice(&run.done(&from_text, &["-o", "json"])).expect("JSON");
        assert_eq!(json, again, "{name}");
        assert!(json.to_string().contains("example.com/helper:1"), "{name}");

        // Twice is once, and uninject gives back every byte.
        assert_eq!(run.done(&from_text, &[]), injected, "{name}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
        let back = command.arg("uninject").arg(&from_text).output().expect("the program runs");
        assert_eq!(String::from_utf8_lossy(&back.stdout), before, "{name}");
    }
}
