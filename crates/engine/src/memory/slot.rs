//! Slots: address space for one instance each, pooled by the template that is mapped onto them.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use super::{PAGE, Template, pagemap, template::TemplateId};
use crate::EngineError;

/// Beyond this many written bytes, dropping all pages is cheaper than copying back.
const COPY_BACK_MAX: usize = 512 * PAGE;

/// Reserved address space: wasm memory plus the guard that compiled code counts on.
struct Reservation {
    base: *mut u8,
    len: usize,
}

#[expect(unsafe_code, reason = "a reservation has one owner")]
// SAFETY: plain address space, owned.
unsafe impl Send for Reservation {}
#[expect(unsafe_code, reason = "shared references only read the address")]
// SAFETY: whoever follows the address sees to it that no guest runs (`Slot::page`).
unsafe impl Sync for Reservation {}

impl Reservation {
    #[expect(unsafe_code, reason = "reserves address space")]
    fn new(len: usize) -> Result<Self, EngineError> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::empty(), flags)
        };
        Ok(Self { base: base.map_err(EngineError::memory("reserving address space"))?.cast(), len })
    }

    /// Maps `template` at the start, and makes what an earlier, longer template left inaccessible again.
    fn map(&self, template: &Template, mapped: usize) -> Result<(), EngineError> {
        let len = template.len();
        if mapped > len {
            self.map_zeroes(len..mapped, ProtFlags::empty())?;
        }
        let mut end = 0;
        for run in template.runs() {
            self.map_zeroes(end..run.start, ProtFlags::READ | ProtFlags::WRITE)?;
            self.map_file(run.clone(), template)?;
            end = run.end;
        }
        self.map_zeroes(end..len, ProtFlags::READ | ProtFlags::WRITE)
    }

    #[expect(unsafe_code, reason = "maps inside of the reservation that this value owns")]
    fn map_file(&self, range: Range<usize>, template: &Template) -> Result<(), EngineError> {
        let (prot, offset) = (ProtFlags::READ | ProtFlags::WRITE, range.start as u64);
        let fixed = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: inside of the reservation, and no instance uses it.
        let mapped = unsafe {
            let start = self.base.add(range.start).cast();
            rustix::mm::mmap(start, range.len(), prot, fixed, template.file(), offset)
        };
        mapped.map(drop).map_err(EngineError::memory("mapping an image for an instance"))
    }

    #[expect(unsafe_code, reason = "maps inside of the reservation that this value owns")]
    fn map_zeroes(&self, range: Range<usize>, prot: ProtFlags) -> Result<(), EngineError> {
        if range.is_empty() {
            return Ok(());
        }
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: inside of the reservation, and no instance uses it.
        let mapped = unsafe {
            let start = self.base.add(range.start).cast();
            rustix::mm::mmap_anonymous(start, range.len(), prot, flags)
        };
        mapped.map(drop).map_err(EngineError::memory("mapping empty memory for an instance"))
    }
}

impl Drop for Reservation {
    #[expect(unsafe_code, reason = "unmaps what this value owns")]
    fn drop(&mut self) {
        // SAFETY: owned, and no instance uses it. Failing to unmap only leaks address space.
        let _ = unsafe { rustix::mm::munmap(self.base.cast(), self.len) };
    }
}

/// A reservation with a template mapped onto it, equal to the template.
struct Clean {
    reservation: Reservation,
    template: Arc<Template>,
    /// For eviction: when it came back, in returns.
    returned: u64,
}

/// How reset finds what to undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResetMode {
    /// Ask the kernel which pages were written and copy those back; the default.
    CopyBack,
    /// Drop all pages. For kernels without `PAGEMAP_SCAN`.
    DropAll,
}

/// Whether the kernel, and the sandbox around this process, answer `PAGEMAP_SCAN`. Without it everything works, but
/// a reset costs more.
pub fn kernel_tells_written_pages() -> bool {
    let probe = [0u8; 1];
    pagemap::written(probe.as_ptr().map_addr(|address| address & !(PAGE - 1)), PAGE).is_some()
}

/// The slots of one engine.
pub(crate) struct Pool {
    reservation: usize,
    mode: ResetMode,
    free_max: usize,
    free: Mutex<Free>,
    slots: AtomicUsize,
    in_use: AtomicUsize,
}

#[derive(Default)]
struct Free {
    by_template: BTreeMap<TemplateId, Vec<Clean>>,
    count: usize,
    returns: u64,
}

/// How many slots an engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    pub slots: usize,
    pub in_use: usize,
}

