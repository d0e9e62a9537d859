//! The list of the conventions, and the templates that may break one.
//!
//! Invariant: the name of a rule says what must hold.

use super::{Rule, companions, containers, names, parameters};

/// The rule of text that could become configuration.
pub const HOSTILE: &str = "parameter refuses line breaks and quotes";

/// Each rule by its name, which begins every violation.
pub const RULES: &[(&str, Rule)] = &[
    ("loads without a warning", companions::loads),
    ("begins with a comment", companions::begins_with_a_comment),
    ("has the name of its file", companions::has_the_name_of_its_file),
    ("labels", companions::labels),
    ("description", companions::description),
    ("excludes", companions::excludes),
    ("test cases", companions::test_cases),
    ("example", companions::example),
    ("page", companions::page),
    ("end-to-end case", companions::end_to_end_case),
    ("parameter has a description", parameters::descriptions),
    ("parameter has a rule", parameters::rules),
    (HOSTILE, parameters::hostile_text),
    ("parameters stand in the usual order", parameters::order),
    ("usual parameter", parameters::usual),
    ("one name has one type", parameters::types),
    ("image", parameters::images),
    ("sizes are parameters", parameters::sizes),
    ("names of containers", names::containers),
    ("names of volumes", names::volumes),
    ("names of ports", names::port_names),
    ("numbers of ports", names::port_numbers),
    ("image of a container is a parameter", containers::images),
    ("requests and limits", containers::resources),
    ("probes", containers::probes),
    ("termination message", containers::termination_message),
    ("security context", containers::security_context),
    ("volumes", containers::volumes),
    ("host network", containers::host_network),
    ("files", containers::files),
];

/// Template, rule, a part of the violation, and why it stays.
pub const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[
    ("log-collector", "names of containers", "fluent-bit", "the name is older than the rule, and pods override it"),
    ("proxy", "names of containers", "envoy", "the name is older than the rule, and pods override it"),
    ("content-writer", HOSTILE, "script", "it is a program of the pod's author"),
    ("auth-proxy", HOSTILE, "jwks", "it is JSON, and stands in a file of its own"),
    ("init-config", HOSTILE, "text", "it is the app's own file"),
    ("debug-tools", "security context", "runAsUser is Some(0)", "a parameter gives it the right to trace the app"),
    (
        "proxy-transparent",
        "security context",
        "proxy-transparent-rules",
        "only root may set the rules of the pod's network",
    ),
    ("init-migrate", HOSTILE, "command", "it is a program of the pod's author"),
    ("init-migrate", HOSTILE, "done", "it is a program of the pod's author"),
    ("init-migrate", "security context", "init-migrate", "it is the app's own program, with the user of the app"),
    ("debug-tools", "probes", "debug-tools", "it waits for people, and has nothing that could be asked"),
];
