//! What is to be explained: files, or objects of a cluster by kind and name.

use std::path::PathBuf;

use super::super::errors::{ErrorList, Usage};
use super::kinds::{self, Kind};
use crate::inject::text::quote;

/// The file that has the text of an object's name, if there is one.
pub(super) fn file_of_the_same_name(arguments: &[String]) -> Option<&String> {
    arguments.iter().find(|argument| object(argument).is_ok() && PathBuf::from(argument).exists())
}

/// One thing to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    File(PathBuf),
    Object { kind: &'static Kind, name: String },
}

/// All subjects of the command line, or everything that is wrong with them. As for kubectl, `pod web`
/// is the same as `pod/web`, and `pod web db` names two.
pub(super) fn parse_all(arguments: &[String]) -> Result<Vec<Subject>, ErrorList> {
    let mut problems = ErrorList::default();
    if let Some((first, names)) = arguments.split_first()
        && let Some(kind) = kinds::find(first)
    {
        if names.is_empty() {
            let problem = format!("{} names a kind and no object, expected {first}/NAME", quote(first));
            problems.keep::<()>(Err(Usage::new(problem).into()));
        }
        let object = |name: &String| problems_of_name(name).map(|()| Subject::Object { kind, name: name.clone() });
        let found = names.iter().filter_map(|name| problems.keep(object(name))).collect();
        return problems.or(found);
    }
    let found = arguments.iter().filter_map(|argument| problems.keep(parse(argument))).collect();
    problems.or(found)
}

fn parse(argument: &str) -> Result<Subject, ErrorList> {
    let path = PathBuf::from(argument);
    let looks_like_file = argument == "-" || [".yaml", ".yml", ".json"].iter().any(|end| argument.ends_with(end));
    if looks_like_file {
        return Ok(Subject::File(path));
    }
    match object(argument) {
        // A file that has the same name is named by -f, or by ./ before it.
        Ok(object) => Ok(object),
        Err(_) if path.exists() => Ok(Subject::File(path)),
        Err(problems) => Err(problems),
    }
}

fn object(argument: &str) -> Result<Subject, ErrorList> {
    let Some((kind, name)) = argument.split_once('/') else {
        let hint = "expected KIND/NAME such as deploy/web, or -f FILE";
        let problem = format!("{} is no file and names no kind; {hint}; for a pod: pod/{argument}", quote(argument));
        return Err(Usage::new(problem).into());
    };
    let Some(found) = kinds::find(kind) else {
        let known = kinds::names();
        let near = crate::inject::text::nearest(kind, known.iter().copied());
        let hint = near.map(|near| format!("; did you mean {}?", quote(near))).unwrap_or_default();
        let known = "pod, deploy, sts, ds, rs, rc, job, cronjob";
        let problem = format!(
            "{}: kind {} has no pods that are looked into{hint}; expected one of {known}",
            quote(argument),
            quote(kind)
        );
        return Err(Usage::new(problem).into());
    };
    problems_of_name(name)?;
    Ok(Subject::Object { kind: found, name: name.to_owned() })
}

/// The name becomes part of a path of the API.
fn problems_of_name(name: &str) -> Result<(), ErrorList> {
    let is_fine =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || "-.".contains(character);
    if !name.is_empty() && name.len() <= 253 && name.chars().all(is_fine) {
        return Ok(());
    }
    let expected = "expected the name of an object: lower case letters, digits, '-' and '.'";
    Err(Usage::new(format!("name {}: {expected}", quote(name))).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Vec<String> {
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let show = |subject: Subject| match subject {
            Subject::File(path) => format!("file {}", path.display()),
            Subject::Object { kind, name } => format!("{} {name}", kind.kind),
        };
        match parse_all(&arguments) {
            Ok(found) => found.into_iter().map(show).collect(),
            Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn objects_are_named_as_for_kubectl() {
        for arguments in [&["deploy/web"][..], &["deployment", "web"], &["deployments.apps/web"], &["Deployment/web"]] {
            assert_eq!(parsed(arguments), ["Deployment web"], "{arguments:?}");
        }
        assert_eq!(parsed(&["po", "a", "b"]), ["Pod a", "Pod b"]);
        assert_eq!(
            parsed(&["cj/a", "sts/b", "app.yaml", "-"]),
            ["CronJob a", "StatefulSet b", "file app.yaml", "file -"]
        );
    }

    #[test]
    fn every_argument_that_names_nothing_is_refused_with_what_is_expected() {
        let problems = parsed(&["web", "deplyo/web", "svc/web", "pod/", "pod/Web", "pod/../x"]);
        assert_eq!(problems.len(), 6, "{problems:#?}");
        assert!(problems[0].contains("pod/web"), "{problems:#?}");
        assert!(problems[1].contains("did you mean \"deploy\"?"), "{problems:#?}");
        assert_eq!(parsed(&["deploy"]), ["\"deploy\" names a kind and no object, expected deploy/NAME"]);
    }
}
