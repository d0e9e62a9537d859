//! Configures the allocator so that memory of a large request is returned to the system soon after
//! its response.
//!
//! docs/decisions/0009 has the measurements.

#![allow(unsafe_code, reason = "options of the allocator and of the process have no safe wrapper")]

use libmimalloc_sys::{mi_option_set, mi_option_t, mi_option_use_numa_nodes};

/// `mi_option_purge_delay`, which the crate does not name; a test recognizes it by its default.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;
/// Free memory goes back to the system after this many milliseconds. The default is a second, in
/// which a few large requests add up.
const MILLISECONDS: std::ffi::c_long = 10;

/// Configures the allocator; call it before the first request.
pub(super) fn configure_allocator() {
    // SAFETY: sets a number that the allocator reads; no other thread exists yet that could read it
    // meanwhile.
    unsafe { mi_option_set(PURGE_DELAY, MILLISECONDS) };
    // With huge pages, the first byte of each two megabytes would occupy all of them.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_purge_delay() {
        // SAFETY: reads a number.
        let value = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(value(), 1000, "the default of the delay, in milliseconds");
        configure_allocator();
        assert_eq!(value(), MILLISECONDS);
    }
}
