//! Which pages of a private mapping were written: the `PAGEMAP_SCAN` ioctl (Linux 6.7), with its argument
//! as in `include/uapi/linux/fs.h`.
//!
//! A page of a private file mapping that was written is anonymous: present or swapped, not of the file,
//! and not the shared zero page.

use std::{fs::File, ops::Range, os::fd::AsRawFd, sync::OnceLock};

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

#[repr(C)]
#[derive(Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const PAGEMAP_SCAN: libc::c_ulong = 0xC060_6610;
const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;
const IS_PFNZERO: u64 = 1 << 5;
const BATCH: usize = 128;

/// `/proc/self/pagemap`, or `None` where the kernel or the sandbox lacks it.
fn pagemap() -> Option<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    FILE.get_or_init(|| File::open("/proc/self/pagemap").ok()).as_ref()
}

/// Written pages within `[base, base + len)`, as byte ranges relative to `base`, in order; `None` where the
/// kernel cannot tell.
pub(super) fn written(base: *const u8, len: usize) -> Option<Vec<Range<usize>>> {
    let base = base.addr() as u64;
    let end = base + len as u64;
    let mut found = Vec::new();
    let mut start = base;
    while start < end {
        let mut regions = [PageRegion::default(); BATCH];
        let (count, walked) = scan(start, end, &mut regions)?;
        found.extend(regions[..count].iter().filter_map(|r| range(r, base)));
        if walked <= start {
            return None;
        }
        start = walked;
    }
    Some(found)
}

fn range(region: &PageRegion, base: u64) -> Option<Range<usize>> {
    Some(usize::try_from(region.start - base).ok()?..usize::try_from(region.end - base).ok()?)
}

/// One ioctl: how many regions were filled, and how far the walk came.
#[expect(unsafe_code, reason = "an ioctl without a safe wrapper")]
fn scan(start: u64, end: u64, regions: &mut [PageRegion; BATCH]) -> Option<(usize, u64)> {
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        start,
        end,
        vec: regions.as_mut_ptr().expose_provenance() as u64,
        vec_len: BATCH as u64,
        category_inverted: IS_FILE | IS_PFNZERO,
        category_mask: IS_FILE | IS_PFNZERO,
        category_anyof_mask: IS_PRESENT | IS_SWAPPED,
        return_mask: IS_PRESENT,
        ..ScanArgument::default()
    };
    // SAFETY: the argument is the kernel's structure and names a writable array of the length given.
    let count = unsafe { libc::ioctl(pagemap()?.as_raw_fd(), PAGEMAP_SCAN, &raw mut argument) };
    Some((usize::try_from(count).ok()?, argument.walk_end))
}
