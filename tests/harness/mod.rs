//! The test runner for tests that need a cluster or programs that a machine may not have.
//!
//! Rust's own runner knows the ignored tests before it starts. Here a test decides while it runs,
//! by [`ignore`]: it is counted as ignored, and the last lines of the output report how many tests
//! were not run and why. Options and output are those of Rust's runner, except that output is never
//! captured and that there is at most one filter.
//!
//! Invariant: a test that calls [`ignore`] is never reported as `ok`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Trial};

/// The path of a test, beginning with the name of its program, and its function.
pub type Test = (&'static str, fn());

/// The number of tests that were not run, by reason.
pub type NotRun = BTreeMap<String, usize>;

/// The panic payload of [`ignore`].
struct Ignored(String);

/// Lists the tests of a module for `main.rs`. The compiler reports an unlisted function as unused.
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        pub const TESTS: &[$crate::harness::Test] = &[$((concat!(module_path!(), "::", stringify!($test)), $test)),+];
    };
}

/// Ends the running test and reports it as ignored for this reason.
pub fn ignore(reason: impl Into<String>) -> ! {
    // Unlike a panic, this prints nothing.
    resume_unwind(Box::new(Ignored(reason.into())))
}

/// Runs a test; returns the reason if it was ignored. Panics propagate.
pub fn reason_not_run(test: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(test)).err()?;
    match panic.downcast::<Ignored>() {
        Ok(ignored) => Some(ignored.0),
        Err(panic) => resume_unwind(panic),
    }
}

/// Runs the tests that the command line selects; returns the exit code.
pub fn run(modules: &[&[Test]]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let variable = std::env::var("RUST_TEST_THREADS").ok().and_then(|text| text.parse().ok());
    arguments.test_threads = arguments.test_threads.or(variable).or_else(at_a_time);
    let not_run = Arc::new(Mutex::new(NotRun::new()));
    let trials = modules.concat().into_iter().map(|test| trial(test, &not_run)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    report(&not_run.lock().unwrap_or_else(PoisonError::into_inner));
    conclusion.exit_code()
}

/// Such tests mostly wait for other programs, so more of them run at a time than there are processors.
fn at_a_time() -> Option<usize> {
    const MOST: usize = 8;
    let processors = std::thread::available_parallelism().ok()?;
    Some((2 * processors.get()).min(MOST))
}

fn trial((path, test): Test, not_run: &Arc<Mutex<NotRun>>) -> Trial {
    let not_run = Arc::clone(not_run);
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    Trial::ignorable_test(name, move || {
        let Some(reason) = reason_not_run(test) else { return Ok(Completion::Completed) };
        *not_run.lock().unwrap_or_else(PoisonError::into_inner).entry(reason.clone()).or_default() += 1;
        Ok(Completion::ignored_with(reason))
    })
}

/// Prints last what was not tested, so that a reader notices it.
pub fn report(not_run: &NotRun) {
    for (reason, count) in not_run {
        println!("NOT RUN ({reason}): {count}");
    }
}
