//! One wasm instance on one slot, and typed access to what the shim exports.

use std::sync::Arc;

use belay_model::{Category, Failure, Hash};
use wasmtime::{
    Instance, InstancePre, Memory, Module, ModuleExport, Store, Trap, UpdateDeadline, WasmParams,
    WasmResults,
};

use crate::{
    EngineError,
    engine::Shared,
    memory::{PAGE, PageHasher, Slot, Template, WASM_PAGE, with_slot},
    state::State,
};

/// What an exported function of the shim answers (`enum status` there).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Done,
    Failed,
    Pending,
    Broken,
    Deadlock,
    NoExport,
    NotFunction,
}

impl From<u32> for Status {
    fn from(code: u32) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::Failed,
            2 => Self::Pending,
            4 => Self::Deadlock,
            5 => Self::NoExport,
            6 => Self::NotFunction,
            _ => Self::Broken,
        }
    }
}

/// Where the shim's exports are in the module; looking them up by name costs more than calling them.
pub(crate) struct Exports {
    memory: ModuleExport,
    pub(crate) initialize: ModuleExport,
    pub(crate) compile_prelude: ModuleExport,
    pub(crate) init: ModuleExport,
    pub(crate) hook: ModuleExport,
    pub(crate) load: ModuleExport,
    pub(crate) compile: ModuleExport,
    pub(crate) entry: ModuleExport,
    pub(crate) seal: ModuleExport,
    pub(crate) start: ModuleExport,
    pub(crate) pump: ModuleExport,
    pub(crate) resolve: ModuleExport,
    pub(crate) seed: ModuleExport,
    reserve: ModuleExport,
    pub(crate) control: ModuleExport,
}

impl Exports {
    /// Fails with the name of what is missing.
    pub(crate) fn of(module: &Module) -> Result<Self, String> {
        let get =
            |name: &str| module.get_export_index(name).ok_or(format!("it does not export {name}"));
        Ok(Self {
            memory: get("memory")?,
            initialize: get("_initialize")?,
            compile_prelude: get("bl_compile_prelude")?,
            init: get("bl_init")?,
            hook: get("bl_hook")?,
            load: get("bl_load")?,
            compile: get("bl_compile")?,
            entry: get("bl_entry")?,
            seal: get("bl_seal")?,
            start: get("bl_start")?,
            pump: get("bl_pump")?,
            resolve: get("bl_resolve")?,
            seed: get("bl_seed")?,
            reserve: get("bl_reserve")?,
            control: get("bl_control")?,
        })
    }
}

/// The guest was stopped, or stopped itself; it must not be called again.
pub(crate) struct Stopped(pub(crate) wasmtime::Error);

/// An instance. Dropped, its slot is reset: `store` goes first, as fields are dropped in order.
pub(crate) struct Guest {
    store: Store<State>,
    instance: Instance,
    memory: Memory,
    slot: Arc<Slot>,
    shared: Arc<Shared>,
}

