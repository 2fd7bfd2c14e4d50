//! The arena under a native test: the same code, an arena per test.

#![expect(unsafe_code, reason = "an allocator is called with raw memory")]

use super::*;

const EIGHT: Layout = match Layout::from_size_align(8, 8) {
    Ok(layout) => layout,
    Err(_) => panic!("8 bytes have a layout"),
};

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("small")
}

#[test]
fn memory_is_aligned_and_does_not_overlap() {
    let arena = Arena::<1024>::new();
    let first = unsafe { arena.alloc(bytes(3)) };
    let second = unsafe { arena.alloc(EIGHT) };
    let third = unsafe { arena.alloc(Layout::from_size_align(16, 64).expect("fine")) };
    assert!(second.addr() >= first.addr() + 3 && second.addr().is_multiple_of(8));
    assert!(third.addr() >= second.addr() + 8 && third.addr().is_multiple_of(64));
    assert_eq!(arena.offset(first), Some(0));
}

#[test]
fn what_lies_on_top_grows_and_shrinks_in_place() {
    let arena = Arena::<64>::new();
    unsafe {
        let text = arena.alloc(bytes(4));
        text.copy_from_nonoverlapping(b"flow".as_ptr(), 4);
        assert_eq!(arena.realloc(text, bytes(4), 40), text);
        assert_eq!(arena.top.get(), 40);
        assert_eq!(arena.realloc(text, bytes(40), 8), text);
        assert_eq!(arena.top.get(), 8);
        assert_eq!(std::slice::from_raw_parts(text, 4), b"flow");
        arena.dealloc(text, bytes(8));
        assert_eq!(arena.top.get(), 0);
    }
}

#[test]
fn what_lies_below_moves_when_it_grows_and_stays_when_it_shrinks() {
    let arena = Arena::<64>::new();
    unsafe {
        let below = arena.alloc(bytes(4));
        below.copy_from_nonoverlapping(b"cell".as_ptr(), 4);
        let above = arena.alloc(bytes(4));
        assert_eq!(arena.realloc(below, bytes(4), 2), below);
        let moved = arena.realloc(below, bytes(4), 16);
        assert!(moved.addr() >= above.addr() + 4);
        assert_eq!(std::slice::from_raw_parts(moved, 4), b"cell");
        arena.dealloc(above, bytes(4));
        assert_eq!(arena.top.get(), 24, "only the top is taken back");
    }
}

#[test]
fn a_full_arena_falls_back_to_the_system_and_back_again() {
    let arena = Arena::<32>::new();
    unsafe {
        let large = arena.alloc(bytes(33));
        assert!(!large.is_null());
        assert_eq!((arena.offset(large), arena.top.get()), (None, 0));
        large.write_bytes(7, 33);
        let larger = arena.realloc(large, bytes(33), 4096);
        assert_eq!(std::slice::from_raw_parts(larger, 33), [7; 33]);
        arena.dealloc(larger, bytes(4096));

        let small = arena.alloc(bytes(32));
        small.write_bytes(9, 32);
        let moved = arena.realloc(small, bytes(32), 64);
        assert_eq!(arena.offset(moved), None);
        assert_eq!(std::slice::from_raw_parts(moved, 32), [9; 32]);
        assert_eq!(arena.top.get(), 0, "what moved out leaves its place");
        arena.dealloc(moved, bytes(64));
    }
}

#[test]
fn memory_that_was_used_before_is_zeroed_on_demand() {
    let arena = Arena::<32>::new();
    unsafe {
        let used = arena.alloc(bytes(32));
        used.write_bytes(1, 32);
        arena.dealloc(used, bytes(32));
        let zeroed = arena.alloc_zeroed(bytes(32));
        assert_eq!(zeroed, used);
        assert_eq!(std::slice::from_raw_parts(zeroed, 32), [0; 32]);
    }
}

#[test]
fn a_size_that_overflows_is_not_from_the_arena() {
    let arena = Arena::<32>::new();
    assert!(arena.reserve(bytes(isize::MAX as usize)).is_none());
    assert_eq!(arena.top.get(), 0);
}
