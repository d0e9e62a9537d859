//! The manual of the command line, made of the declarations of its commands: man pages, and the
//! reference in Markdown.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use clap::{Arg, ArgAction, Command};

use super::{stdio, write_file};
use crate::lint;

/// Prints the man page of the program, or writes those of all commands into a directory.
pub(super) fn man(command: Command, directory: Option<&Path>) -> anyhow::Result<()> {
    match directory {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).context("cannot write the page")?;
            stdio::print(page)
        }
        Some(directory) => std::fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(command, directory))
            .with_context(|| format!("{}: the pages cannot be written", directory.display())),
    }
}

/// All commands in Markdown, as docs/reference/commands.md has it.
pub(super) fn reference(mut command: Command) -> String {
    command.build();
    let mut text = String::from(
        "# Commands\n\n<!-- Made by `outrigger generate reference`; a test compares. -->\n\n\
         Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 refused or invalid with every problem\n\
         listed, 2 wrong usage. Called as `kubectl-outrigger` the program is the plugin `kubectl outrigger`.\n",
    );
    let commands: Vec<&Command> = command.get_subcommands().filter(|command| is_shown(command)).collect();
    text.push_str("\n| command | does |\n|---|---|\n");
    for command in &commands {
        let name = command.get_name();
        // Writing to a String cannot fail.
        _ = writeln!(text, "| [`{name}`](#outrigger-{name}) | {} |", about(command));
    }
    for command in commands {
        section(&mut text, command, &format!("outrigger {}", command.get_name()), 2);
    }
    text
}

/// Writes all generated pages of `docs/reference` into a directory.
pub(super) fn write_reference(command: Command, directory: &Path) -> anyhow::Result<()> {
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        write_file::replace(&path, text.as_bytes())
            .with_context(|| format!("{}: the page cannot be written", path.display()))
    };
    let of_codes = directory.join("lint");
    std::fs::create_dir_all(&of_codes)
        .with_context(|| format!("{}: the directory cannot be made", of_codes.display()))?;
    write("commands.md", reference(command))?;
    write("lint.md", lint::index())?;
    lint::Code::ALL.iter().try_for_each(|code| write(&format!("lint/{}.md", code.as_str()), lint::page(*code)))
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default().replace('\n', " ")
}

fn section(text: &mut String, command: &Command, name: &str, level: usize) {
    let mut usage = command.clone();
    let usage = usage.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    _ = write!(text, "\n{} {name}\n\n{}.\n\n```text\n{usage}\n```\n", "#".repeat(level), about(command));
    let shown = |argument: &&Arg| !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version");
    let arguments: Vec<&Arg> = command.get_arguments().filter(shown).collect();
    if !arguments.is_empty() {
        text.push_str("\n| argument | meaning |\n|---|---|\n");
        for argument in arguments {
            _ = writeln!(text, "| {} | {} |", written(argument), meaning(argument));
        }
    }
    for inner in command.get_subcommands().filter(|inner| is_shown(inner)) {
        section(text, inner, &format!("{name} {}", inner.get_name()), level + 1);
    }
}

/// `-o`, `--output FORMAT`
fn written(argument: &Arg) -> String {
    let names: Vec<String> = argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let value = if takes_value { names.join(" ") } else { String::new() };
    let long = argument.get_long().map(|long| format!("--{long}"));
    let written = match (argument.get_short(), long) {
        (Some(short), Some(long)) => format!("`-{short}`, `{}`", format!("{long} {value}").trim_end()),
        (None, Some(long)) => format!("`{}`", format!("{long} {value}").trim_end()),
        (Some(short), None) => format!("`{}`", format!("-{short} {value}").trim_end()),
        (None, None) => format!("`{value}`"),
    };
    written.replace('|', "\\|")
}

fn meaning(argument: &Arg) -> String {
    let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " ");
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let possible: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| takes_value && !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !possible.is_empty() {
        _ = write!(meaning, ". One of {}", possible.join(", "));
    }
    let default: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if takes_value && !default.is_empty() {
        _ = write!(meaning, ". Default: `{}`", default.join(","));
    }
    meaning.replace('|', "\\|")
}
