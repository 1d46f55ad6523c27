//! Hands a slot to wasmtime as the memory of the instance that is being made.

use std::{cell::RefCell, sync::Arc};

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

use super::Slot;

thread_local! {
    /// wasmtime asks for memory without saying for which instance; it asks on the thread that instantiates.
    static NEXT: RefCell<Option<Arc<Slot>>> = const { RefCell::new(None) };
}

/// Runs `instantiate`, in which wasmtime is given `slot`.
pub(crate) fn with_slot<T>(slot: &Arc<Slot>, instantiate: impl FnOnce() -> T) -> T {
    NEXT.set(Some(slot.clone()));
    let made = instantiate();
    NEXT.set(None);
    made
}

/// See [`with_slot`].
pub(crate) struct Creator;

#[expect(
    unsafe_code,
    reason = "an unsafe trait: wasmtime relies on the reservation and guard it asked for"
)]
// SAFETY: a slot's reservation is made with the sizes of the same configuration (`Pool::new`), stays in place
// while the slot lives, and only the template's length and what was grown is accessible.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        _type: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        _reserved: Option<usize>,
        _guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let slot = NEXT.take().ok_or("an instance is made outside of `with_slot`")?;
        if slot.len() < minimum {
            return Err(format!("the image has {} bytes, the module wants {minimum}", slot.len()));
        }
        Ok(Box::new(Memory(slot)))
    }
}

struct Memory(Arc<Slot>);

/// Addresses of a 32-bit memory.
const CAPACITY: usize = 4 << 30;

#[expect(unsafe_code, reason = "an unsafe trait: the pointer and the sizes must be true")]
// SAFETY: they are those of the slot, whose base never moves.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.0.len()
    }

    fn byte_capacity(&self) -> usize {
        CAPACITY
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        self.0.grow(new_size).map_err(|e| wasmtime::Error::msg(e.to_string()))
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.base()
    }
}
