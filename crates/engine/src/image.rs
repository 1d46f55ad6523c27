//! Function images: the memory that every request of an app version starts from.
//!
//! Kept as a compressed delta against the engine memory, and materialised into a template on first use. The
//! stored form is documented in `docs/formats/function-image.md`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use belay_model::{Hash, Limits};
use parking_lot::Mutex;

use crate::{
    Engine, EngineError, Instance, SnapshotError, Start,
    guest::Guest,
    memory::{PAGE, PageHasher, Template},
    pages::{PackedPages, Reader},
    snapshot,
};

/// The image of an app version: top-level code has run, handlers are ready. Cheap to clone.
#[derive(Clone)]
pub struct FunctionImage {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    hash: Hash,
    /// Length of the memory in bytes.
    len: usize,
    delta: PackedPages,
    template: ArcSwapOption<Template>,
    /// Only one thread materialises.
    making: Mutex<()>,
    /// When it was last started, in starts of any image.
    used: AtomicU64,
    id: u64,
}

const MAGIC: &[u8; 8] = b"BLYIMAGE";
const FORMAT: u16 = 1;
const COMPRESSION: i32 = 3;
/// More than any limit on a deploy's memory allows.
const LEN_MAX: u64 = 1 << 30;

/// The fields of the stored form, in their order.
struct Stored {
    magic: [u8; 8],
    format: u16,
    engine: Hash,
    hash: Hash,
    len: u64,
    delta: PackedPages,
}

impl Stored {
    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let magic = reader.array()?;
        let format = u16::from_le_bytes(reader.array()?);
        let (engine, hash) = (Hash::from_bytes(reader.array()?), Hash::from_bytes(reader.array()?));
        let len = u64::from_le_bytes(reader.array()?);
        let delta = PackedPages::read(&mut reader)?;
        reader.is_empty().then_some(Self { magic, format, engine, hash, len, delta })
    }
}

impl FunctionImage {
    /// The memory of a guest that has run all top-level code.
    pub(crate) fn of(engine: &Engine, guest: &Guest) -> Self {
        let (base, slot, len) = (&engine.shared.memory, guest.slot(), guest.memory_len());
        let changed = (0..len / PAGE).filter(|&index| slot.page_differs(index, base));
        let pages = changed.map(|index| (index, slot.page(index)));
        let delta = PackedPages::pack(pages, base, COMPRESSION);
        Self::from_parts(engine, guest.memory_hash(), len, delta)
    }

    fn from_parts(engine: &Engine, hash: Hash, len: usize, delta: PackedPages) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let inner = Inner {
            engine: engine.clone(),
            hash,
            len,
            delta,
            template: ArcSwapOption::empty(),
            making: Mutex::new(()),
            used: AtomicU64::new(0),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn from_bytes(engine: &Engine, stored: &[u8]) -> Result<Self, EngineError> {
        let damaged = |reason: &str| EngineError::FunctionImage { reason: reason.to_owned() };
        let (content, checksum) =
            stored.split_last_chunk::<32>().ok_or_else(|| damaged("it is too short"))?;
        if Hash::of(content).as_bytes() != checksum {
            return Err(damaged("its checksum does not match"));
        }
        let stored = Stored::read(Reader::new(content)).ok_or_else(|| damaged("it ends early"))?;
        if &stored.magic != MAGIC || stored.format != FORMAT {
            return Err(damaged("it is not a function image of a format that this build reads"));
        }
        if stored.engine != engine.hash() {
            return Err(EngineError::OtherEngine { found: stored.engine, own: engine.hash() });
        }
        let fits = |len: &usize| len.is_multiple_of(PAGE) && *len as u64 <= LEN_MAX;
        let len = usize::try_from(stored.len).ok().filter(fits);
        let len = len.ok_or_else(|| damaged("its length is out of range"))?;
        Ok(Self::from_parts(engine, stored.hash, len, stored.delta))
    }

    /// The form in which an image is kept: everything but the engine memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        let inner = &self.inner;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(inner.engine.hash().as_bytes());
        bytes.extend(inner.hash.as_bytes());
        bytes.extend((inner.len as u64).to_le_bytes());
        inner.delta.write(&mut bytes);
        let checksum = Hash::of(&bytes);
        bytes.extend(checksum.as_bytes());
        bytes
    }

    /// Address of the memory.
    pub fn hash(&self) -> Hash {
        self.inner.hash
    }

