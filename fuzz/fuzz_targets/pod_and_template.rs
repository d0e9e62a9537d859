//! Fuzzes generated templates and a generated pod: every injection must keep the laws of the patch.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger::inject::{Blame, Outcome, Request};
use outrigger_fuzz::{Case, injector, laws};

fuzz_target!(|case: Case| {
    let (templates, pod) = (case.templates(), case.pod());
    let texts: Vec<String> = templates.iter().map(ToString::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let injector = injector(&texts, case.native);
    let text = pod.to_string();
    match injector.inject(&Request::create_pod("demo", &text)) {
        Ok(Outcome::Injected(injection)) => laws::hold(&injector, &pod, &injection),
        Ok(Outcome::Skipped(_)) => {}
        // A pod or a template may be refused; only an internal error of the injector is a bug.
        Err(error) => assert_ne!(error.blame(), Blame::Injector, "{error}\n{pod:#}\n{templates:#?}"),
    }
});
