//! An environment, ready to run: compiled engine image, engine memory, slots, heartbeat.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use belay_guest::{ENGINES, EngineImage, PRELUDE};
use belay_model::{EnvironmentName, Hash, Limits};
use wasmtime::{Config, InstancePre, Linker, Module, ModuleExport};

use crate::{
    BuildError, Built, EngineError, FunctionImage, PoolStats, Program, build,
    clock::Clock,
    guest::{Exports, Guest, Status, Stopped},
    image::Residency,
    imports, machine_code,
    memory::{Creator, Pool, ResetMode, Template},
    state::State,
    strip::strip_data,
    ticker::Ticker,
};

/// A runtime version that runs functions. Cheap to clone; one per environment and process.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What all instances of an environment share.
pub(crate) struct Shared {
    pub(crate) environment: EnvironmentName,
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) pre: InstancePre<State>,
    pub(crate) exports: Exports,
    /// Where the shim's control block is: at the same address in every instance.
    control: OnceLock<u32>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) ticker: Ticker,
    /// The memory after the prelude, from which every function image starts.
    pub(crate) memory: Arc<Template>,
    pub(crate) hash: Hash,
    pub(crate) residency: Residency,
}

/// How an engine uses the machine. The defaults are right for a server.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// How many free slots are kept, their written pages with them (about 0.2 MB each).
    pub free_slots_max: usize,
    /// Bytes of function images that are kept ready; beyond, the longest unused go back to their compressed form.
    pub resident_bytes_max: usize,
    /// Reset slots by copying written pages back where the kernel can tell them; else by dropping all pages.
    pub copy_back: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { free_slots_max: 128, resident_bytes_max: 40 << 20, copy_back: true }
    }
}

/// Address space of a slot: what a 32-bit address can reach, and the guard beyond.
const RESERVATION: u64 = 4 << 30;
const GUARD: u64 = 32 << 20;
/// Native stack for guest code. The threads that run it need more than this.
const STACK: usize = 8 << 20;

impl Engine {
    /// The environments that this build ships, newest last.
    pub fn environments() -> Vec<EnvironmentName> {
        ENGINES.iter().map(|image| EnvironmentName(image.environment.to_owned())).collect()
    }

    /// Opens an environment. `cache` is a directory for machine code; it is made if need be.
    pub fn open(environment: &EnvironmentName, cache: &Path) -> Result<Self, EngineError> {
        Self::open_with(environment, cache, EngineOptions::default())
    }

    /// As [`Engine::open`], with options.
    pub fn open_with(
        environment: &EnvironmentName,
        cache: &Path,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let image = ENGINES.iter().find(|image| image.environment == environment.0);
        let image = image.ok_or_else(|| EngineError::UnknownEnvironment {
            wanted: environment.clone(),
            known: Self::environments(),
        })?;
        Shared::open(image, cache, options).map(|shared| Self { shared: Arc::new(shared) })
    }

    pub fn environment(&self) -> &EnvironmentName {
        &self.shared.environment
    }

    /// Address of the engine memory: function images and snapshots belong to one.
    pub fn hash(&self) -> Hash {
        self.shared.hash
    }

    /// Evaluates a program's top-level code and makes the function image. Takes milliseconds; to be called on a
    /// thread with at least 16 MiB of stack.
    pub fn build(&self, program: &Program) -> Result<Built, BuildError> {
        build::build(self, program)
    }

    /// Reads what [`FunctionImage::to_bytes`] wrote. Nothing is materialised yet.
    pub fn load(&self, stored: &[u8]) -> Result<FunctionImage, EngineError> {
        FunctionImage::from_bytes(self, stored)
    }

    pub fn pool_stats(&self) -> PoolStats {
        self.shared.pool.stats()
    }

    /// How many function images are materialised, and how many bytes they hold.
    pub fn resident(&self) -> (usize, usize) {
        self.shared.residency.total()
    }

    /// Whether slots are reset by copying back, that is, whether the kernel can tell written pages.
    pub fn copies_back(&self) -> bool {
        self.shared.pool.mode() == ResetMode::CopyBack
    }
}