    /// Length of the memory, and bytes of its compressed delta.
    pub fn sizes(&self) -> (usize, usize) {
        (self.inner.len, self.inner.delta.len())
    }

    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// A fresh instance that is about to run a handler. Materialises the image if need be. No guest code runs yet.
    pub fn start(&self, request: Start<'_>) -> Result<Instance, EngineError> {
        Instance::start(self, request)
    }

    /// Continues a snapshot of an instance of this same image, made by any process.
    pub fn restore(&self, snapshot: &[u8], limits: &Limits) -> Result<Instance, SnapshotError> {
        snapshot::restore(self, snapshot, limits)
    }

    /// Gives the materialised memory back if no instance uses it; says whether it did. The next start makes it anew.
    pub fn release_idle(&self) -> bool {
        self.inner.release_idle()
    }

    /// Whether the memory is materialised.
    pub fn is_resident(&self) -> bool {
        self.inner.template.load().is_some()
    }

    pub(crate) fn template(&self) -> Result<Arc<Template>, EngineError> {
        self.inner.used.store(self.inner.engine.shared.residency.tick(), Ordering::Relaxed);
        if let Some(template) = self.inner.template.load_full() {
            return Ok(template);
        }
        let _making = self.inner.making.lock();
        if let Some(template) = self.inner.template.load_full() {
            return Ok(template);
        }
        let template = Arc::new(self.inner.materialise()?);
        self.inner.keep(template.clone());
        Ok(template)
    }
}

impl Inner {
    fn materialise(&self) -> Result<Template, EngineError> {
        let damaged =
            || EngineError::FunctionImage { reason: "its pages cannot be read".to_owned() };
        let base = &self.engine.shared.memory;
        let pages = self.delta.unpack(self.len, base).ok_or_else(damaged)?;
        // Hashed while they are copied: reading them through the template's view would map every page once more.
        let mut hasher = PageHasher::new(self.len);
        let template = Template::from_pages(self.len, |index| {
            let page = pages.get(&index).or_else(|| base.page(index));
            page.inspect(|bytes| hasher.page(index, bytes))
        })?;
        if hasher.finish() == self.hash { Ok(template) } else { Err(damaged()) }
    }

    fn keep(self: &Arc<Self>, template: Arc<Template>) {
        self.template.store(Some(template));
        self.engine.shared.residency.added(self);
    }

    fn release_idle(&self) -> bool {
        let Some(template) = self.template.load_full() else { return false };
        let pool = &self.engine.shared.pool;
        pool.evict(&template);
        // Ours and the one in `self.template`: any other belongs to an instance.
        let idle = Arc::strong_count(&template) <= 2;
        if idle {
            self.template.store(None);
        }
        idle
    }

    fn resident(&self) -> usize {
        self.template.load().as_ref().map_or(0, |template| template.resident())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(template) = self.template.swap(None) {
            self.engine.shared.pool.retire(&template);
        }
    }
}

/// Keeps the materialised images of an engine within a budget.
pub(crate) struct Residency {
    bytes_max: usize,
    images: Mutex<BTreeMap<u64, Weak<Inner>>>,
    starts: AtomicU64,
}

impl Residency {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, images: Mutex::default(), starts: AtomicU64::new(0) }
    }

    fn tick(&self) -> u64 {
        self.starts.fetch_add(1, Ordering::Relaxed)
    }

    /// Images and bytes that are materialised.
    pub(crate) fn total(&self) -> (usize, usize) {
        let images = self.live();
        let resident = images.iter().map(|image| image.resident()).filter(|&bytes| bytes > 0);
        resident.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes))
    }

    fn added(&self, image: &Arc<Inner>) {
        self.images.lock().insert(image.id, Arc::downgrade(image));
        let mut images = self.live();
        let mut total: usize = images.iter().map(|image| image.resident()).sum();
        images.sort_by_key(|image| image.used.load(Ordering::Relaxed));
        for other in images.iter().filter(|other| other.id != image.id) {
            if total <= self.bytes_max {
                return;
            }
            let bytes = other.resident();
            if other.release_idle() {
                total -= bytes;
            }
        }
    }

    /// The images that are materialised; forgets the others.
    fn live(&self) -> Vec<Arc<Inner>> {
        let mut images = self.images.lock();
        let live: Vec<_> =
            images.values().filter_map(Weak::upgrade).filter(|i| i.resident() > 0).collect();
        images.retain(|id, _| live.iter().any(|image| image.id == *id));
        live
    }
}