impl Pool {
    /// `reservation` is the address space of a slot in bytes, `free_max` how many free slots are kept.
    pub(crate) fn new(reservation: usize, free_max: usize, allow_copy_back: bool) -> Self {
        let copy_back = allow_copy_back && kernel_tells_written_pages();
        let mode = if copy_back { ResetMode::CopyBack } else { ResetMode::DropAll };
        let (free, slots, in_use) = Default::default();
        Self { reservation, mode, free_max, free, slots, in_use }
    }

    pub(crate) fn mode(&self) -> ResetMode {
        self.mode
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let load = |n: &AtomicUsize| n.load(Ordering::Relaxed);
        PoolStats { slots: load(&self.slots), in_use: load(&self.in_use) }
    }

    /// A slot that equals `template`.
    pub(crate) fn take(self: &Arc<Self>, template: &Arc<Template>) -> Result<Slot, EngineError> {
        // Not within the `match`: its lock would last until the end of it.
        let taken = self.free.lock().take(template);
        let clean = match taken {
            Taken::Same(clean) => clean,
            Taken::Other(other) => {
                let reservation = other.reservation;
                if let Err(error) = reservation.map(template, other.template.len()) {
                    self.slots.fetch_sub(1, Ordering::Relaxed);
                    return Err(error);
                }
                Clean { reservation, template: template.clone(), returned: 0 }
            }
            Taken::None => {
                let reservation = Reservation::new(self.reservation)?;
                reservation.map(template, 0)?;
                self.slots.fetch_add(1, Ordering::Relaxed);
                Clean { reservation, template: template.clone(), returned: 0 }
            }
        };
        self.in_use.fetch_add(1, Ordering::Relaxed);
        let len = AtomicUsize::new(template.len());
        Ok(Slot { clean: Some(clean), len, written: Mutex::new(None), pool: self.clone() })
    }

    /// Forgets a template that nobody will start from again: its free slots now, those in use when they come back.
    pub(crate) fn retire(&self, template: &Template) {
        template.retire();
        self.evict(template);
    }

    /// Forgets the free slots of a template.
    pub(crate) fn evict(&self, template: &Template) {
        let mut free = self.free.lock();
        let gone = free.by_template.remove(&template.id()).unwrap_or_default();
        free.count -= gone.len();
        drop(free);
        self.slots.fetch_sub(gone.len(), Ordering::Relaxed);
    }

