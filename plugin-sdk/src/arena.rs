//! The allocator of a plugin: an arena of fixed size inside the memory that an instance starts with.
//!
//! A guest that grows its memory costs the host two `mprotect` calls under a lock of the whole process: with two threads, growing
//! guests ran 19,585 calls/s and guests that never grow 126,893. An instance lives for one call, so
//! freeing matters little: memory is handed out from bottom to top, and only what lies on top is taken back or resized in place, which is
//! what growing strings and vectors need. What does not fit goes to the standard library's allocator, which grows the memory.
//!
//! This module must not be used by more than one thread; components have one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// Measured: the first-party plugins grow their memory only when a webhook's body exceeds 52 KiB, or a request's body and its answer 42 KiB
/// each. It is zeroes: neither the file nor an untouched page pays for it.
#[cfg(all(target_arch = "wasm32", feature = "arena"))]
const BYTES: usize = 256 * 1024;

#[cfg(all(target_arch = "wasm32", feature = "arena"))]
#[global_allocator]
static ARENA: Arena<BYTES> = Arena::new();

/// `N` bytes, handed out from bottom to top.
#[cfg_attr(
    not(all(target_arch = "wasm32", feature = "arena")),
    allow(dead_code, reason = "elsewhere only its tests use it")
)]
#[repr(C, align(16))]
struct Arena<const N: usize> {
    memory: UnsafeCell<[u8; N]>,
    /// All below is in use.
    top: Cell<usize>,
}

// A component without the threads proposal has one thread; `static` asks for `Sync` all the same.
#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
#[expect(unsafe_code, reason = "there is no other thread")]
unsafe impl<const N: usize> Sync for Arena<N> {}

#[cfg_attr(
    not(all(target_arch = "wasm32", feature = "arena")),
    allow(dead_code, reason = "elsewhere only its tests use it")
)]
impl<const N: usize> Arena<N> {
    const fn new() -> Self {
        Self { memory: UnsafeCell::new([0; N]), top: Cell::new(0) }
    }

    fn base(&self) -> *mut u8 {
        self.memory.get().cast()
    }

    /// Where in the arena this lies; `None` for what came from the system.
    fn offset(&self, memory: *mut u8) -> Option<usize> {
        memory.addr().checked_sub(self.base().addr()).filter(|offset| *offset < N)
    }

    /// Moves the top over `layout`; `None` when the arena is full.
    fn reserve(&self, layout: Layout) -> Option<*mut u8> {
        let free = self.base().addr().checked_add(self.top.get())?;
        let start = free.checked_next_multiple_of(layout.align())?.checked_sub(self.base().addr())?;
        let end = start.checked_add(layout.size()).filter(|end| *end <= N)?;
        self.top.set(end);
        Some(self.base().wrapping_add(start))
    }
}

#[expect(unsafe_code, reason = "an allocator hands out raw memory")]
unsafe impl<const N: usize> GlobalAlloc for Arena<N> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.reserve(layout) {
            Some(memory) => memory,
            // SAFETY: the caller's promises are passed on.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match self.offset(memory) {
            Some(offset) if offset + layout.size() == self.top.get() => self.top.set(offset),
            // Something lies above it: it stays until the instance ends.
            Some(_) => {}
            // SAFETY: what does not lie in the arena came from the system.
            None => unsafe { System.dealloc(memory, layout) },
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(memory) else {
            // SAFETY: what does not lie in the arena came from the system.
            return unsafe { System.realloc(memory, layout, size) };
        };
        let is_on_top = offset + layout.size() == self.top.get();
        if is_on_top && offset.checked_add(size).is_some_and(|end| end <= N) {
            self.top.set(offset + size);
            return memory;
        }
        if size <= layout.size() {
            return memory;
        }
        // SAFETY: the caller promises a size that makes a layout; the new memory is at least as large as the old and lies elsewhere.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(memory, layout.size());
                self.dealloc(memory, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests;
