//! A thread that looks at something again and again, and at once when it is asked to.
//!
//! Files change without saying so, and reading them may block: so neither a worker of the runtime nor a request has a part in it.
//! Invariant: whatever a look does, the next one follows.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Between two looks at what is at rest.
pub const CALM: Duration = Duration::from_millis(1_250);
/// Until the next look at what is changing. A writer that pauses for longer may be seen half way.
pub const SOON: Duration = Duration::from_millis(500);

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// What differs at a glance, once it has come to rest.
    Glance,
    /// Everything, now, at rest or not: somebody has asked.
    Thorough,
}

/// Something that is looked at.
pub trait Watched: Send + 'static {
    /// Looks once, acts on what has changed, and says when to look again.
    fn look(&mut self, look: Look) -> Duration;
}

/// Asks for a thorough look.
#[derive(Clone, Debug)]
pub struct Trigger(Sender<()>);

impl Trigger {
    /// Returns at once. Nothing comes of it when nobody watches any more.
    pub fn pull(&self) {
        _ = self.0.send(());
    }
}

/// Watches on a thread of this name for as long as the process lives or a trigger is held.
pub fn spawn(name: &str, mut watched: impl Watched) -> io::Result<Trigger> {
    let (sender, requests) = channel();
    let watch = move || {
        let mut wait = CALM;
        loop {
            let look = match requests.recv_timeout(wait) {
                Ok(()) => Look::Thorough,
                Err(RecvTimeoutError::Timeout) => Look::Glance,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // Requests that came meanwhile are answered by this look.
            while requests.try_recv().is_ok() {}
            // The panic hook has said where it was; what is served stays as it is.
            wait = catch_unwind(AssertUnwindSafe(|| watched.look(look))).unwrap_or(CALM);
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(watch)?;
    Ok(Trigger(sender))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Receiver;

    struct Recorded(Sender<Look>);

    impl Watched for Recorded {
        fn look(&mut self, look: Look) -> Duration {
            self.0.send(look).expect("the test listens");
            assert!(look == Look::Glance, "a look that goes wrong");
            Duration::from_secs(3600)
        }
    }

    fn next(looks: &Receiver<Look>) -> Look {
        looks.recv_timeout(Duration::from_secs(20)).expect("a look")
    }

    #[test]
    fn it_looks_by_itself_and_when_asked_and_survives_a_panic() {
        let (sender, looks) = channel();
        let trigger = spawn("test", Recorded(sender)).expect("a thread");
        trigger.pull();
        assert_eq!(next(&looks), Look::Thorough);
        assert_eq!(next(&looks), Look::Glance);
        trigger.pull();
        assert_eq!(next(&looks), Look::Thorough, "an hour is not waited for");
        drop(trigger);
        while looks.recv_timeout(Duration::from_secs(20)).is_ok() {}
    }
}