    fn give_back(&self, clean: Clean) {
        let evicted = self.free.lock().put(clean, self.free_max);
        if evicted.is_some() {
            self.slots.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

enum Taken {
    Same(Clean),
    /// Of another template, the one that was unused for longest.
    Other(Clean),
    None,
}

impl Free {
    /// Slots of other templates are only taken over when there are more of them than this: a template that is
    /// called again soon should find its slot.
    const KEEP_OTHERS: usize = 64;

    fn take(&mut self, template: &Arc<Template>) -> Taken {
        if let Some(clean) = self.by_template.get_mut(&template.id()).and_then(Vec::pop) {
            self.count -= 1;
            return Taken::Same(clean);
        }
        if self.count <= Self::KEEP_OTHERS {
            return Taken::None;
        }
        self.pop_oldest().map_or(Taken::None, Taken::Other)
    }

    fn pop_oldest(&mut self) -> Option<Clean> {
        let oldest = |slots: &Vec<Clean>| slots.first().map(|clean| clean.returned);
        let (&key, _) = self
            .by_template
            .iter()
            .filter(|(_, slots)| !slots.is_empty())
            .min_by_key(|(_, slots)| oldest(slots))?;
        let slots = self.by_template.get_mut(&key)?;
        let clean = slots.remove(0);
        if slots.is_empty() {
            self.by_template.remove(&key);
        }
        self.count -= 1;
        Some(clean)
    }

    /// Returns the slot that had to go, if there are more than `max`.
    fn put(&mut self, mut clean: Clean, max: usize) -> Option<Clean> {
        self.returns += 1;
        clean.returned = self.returns;
        self.by_template.entry(clean.template.id()).or_default().push(clean);
        self.count += 1;
        if self.count > max { self.pop_oldest() } else { None }
    }
}

/// The memory of one instance. Dropped, it is reset and goes back to the pool.
pub(crate) struct Slot {
    /// `None` only while it is dropped.
    clean: Option<Clean>,
    /// Accessible bytes: at least the template, more after growth.
    len: AtomicUsize,
    /// What was written, once the instance has ended; saves the reset a second scan.
    written: Mutex<Option<Vec<Range<usize>>>>,
    pool: Arc<Pool>,
}

impl Slot {
    fn clean(&self) -> &Clean {
        match &self.clean {
            Some(clean) => clean,
            None => unreachable!("a slot is only empty while it is dropped"),
        }
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.clean().reservation.base
    }

    pub(crate) fn template(&self) -> &Arc<Template> {
        &self.clean().template
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Makes memory up to `len` bytes accessible.
    #[expect(unsafe_code, reason = "changes the protection inside of the slot's reservation")]
    pub(super) fn grow(&self, len: usize) -> Result<(), EngineError> {
        let old = self.len();
        if len <= old {
            return Ok(());
        }
        // SAFETY: inside of the reservation, which wasmtime bounds by the size that it asked for.
        unsafe {
            let start = self.base().add(old).cast();
            rustix::mm::mprotect(start, len - old, MprotectFlags::READ | MprotectFlags::WRITE)
        }
        .map_err(EngineError::memory("growing memory"))?;
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    /// Byte ranges that were written since the start. Without `PAGEMAP_SCAN`: every page that differs.
    pub(crate) fn written(&self) -> Vec<Range<usize>> {
        match self.pool.mode {
            ResetMode::CopyBack => {
                pagemap::written(self.base(), self.len()).unwrap_or_else(|| self.differing())
            }
            ResetMode::DropAll => self.differing(),
        }
    }

    fn differing(&self) -> Vec<Range<usize>> {
        let pages = (0..self.len() / PAGE).filter(|&i| self.page_differs(i, self.template()));
        pages.map(|i| i * PAGE..(i + 1) * PAGE).collect()
    }

    /// Whether page `index` is not what it is in `template` (zero past its end).
    pub(crate) fn page_differs(&self, index: usize, template: &Template) -> bool {
        let own = self.page(index);
        match template.page(index) {
            Some(page) => own != page,
            None => own.iter().any(|&b| b != 0),
        }
    }

    /// The bytes of page `index`. The caller sees to it that no guest code runs meanwhile.
    #[expect(unsafe_code, reason = "reads the slot's memory")]
    pub(crate) fn page(&self, index: usize) -> &[u8] {
        assert!((index + 1) * PAGE <= self.len(), "page {index} is outside of the slot");
        // SAFETY: accessible, as asserted; the instance that owns the slot is not running.
        unsafe { std::slice::from_raw_parts(self.base().add(index * PAGE), PAGE) }
    }

    /// Notes what was written, after which the guest must not run any more. Returns the number of bytes.
    pub(crate) fn conclude(&self) -> usize {
        let written = self.written();
        let bytes = written.iter().map(Range::len).sum();
        *self.written.lock() = Some(written);
        bytes
    }

    /// The guest runs again after all: what was noted is not everything.
    pub(crate) fn reopen(&self) {
        *self.written.lock() = None;
    }

    /// Makes the accessible memory equal to the template again.
    #[expect(unsafe_code, reason = "writes the slot's memory, which no instance uses any more")]
    fn reset(&self) -> Result<(), rustix::io::Errno> {
        let (base, template, image) = (self.base(), self.template(), self.template().len());
        let ranges = match self.pool.mode {
            ResetMode::CopyBack => {
                self.written.lock().take().or_else(|| pagemap::written(base, image))
            }
            ResetMode::DropAll => None,
        };
        let ranges = ranges.map(|r| r.into_iter().filter(|r| r.start < image).collect::<Vec<_>>());
        match ranges.filter(|r| r.iter().map(Range::len).sum::<usize>() <= COPY_BACK_MAX) {
            Some(ranges) => ranges.into_iter().for_each(|r| self.copy_back(r)),
            // SAFETY: the range is the private mapping of the template.
            None => unsafe { rustix::mm::madvise(base.cast(), image, Advice::LinuxDontNeed)? },
        }
        if self.len() > image {
            let rest = self.len() - image;
            // SAFETY: past the template and inside of the reservation.
            unsafe {
                let start = base.add(image).cast();
                rustix::mm::madvise(start, rest, Advice::LinuxDontNeed)?;
                rustix::mm::mprotect(start, rest, MprotectFlags::empty())?;
            }
        }
        debug_assert!(template.len() == image, "the template did not change");
        Ok(())
    }

    #[expect(unsafe_code, reason = "writes the slot's memory, which no instance uses any more")]
    fn copy_back(&self, range: Range<usize>) {
        let end = range.end.min(self.template().len());
        for index in range.start / PAGE..end / PAGE {
            // SAFETY: inside of the private, writable mapping of the template; the view is another mapping.
            unsafe {
                let target = self.base().add(index * PAGE);
                match self.template().page(index) {
                    Some(page) => std::ptr::copy_nonoverlapping(page.as_ptr(), target, PAGE),
                    None => std::ptr::write_bytes(target, 0, PAGE),
                }
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.in_use.fetch_sub(1, Ordering::Relaxed);
        let reset = self.reset();
        let Some(clean) = self.clean.take() else { return };
        match reset {
            Ok(()) if !clean.template.is_retired() => self.pool.give_back(clean),
            // A slot that could not be reset must not be used again, one of a retired template will not be.
            Ok(()) | Err(_) => {
                self.pool.slots.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}
