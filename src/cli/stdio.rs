//! Reads and writes the standard streams.
//!
//! Invariant: a reader that closes stdout (`| head`) causes neither an error nor a panic.

use std::io::{self, IsTerminal, Read, Write};

use anyhow::Context;

/// Writes a command's whole result at once.
pub(super) fn print(result: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(result.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        _ => Ok(()),
    }
}

/// Writes one message line to stderr. An error is ignored: it could be reported only to stderr.
pub(super) fn print_message(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Reads stdin to its end.
pub(super) fn read_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Columns of the terminal behind stdout; `None` if it is none.
pub(super) fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether to colour stdout: on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
pub(super) fn shows_colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    io::stdout().is_terminal() && !refused && !dumb
}