impl Shared {
    fn open(
        image: &EngineImage,
        cache: &Path,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let environment = EnvironmentName(image.environment.to_owned());
        let broken =
            |reason: String| EngineError::EngineImage { environment: environment.clone(), reason };
        let wasm = |e: wasmtime::Error| broken(format!("{e:#}"));
        let stripped = strip_data(image.wasm).map_err(broken)?;
        let wasmtime = wasmtime::Engine::new(&config()).map_err(wasm)?;
        let module = machine_code::compile(&wasmtime, &stripped.wasm, cache)?;
        let exports = Exports::of(&module).map_err(broken)?;
        let pre = link(&wasmtime, &module).map_err(wasm)?;
        let ticker = Ticker::spawn(wasmtime.clone());
        let ticker = ticker
            .map_err(|source| EngineError::Memory { operation: "starting a thread", source })?;
        let reservation =
            usize::try_from(RESERVATION + GUARD).map_err(|e| broken(e.to_string()))?;
        let pool = Arc::new(Pool::new(reservation, options.free_slots_max, options.copy_back));
        let residency = Residency::new(options.resident_bytes_max);
        let memory = Arc::new(Template::from_bytes(&stripped.memory)?);
        let hash = memory.hash();
        let control = OnceLock::new();
        #[rustfmt::skip]
        let base = Self { environment, wasmtime, pre, exports, control, pool, ticker, memory, hash, residency };
        base.with_engine_memory()
    }

    /// Known once the shim has been initialised.
    pub(crate) fn control(&self) -> u32 {
        self.control.get().copied().unwrap_or_default()
    }

    /// Runs the prelude on the bare memory of the module. Time stands still and the seed is fixed, so that the
    /// result, and with it its hash, is the same in every process and on every machine.
    fn with_engine_memory(self) -> Result<Self, EngineError> {
        let shared = Arc::new(self);
        let made = on_deep_stack(|| engine_memory(&shared));
        let memory = made.map_err(|reason| EngineError::EngineImage {
            environment: shared.environment.clone(),
            reason,
        })?;
        shared.pool.evict(&shared.memory);
        let Ok(mut own) = Arc::try_unwrap(shared) else { unreachable!("the only guest has ended") };
        own.hash = memory.hash();
        own.memory = Arc::new(memory);
        Ok(own)
    }
}

/// Guest code needs more native stack than threads usually have.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(2 * STACK);
        match thread.spawn_scoped(scope, work) {
            Ok(handle) => handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(error) => panic!("the system refuses a thread: {error}"),
        }
    })
}

/// Two instances, one after the other: the first compiles the prelude, the second evaluates it.
fn engine_memory(shared: &Arc<Shared>) -> Result<Template, String> {
    let compiler = first_call(shared, |e| &e.compile_prelude, PRELUDE.as_bytes())?;
    let bytecode = compiler.out().map_err(|Stopped(error)| format!("{error:#}"))?;
    let guest = first_call(shared, |e| &e.init, bytecode)?;
    guest.freeze().map_err(|e| e.to_string())
}

/// A guest on the bare memory of the module, initialised and given `message`.
fn first_call(
    shared: &Arc<Shared>,
    export: impl Fn(&Exports) -> &ModuleExport,
    message: &[u8],
) -> Result<Guest, String> {
    let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
    let mut state = State::new(limits, [0; 32]);
    state.clock = Clock::Frozen;
    let mut guest = Guest::new(shared, &shared.memory, state).map_err(|e| e.to_string())?;
    let len = u32::try_from(message.len()).map_err(|e| e.to_string())?;
    let called = guest.run(|guest| {
        guest.call::<(), ()>(|e| &e.initialize, ())?;
        let control = guest.call::<(), u32>(|e| &e.control, ())?;
        shared.control.get_or_init(|| control);
        guest.with_parts([message], |guest, [message]| {
            guest.status(export, (message, len, limits.stack_bytes))
        })
    });
    match called {
        Ok(Status::Done) => Ok(guest),
        Ok(_) => Err(guest.out().map_or_else(
            |Stopped(error)| format!("{error:#}"),
            |out| String::from_utf8_lossy(out).into_owned(),
        )),
        Err(Stopped(error)) => Err(format!("{error:#}")),
    }
}

fn link(engine: &wasmtime::Engine, module: &Module) -> wasmtime::Result<InstancePre<State>> {
    let mut linker = Linker::new(engine);
    imports::define(&mut linker, module)?;
    linker.instantiate_pre(module)
}

fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.memory_reservation(RESERVATION);
    config.memory_guard_size(GUARD);
    config.max_wasm_stack(STACK);
    config.async_stack_size(2 * STACK);
    config.memory_init_cow(false);
    config.wasm_backtrace_max_frames(None);
    config.with_host_memory(Arc::new(Creator));
    config
}
