# The usual verbs, for people who have `just` (https://just.systems). Each is a plain command that
# also works without it; `.ci/run` does not use this file.

# Lists the verbs.
default:
    @just --list --unsorted

# Compiles everything, tests and benches too, without building programs.
check:
    cargo check --all-targets --locked

# Formats the code.
fmt:
    cargo fmt --all

# Fails where the code is not formatted.
fmt-check:
    cargo fmt --all -- --check

# Runs clippy with every warning denied.
lint:
    cargo clippy --all-targets --locked -- -D warnings

# Runs the tests, or those whose names contain the word.
test *word:
    cargo test --locked {{word}}

# Runs the golden cases whose names contain the text, or all.
golden text="":
    GOLDEN='{{text}}' cargo test --locked --test it golden

# Runs the tests against a real kube-apiserver, whose programs are in KUBEBUILDER_ASSETS.
test-apiserver *word:
    @test -n "${KUBEBUILDER_ASSETS:-}" || { echo 'set KUBEBUILDER_ASSETS, as CONTRIBUTING.md says' >&2; exit 1; }
    cargo test --locked --test apiserver -- {{word}}

# Runs the end-to-end tests in a kind cluster that is made for them; needs docker, kind, kubectl and helm.
e2e:
    tests/e2e/kind.sh

# Measures the engine; another name is `throughput` or `apiserver`.
bench name="engine" *options:
    cargo bench --locked --bench {{name}} -- {{options}}

# Fuzzes a target: `review`, `template` or `pod_and_template` (fuzz/README.md has seeds and options).
fuzz target="review" seconds="60" *options:
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}} {{options}}

# Builds the documentation of the code with every warning denied.
docs:
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked --all-features --document-private-items

# Compiles each combination of features.
features:
    cargo check --lib --no-default-features --locked
    cargo check --locked
    cargo check --all-features --locked

# Compiles with the oldest Rust that Cargo.toml declares.
msrv:
    cargo +"$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)" check --locked --all-features

# Looks for misspelt words (https://crates.io/crates/typos-cli).
typos:
    typos

# Checks the licences, sources and advisories of all dependencies (https://crates.io/crates/cargo-deny).
deny:
    cargo deny --locked check
    cargo deny --locked --manifest-path fuzz/Cargo.toml check

# Runs what has to hold before a change is proposed.
all: fmt-check lint features docs typos test

# Runs the whole check of a clean checkout, as the CI does.
ci:
    .ci/run
