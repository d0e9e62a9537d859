//! What the program says of itself: without a command, in shells, man pages and the reference.

use std::path::Path;

use super::{Workspace, outrigger};

#[test]
fn without_a_command_it_tells_the_three_ways_to_run_it() {
    let ran = Workspace::new().run(&[]);
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    for way in ["On files", "As a webhook", "In a cluster", "outrigger --help"] {
        assert!(ran.stdout.contains(way), "{way}: {}", ran.stdout);
    }
}

/// The words that the script of bash gets for an unfinished command line.
fn completed(words: &[&str]) -> Vec<String> {
    let mut command = outrigger();
    command.env("OUTRIGGER_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    // No cluster is asked.
    command.env("KUBECONFIG", "/nowhere").env("HOME", "/nowhere").env_remove("KUBERNETES_SERVICE_HOST");
    let output = command.arg("--").args(words).output().expect("the program runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").split('\u{b}').flat_map(str::lines).map(str::to_owned).collect()
}

#[test]
fn shells_complete_commands_flags_and_templates() {
    assert_eq!(completed(&["outrigger", "ge"]), ["get", "generate"]);
    assert_eq!(completed(&["outrigger", "upgrade", "--max"]), ["--max-unavailable"]);
    assert_eq!(completed(&["outrigger", "generate", "completions", "po"]), ["powershell"]);
    let templates = completed(&["outrigger", "get", "log-"]);
    assert!(templates.contains(&"log-collector".to_owned()), "{templates:?}");
    assert_eq!(completed(&["outrigger", "get", "--context", ""]), [""; 0], "without a kubeconfig there is no context");
}

#[test]
fn names_are_those_of_the_directory_on_the_command_line() {
    let workspace = Workspace::new();
    let template = "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: mine}\n\
                    spec: {sidecars: [{name: s, image: \"x:1\"}]}\n";
    workspace.file("templates/mine.yaml", template);
    workspace.file("templates/broken.yaml", "spec: [");
    let directory = workspace.path("templates").display().to_string();
    for command in ["templates", "export"] {
        assert_eq!(completed(&["outrigger", command, "--templates", &directory, "m"]), ["mine"], "{command}");
    }
    assert_eq!(completed(&["outrigger", "templates", &format!("--templates={directory}"), "m"]), ["mine"]);
}

#[test]
fn contexts_of_the_kubeconfig_are_completed() {
    let workspace = Workspace::new();
    let context = "apiVersion: v1\nkind: Config\ncontexts:\n- {name: kind-one, context: {cluster: c, user: u}}\n";
    workspace.file("kubeconfig", context);
    let mut command = outrigger();
    command.env("OUTRIGGER_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "3");
    command.env("KUBECONFIG", workspace.path("kubeconfig"));
    let output = command.args(["--", "outrigger", "get", "--context", ""]).output().expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "kind-one");
}

#[test]
fn every_shell_has_a_script_that_asks_the_program() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = Workspace::new().run(&["generate", "completions", shell]).done();
        assert!(script.contains("OUTRIGGER_COMPLETE") && script.contains("outrigger"), "{shell}: {script}");
    }
}

