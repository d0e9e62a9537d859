//! How the process holds memory: what a large request took is given back when it is answered, not at the next one.
//!
//! The figures are in docs/decisions/0009.

#![allow(unsafe_code, reason = "options of the allocator and of the process have no safe wrapper")]

use libmimalloc_sys::{mi_option_set, mi_option_t, mi_option_use_numa_nodes};

/// `mi_option_purge_delay`, which the crate does not name; a test knows it by its default.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;
/// After so many milliseconds what is free goes back to the system. The default is a second, in which a few large requests
/// add up.
const MILLISECONDS: std::ffi::c_long = 10;

/// To be called before the first request.
pub fn configure_allocator() {
    // SAFETY: sets a number that the allocator reads; no other thread is there yet to read it meanwhile.
    unsafe { mi_option_set(PURGE_DELAY, MILLISECONDS) };
    // With huge pages the first byte of each two megabytes takes all of them.
    // SAFETY: the call takes no pointer. Where it is refused everything works, only larger.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: reads a number.
        let value = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(value(), 1000, "the default of the delay, in milliseconds");
        configure_allocator();
        assert_eq!(value(), MILLISECONDS);
    }
}