impl Guest {
    /// A fresh instance whose memory equals `template`.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        template: &Arc<Template>,
        state: State,
    ) -> Result<Self, EngineError> {
        let slot = Arc::new(shared.pool.take(template)?);
        let mut store = Store::new(&shared.wasmtime, state);
        store.limiter(|state| state);
        store.epoch_deadline_callback(|mut context| match context.data().past_limit() {
            None => Ok(UpdateDeadline::Continue(1)),
            Some(failure) => {
                context.data_mut().stopped = Some(failure);
                Err(wasmtime::Error::msg("a limit was reached"))
            }
        });
        let (instance, memory) = instantiate(&shared.pre, &shared.exports, &mut store, &slot)?;
        Ok(Self { store, instance, memory, slot, shared: shared.clone() })
    }

    pub(crate) fn state(&self) -> &State {
        self.store.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        self.store.data_mut()
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn memory_len(&self) -> usize {
        self.slot.len()
    }

    /// Runs `work`, in which guest code may be called: CPU time is counted, limits are watched.
    pub(crate) fn run<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let shared = self.shared.clone();
        let _running = shared.ticker.run();
        self.store.set_epoch_deadline(1);
        self.state_mut().cpu.start();
        let worked = work(self);
        self.state_mut().cpu.stop();
        worked
    }

    /// Calls an export; only within [`Guest::run`].
    pub(crate) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        export: impl Fn(&Exports) -> &ModuleExport,
        params: P,
    ) -> Result<R, Stopped> {
        let index = export(&self.shared.exports);
        let function = self.instance.get_module_export(&mut self.store, index);
        let function = function.and_then(wasmtime::Extern::into_func);
        let function = function.ok_or_else(|| Stopped(wasmtime::Error::msg("not a function")))?;
        let typed = function.typed::<P, R>(&self.store).map_err(Stopped)?;
        typed.call(&mut self.store, params).map_err(Stopped)
    }

    /// As [`Guest::call`], for an export that answers a status.
    pub(crate) fn status<P: WasmParams>(
        &mut self,
        export: impl Fn(&Exports) -> &ModuleExport,
        params: P,
    ) -> Result<Status, Stopped> {
        self.call::<P, u32>(export, params).map(Status::from)
    }

    /// Puts the parts, each followed by a NUL, into the guest's input buffer, and calls `work` with their addresses.
    pub(crate) fn with_parts<T, const N: usize>(
        &mut self,
        parts: [&[u8]; N],
        work: impl FnOnce(&mut Self, [u32; N]) -> Result<T, Stopped>,
    ) -> Result<T, Stopped> {
        let total = parts.iter().map(|part| part.len() + 1).sum();
        let mut at = self.input(size(total)?)?;
        let mut addresses = [0; N];
        for (part, address) in parts.into_iter().zip(&mut addresses) {
            *address = at;
            self.write(at, part)?;
            at += size(part.len() + 1)?;
        }
        work(self, addresses)
    }

    /// Where the guest's input buffer is, which is made to hold `len` bytes.
    fn input(&mut self, len: u32) -> Result<u32, Stopped> {
        if self.word(INPUT + CAPACITY)? < len {
            self.call::<u32, ()>(|e| &e.reserve, len)?;
        }
        self.word(INPUT)
    }

    fn word(&self, offset: u32) -> Result<u32, Stopped> {
        let bytes = self.control(offset, 4)?;
        bytes.try_into().map(u32::from_le_bytes).map_err(|_| out_of_bounds())
    }

    /// A range of the shim's control block.
    pub(crate) fn control(&self, offset: u32, len: u32) -> Result<&[u8], Stopped> {
        self.bytes(self.shared.control() + offset, len)
    }

    /// As [`Guest::control`], to be written.
    pub(crate) fn control_mut(&mut self, offset: u32, len: u32) -> Result<&mut [u8], Stopped> {
        let start = (self.shared.control() + offset) as usize;
        let memory = self.memory.data_mut(&mut self.store);
        memory.get_mut(start..start + len as usize).ok_or_else(out_of_bounds)
    }

    fn bytes(&self, at: u32, len: u32) -> Result<&[u8], Stopped> {
        let start = at as usize;
        let range = start..start.saturating_add(len as usize);
        self.memory.data(&self.store).get(range).ok_or_else(out_of_bounds)
    }

    fn write(&mut self, at: u32, part: &[u8]) -> Result<(), Stopped> {
        let start = at as usize;
        let memory = self.memory.data_mut(&mut self.store);
        let target = memory.get_mut(start..start + part.len() + 1).ok_or_else(out_of_bounds)?;
        target[..part.len()].copy_from_slice(part);
        target[part.len()] = 0;
        Ok(())
    }

    /// What the guest left in its output buffer.
    pub(crate) fn out(&self) -> Result<&[u8], Stopped> {
        self.bytes(self.word(OUTPUT)?, self.word(OUTPUT + LEN)?)
    }

    /// Makes memory `len` bytes long.
    pub(crate) fn grow_to(&mut self, len: usize) -> Result<(), EngineError> {
        let missing = len.saturating_sub(self.memory_len()).div_ceil(WASM_PAGE) as u64;
        if missing == 0 {
            return Ok(());
        }
        let grown = self.memory.grow(&mut self.store, missing);
        grown.map(|_| ()).map_err(|error| EngineError::Memory {
            operation: "growing memory",
            source: std::io::Error::other(error.to_string()),
        })
    }

    /// Overwrites page `index`, which must lie inside of memory.
    pub(crate) fn write_page(&mut self, index: usize, page: &[u8]) {
        let memory = self.memory.data_mut(&mut self.store);
        memory[index * PAGE..(index + 1) * PAGE].copy_from_slice(page);
    }

    pub(crate) fn memory_hash(&self) -> Hash {
        let mut hasher = PageHasher::new(self.memory_len());
        (0..self.memory_len() / PAGE).for_each(|index| hasher.page(index, self.slot.page(index)));
        hasher.finish()
    }

    /// An immutable copy of memory.
    pub(crate) fn freeze(&self) -> Result<Template, EngineError> {
        Template::from_pages(self.memory_len(), |index| Some(self.slot.page(index)))
    }

    /// Why the guest stopped, in the categories of a failure.
    pub(crate) fn failure_of(&mut self, stopped: &Stopped) -> Failure {
        if let Some(failure) = self.state_mut().stopped.take() {
            return failure;
        }
        if self.state().memory_refused {
            return self.out_of_memory();
        }
        match stopped.0.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => Failure::new(
                Category::StackOverflow,
                "RangeError",
                "Maximum call stack size exceeded",
            ),
            _ => Failure::new(Category::Engine, "Belay.Engine", format!("{:#}", stopped.0)),
        }
    }

    pub(crate) fn out_of_memory(&self) -> Failure {
        let limit = self.state().limits.memory_bytes;
        let message = format!("the function needs more than its memory limit of {limit} bytes");
        Failure::new(Category::OutOfMemory, "Belay.OutOfMemory", message)
    }
}

/// Offsets of the buffers in the shim's control block.
const INPUT: u32 = 0;
const OUTPUT: u32 = 12;
/// Offsets in a buffer: its data's address comes first.
const LEN: u32 = 4;
const CAPACITY: u32 = 8;

fn out_of_bounds() -> Stopped {
    Stopped(wasmtime::Error::msg("the guest names a place outside of its memory"))
}

fn size(len: usize) -> Result<u32, Stopped> {
    u32::try_from(len).map_err(|_| Stopped(wasmtime::Error::msg("more than 4 GiB")))
}

fn instantiate(
    pre: &InstancePre<State>,
    exports: &Exports,
    store: &mut Store<State>,
    slot: &Arc<Slot>,
) -> Result<(Instance, Memory), EngineError> {
    let failed = |reason: String| EngineError::Memory {
        operation: "making an instance",
        source: std::io::Error::other(reason),
    };
    let instance =
        with_slot(slot, || pre.instantiate(&mut *store)).map_err(|e| failed(format!("{e:#}")))?;
    let memory = instance.get_module_export(&mut *store, &exports.memory);
    let memory = memory.and_then(wasmtime::Extern::into_memory);
    Ok((instance, memory.ok_or_else(|| failed("no memory".to_owned()))?))
}
