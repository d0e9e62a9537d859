//! Takes connections. Each is a task of its own; what it does is [`super::connection`]'s.
//!
//! Invariant: no error of the listener is fatal, and finished tasks leave nothing behind.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::shutdown::{Lifecycle, Phase};

/// Without file descriptors nothing helps but waiting until a connection has ended.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes connections until the process closes; returns those that are open. Dropping them ends them. The listener is gone
/// then, so that whoever comes late is refused at once instead of waiting in its queue.
pub async fn until_closing<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    mut lifecycle: Lifecycle,
    serve: impl Fn(TcpStream) -> F,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tokio::select! {
        () = lifecycle.reached(Phase::Closing) => {}
        () = accept(&listener, &mut tasks, serve) => {}
    }
    tasks
}

/// Takes connections and never returns.
pub async fn for_ever<F: Future<Output = ()> + Send + 'static>(listener: &TcpListener, serve: impl Fn(TcpStream) -> F) {
    accept(listener, &mut JoinSet::new(), serve).await;
}

async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: &TcpListener,
    tasks: &mut JoinSet<()>,
    serve: impl Fn(TcpStream) -> F,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Answers are written at once; waiting to fill a packet would only add latency. It works without.
                    _ = stream.set_nodelay(true);
                    tasks.spawn(serve(stream));
                }
                Err(error) => wait_out(&error).await,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// A peer that went away is nothing; anything else, such as too many open files, needs a pause.
async fn wait_out(error: &io::Error) {
    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
    {
        return;
    }
    tracing::warn!(%error, "cannot take a connection, trying again");
    tokio::time::sleep(PAUSE).await;
}
