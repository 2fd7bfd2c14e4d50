//! The allocator of the process, and the one thing it is told.

/// A run allocates some hundred small things on whichever thread it is on and frees them on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's `mi_option_e`, which the crate does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// How long freed pages are kept before the system gets them back, in milliseconds; mimalloc's default is 10. sled fills a buffer as large as a segment
/// of its log, frees it and asks for the next one: under load that is several times a second, and costs a page fault for each 4 KiB it writes.
const KEEP_MS: std::ffi::c_long = 500;

/// Called first of all, before other threads run. It takes precedence over `MIMALLOC_PURGE_DELAY`.
#[expect(unsafe_code, reason = "mimalloc is told of its options by a function of C")]
pub(crate) fn keep_what_is_freed_for_a_moment() {
    // SAFETY: `mi_option_set` stores a number in a table of its own; the index is one of that table's, and no other thread runs yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEEP_MS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "as above")]
    fn the_option_is_the_one_that_is_meant() {
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
            return; // the default cannot be seen
        }
        // SAFETY: `mi_option_get` reads the table that `mi_option_set` writes.
        let get = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 10, "mimalloc's default; another one means that its options are numbered in another way now");
        keep_what_is_freed_for_a_moment();
        assert_eq!(get(), KEEP_MS);
    }
}
