//! The module's memory, and the one place of `unsafe`: an allocator over `memory.grow`, and statics of a program with
//! one thread.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::ptr::null_mut;

/// A value that every export may change, one at a time.
pub(crate) struct Single<T> {
    value: UnsafeCell<T>,
    lent: Cell<bool>,
}

// SAFETY: the module is built without threads, so there is nobody to share with.
unsafe impl<T> Sync for Single<T> {}

impl<T> Single<T> {
    pub(crate) const fn new(value: T) -> Single<T> {
        Single { value: UnsafeCell::new(value), lent: Cell::new(false) }
    }

    /// Lends the value. Exports call no JavaScript and do not nest; one that did would trap.
    pub(crate) fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
        if self.lent.replace(true) {
            stop();
        }
        // SAFETY: `lent` says that no other reference exists, and there is one thread.
        let result = run(unsafe { &mut *self.value.get() });
        self.lent.set(false);
        result
    }
}

/// Traps: JavaScript sees a RuntimeError.
fn stop() -> ! {
    core::arch::wasm32::unreachable()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    stop()
}

/// Blocks of 2^n octets. What is given back waits for the next block of its size: the sizes asked for are few (exchanges,
/// balancers, buffers that double), so lists of free blocks waste little and take a dozen instructions.
struct Blocks {
    /// Free blocks of 2^n octets, each with a pointer to the next one in its first word.
    free: UnsafeCell<[*mut u8; 32]>,
    /// What was never used: from here …
    next: Cell<usize>,
    /// … to there.
    end: Cell<usize>,
}

// SAFETY: one thread.
unsafe impl Sync for Blocks {}

#[global_allocator]
static BLOCKS: Blocks =
    Blocks { free: UnsafeCell::new([null_mut(); 32]), next: Cell::new(0), end: Cell::new(0) };

const PAGE: usize = 65_536;

/// Of 2^n octets: at least a pointer's size, and what the alignment asks for.
fn class(layout: Layout) -> usize {
    layout.size().max(layout.align()).max(8).next_power_of_two().trailing_zeros() as usize
}

impl Blocks {
    /// A block that was never used.
    fn carve(&self, size: usize) -> *mut u8 {
        // Blocks of 2^n begin at multiples of 2^n, up to a page.
        let align = size.min(PAGE);
        let mut at = self.next.get().next_multiple_of(align);
        if at == 0 || self.end.get().saturating_sub(at) < size {
            // Behind what there is; a host that lends no memory in between makes it one piece.
            let pages = size.div_ceil(PAGE);
            let before = core::arch::wasm32::memory_grow::<0>(pages);
            if before == usize::MAX {
                return null_mut();
            }
            let start = before.wrapping_mul(PAGE);
            if start != self.end.get() || at == 0 {
                at = start;
            }
            self.end.set(start.wrapping_add(pages.wrapping_mul(PAGE)));
        }
        self.next.set(at.wrapping_add(size));
        at as *mut u8
    }
}

// SAFETY: a block is handed out once until it comes back, is at least as long and as aligned as asked for (2^n octets
// at a multiple of 2^n, or of a page, which is more than any alignment here), and null means that there is none.
unsafe impl GlobalAlloc for Blocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class(layout);
        if class >= 32 || layout.align() > PAGE {
            return null_mut();
        }
        // SAFETY: one thread, and the reference ends here.
        let free = unsafe { &mut (*self.free.get())[class] };
        let block = *free;
        if block.is_null() {
            return self.carve(1 << class);
        }
        // SAFETY: `dealloc` left the next block's address there; a block holds a pointer and is aligned for one.
        *free = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: one thread, and the reference ends here.
        let free = unsafe { &mut (*self.free.get())[class(layout)] };
        // SAFETY: the block is the allocator's again, at least eight octets long and aligned to them.
        unsafe { block.cast::<*mut u8>().write(*free) };
        *free = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return null_mut() };
        if class(wanted) == class(layout) {
            return block;
        }
        // SAFETY: both are blocks of this allocator, as long as their layouts say, and not the same one.
        unsafe {
            let other = self.alloc(wanted);
            if !other.is_null() {
                other.copy_from_nonoverlapping(block, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            other
        }
    }
}
