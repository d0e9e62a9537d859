//! Label selectors as `kubectl -l` takes them, held against the labels of pod templates.
//!
//! The API server selects pods; a workload without pods is selected here. Invariant: a text that the API
//! server does not take as a selector is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use crate::inject::text::names::{check_label_value, check_qualified_name};
use crate::inject::text::quote;

/// All its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Exists,
    Absent,
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    GreaterThan(i64),
    LessThan(i64),
}

/// Whether the pods of a pod template are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    No,
    Yes,
    /// Unless a controller or a webhook gives them a label that the pod template lacks.
    UnlessLabelled,
}

impl PodSelector {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser(Tokens(text).peekable());
        let mut requirements = Vec::new();
        if parser.0.peek().is_none() {
            return Ok(Self(requirements));
        }
        loop {
            requirements.push(parser.requirement()?);
            match parser.0.next() {
                None => return Ok(Self(requirements)),
                Some(",") => {}
                Some(other) => return Err(format!("expected a comma, found {}", quote(other))),
            }
        }
    }

    /// Whether pods with the labels of a pod template are selected.
    pub(super) fn selects(&self, labels: &BTreeMap<String, String>) -> Selected {
        let holds = |one: &Requirement| one.condition.holds(labels.get(&one.key).map(String::as_str));
        match () {
            () if !self.0.iter().all(holds) => Selected::No,
            () if self.0.iter().all(|one| labels.contains_key(&one.key)) => Selected::Yes,
            () => Selected::UnlessLabelled,
        }
    }
}

impl Condition {
    fn holds(&self, label: Option<&str>) -> bool {
        let number = || label.and_then(|label| label.parse::<i64>().ok());
        match self {
            Self::Exists => label.is_some(),
            Self::Absent => label.is_none(),
            Self::In(values) => label.is_some_and(|label| values.contains(label)),
            // An absent label holds, as in Kubernetes.
            Self::NotIn(values) => label.is_none_or(|label| !values.contains(label)),
            Self::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Self::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// Signs and words of a selector; white space separates words.
struct Tokens<'t>(&'t str);

const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", "<", ">"];

fn is_end_of_word(character: char) -> bool {
    character.is_ascii_whitespace() || "=!(),<>".contains(character)
}

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let rest = self.0.trim_ascii_start();
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).map(|sign| sign.len());
        let length = sign.unwrap_or_else(|| rest.find(is_end_of_word).unwrap_or(rest.len()));
        let (token, rest) = rest.split_at(length);
        self.0 = rest;
        Some(token).filter(|token| !token.is_empty())
    }
}

struct Parser<'t>(Peekable<Tokens<'t>>);

impl<'t> Parser<'t> {
    /// The next token, if it is a word.
    fn word(&mut self) -> Option<&'t str> {
        self.0.next_if(|token| !SIGNS.contains(token))
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let is_negated = self.0.next_if_eq(&"!").is_some();
        let Some(key) = self.word() else { return Err("a label is missing".to_owned()) };
        check_qualified_name(key).map_err(|expected| format!("the label {} {expected}", quote(key)))?;
        let condition = match self.0.next_if(|token| !is_negated && *token != ",") {
            None if is_negated => Condition::Absent,
            None => Condition::Exists,
            Some("=" | "==") => Condition::In([self.value()?].into()),
            Some("!=") => Condition::NotIn([self.value()?].into()),
            Some(">") => Condition::GreaterThan(self.number()?),
            Some("<") => Condition::LessThan(self.number()?),
            Some("in") => Condition::In(self.values()?),
            Some("notin") => Condition::NotIn(self.values()?),
            Some(other) => return Err(format!("expected an operator after {}, found {}", quote(key), quote(other))),
        };
        Ok(Requirement { key: key.to_owned(), condition })
    }

    /// A value, which may be empty.
    fn value(&mut self) -> Result<String, String> {
        let value = self.word().unwrap_or_default();
        check_label_value(value).map_err(|expected| format!("the value {} {expected}", quote(value)))?;
        Ok(value.to_owned())
    }

    fn number(&mut self) -> Result<i64, String> {
        let word = self.word().unwrap_or_default();
        word.parse().map_err(|_| format!("expected a whole number, found {}", quote(word)))
    }

    /// `(a, b)`
    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        if self.0.next() != Some("(") {
            return Err("expected values in parentheses after in or notin".to_owned());
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value()?);
            match self.0.next() {
                Some(")") => return Ok(values),
                Some(",") => {}
                Some(_) | None => return Err("a closing parenthesis is missing".to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(selector: &str) -> Selected {
        let labels = [("app", "web"), ("in", "x"), ("weight", "7"), ("empty", "")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        PodSelector::parse(selector).expect(selector).selects(&labels)
    }

    #[test]
    fn every_form_of_kubernetes_selectors_is_evaluated() {
        for (selector, expected) in [
            ("", Selected::Yes),
            ("app=web", Selected::Yes),
            ("app==web,weight", Selected::Yes),
            (" app in ( db , web ) , in ", Selected::Yes),
            ("app notin (db,cache),in=x", Selected::Yes),
            ("app!=db", Selected::Yes),
            ("weight>6,weight<8", Selected::Yes),
            ("empty=", Selected::Yes),
            ("empty in ()", Selected::Yes),
            ("app=db", Selected::No),
            ("app in (db)", Selected::No),
            ("!app", Selected::No),
            ("app!=web", Selected::No),
            ("weight>7", Selected::No),
            ("app>1", Selected::No),
            ("example.com/tier", Selected::No),
            ("app=web,!tier", Selected::UnlessLabelled),
            ("tier!=db", Selected::UnlessLabelled),
            ("tier notin (db)", Selected::UnlessLabelled),
            ("tier!=db,app=db", Selected::No),
        ] {
            assert_eq!(selects(selector), expected, "{selector}");
        }
    }

    #[test]
    fn what_the_api_server_does_not_take_is_an_error() {
        for selector in [
            ",",
            "app=web,",
            "app web",
            "app in web",
            "app in (web",
            "!app=web",
            "=web",
            "app=a b",
            "a>b",
            "-a",
            "a=-",
            "(a)",
            "a in (b c)",
            "a===b",
        ] {
            assert!(PodSelector::parse(selector).is_err(), "{selector}");
        }
    }
}