/// What bash would insert for the last word of this command line, as the script says. `words` are those
/// into which bash splits it.
fn of_bash(workspace: &Workspace, line: &str, words: &[&str]) -> Vec<String> {
    const TRY: &str = r#"
        source <(outrigger generate completions bash)
        COMP_LINE=$1; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
        word=${!#}
        _clap_complete_outrigger outrigger "${word#[\"\']}"
        printf '%s\v' "${COMPREPLY[@]% }""#;
    let programs = Path::new(env!("CARGO_BIN_EXE_outrigger")).parent().expect("a directory");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", TRY, "bash", line]).args(words).env("PATH", path).current_dir(workspace.path(""));
    bash.env("KUBECONFIG", workspace.path("kubeconfig"));
    let output = bash.output().expect("bash runs");
    assert_eq!((output.status.success(), String::from_utf8_lossy(&output.stderr).as_ref()), (true, ""), "{line}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split_terminator('\u{b}').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_inserts_names_so_that_nothing_in_them_is_run() {
    let workspace = Workspace::new();
    for name in ["zz$(touch pwned).yaml", "my file.yaml", "it's.yaml", "q\"d.yaml", "aXb", "aYb"] {
        workspace.file(name, "");
    }
    let contexts = ["pro$(touch pwned)", "a*b", "n\\e[31m", "eu:one"]
        .map(|name| format!("- {{name: \"{name}\", context: {{cluster: c, user: u}}}}\n"));
    workspace.file("kubeconfig", format!("apiVersion: v1\nkind: Config\ncontexts:\n{}", contexts.concat()));
    for (line, words, expected) in [
        ("outrigger lint zz", &["outrigger", "lint", "zz"][..], &[r"zz\$\(touch\ pwned\).yaml"][..]),
        ("outrigger lint my", &["outrigger", "lint", "my"], &[r"my\ file.yaml"]),
        (r"outrigger lint my\ f", &["outrigger", "lint", r"my\ f"], &[r"my\ file.yaml"]),
        ("outrigger lint 'it", &["outrigger", "lint", "'it"], &[r"it'\''s.yaml"]),
        ("outrigger lint \"q", &["outrigger", "lint", "\"q"], &[r#"q\"d.yaml"#]),
        ("outrigger get --context pro", &["outrigger", "get", "--context", "pro"], &[r"pro\$\(touch\ pwned\)"]),
        ("outrigger get --context=a", &["outrigger", "get", "--context", "=", "a"], &[r"a\*b"]),
        ("outrigger get --context=eu:o", &["outrigger", "get", "--context", "=", "eu", ":", "o"], &["one"]),
        ("outrigger get --context n", &["outrigger", "get", "--context", "n"], &[]),
    ] {
        assert_eq!(of_bash(&workspace, line, words), expected, "{line}");
    }
    assert!(!workspace.path("pwned").exists());
}

/// A credential plugin that asks somebody to sign in.
#[test]
#[cfg(unix)]
fn completion_waits_for_no_credential_plugin() {
    use std::os::unix::fs::PermissionsExt;

    let workspace = Workspace::new();
    workspace.file("plugin", "#!/bin/sh\necho sign in >&2\nexec sleep 20\n");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(workspace.path("plugin"), executable).expect("its owner may");
    let user = format!(
        "{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {}, interactiveMode: Never}}}}}}",
        workspace.path("plugin").display()
    );
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- {{name: c, context: {{cluster: c, user: u}}}}\n\
         clusters:\n- {{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}\nusers:\n- {user}\n"
    );
    workspace.file("kubeconfig", &kubeconfig);
    let mut command = outrigger();
    command.env("OUTRIGGER_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2");
    command.env("KUBECONFIG", workspace.path("kubeconfig"));
    let begun = std::time::Instant::now();
    let output = command.args(["--", "outrigger", "templates", "log-c"]).output().expect("the program runs");
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("log-collector"), "{output:?}");
}

#[test]
fn each_command_has_a_man_page() {
    let workspace = Workspace::new();
    assert!(workspace.run(&["generate", "man"]).done().contains(".TH outrigger 1"));
    assert_eq!(workspace.run(&["generate", "man", "--directory", "man"]).done(), "");
    for page in ["outrigger.1", "outrigger-inject.1", "outrigger-generate-webhook.1", "outrigger-upgrade.1"] {
        assert!(workspace.path("man").join(page).is_file(), "{page}");
    }
    workspace.file("file", "");
    let failed = workspace.run(&["generate", "man", "--directory", "file"]).failed();
    assert!(failed[0].starts_with("error: file: the pages cannot be written"), "{failed:?}");
}

#[test]
fn the_reference_of_commands_and_codes_is_that_of_the_program() {
    let workspace = Workspace::new();
    let printed = workspace.run(&["generate", "reference"]).done();
    assert_eq!(workspace.run(&["generate", "reference", "--directory", "pages"]).done(), "");
    assert_eq!(std::fs::read_to_string(workspace.path("pages/commands.md")).expect("a page"), printed);
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let pages = pages(&workspace.path("pages"));
    if std::env::var_os("OUTRIGGER_RECORD_REFERENCE").is_some() {
        for page in &pages {
            std::fs::create_dir_all(reference.join("lint")).expect("a directory that can be made");
            std::fs::copy(workspace.path("pages").join(page), reference.join(page))
                .expect("a file that can be written");
        }
    }
    let text = |directory: &Path, page: &String| std::fs::read_to_string(directory.join(page)).unwrap_or_default();
    for page in &pages {
        let is_same = text(&reference, page) == text(&workspace.path("pages"), page);
        assert!(is_same, "{page} differs; OUTRIGGER_RECORD_REFERENCE=1 cargo test --test it reference_of_commands");
    }
    let of_codes = |pages: Vec<String>| pages.into_iter().filter(|page| page.starts_with("lint/")).collect::<Vec<_>>();
    assert_eq!(of_codes(self::pages(&reference)), of_codes(pages), "a page of no code");
}

/// The generated pages below a directory, sorted.
fn pages(directory: &Path) -> Vec<String> {
    let names = |directory: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let of_codes = names(&directory.join("lint")).into_iter().map(|name| format!("lint/{name}"));
    let mut pages: Vec<String> = ["commands.md", "lint.md"].map(str::to_owned).into_iter().chain(of_codes).collect();
    pages.sort();
    pages
}
