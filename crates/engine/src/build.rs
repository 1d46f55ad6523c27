//! From a program to a function image: top-level code is evaluated once, at deploy, and the memory that it
//! leaves is what every request starts from.

use std::collections::BTreeSet;

use belay_model::{Arm, Category, Limits, ModuleKind};

use crate::{
    BuildError, Engine, FunctionImage, LogLine, Program, ProgramModule, abi, cells,
    guest::{Exports, Guest, Status, Stopped},
    state::{Building, State},
};

/// A function image, and what there is to say about how it came to be.
pub struct Built {
    pub image: FunctionImage,
    pub notes: Vec<Note>,
    /// What top-level code logged.
    pub logs: Vec<LogLine>,
    /// The parts whose guards ran in top-level code: what they chose is frozen into the image, whatever arm a request
    /// brings.
    pub reached: BTreeSet<u8>,
}

/// Top-level code read something that the image freezes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub kind: NoteKind,
    /// Frames as the engine prints them, innermost first.
    pub stack: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteKind {
    Clock,
    Random,
    /// This operation was refused, and top-level code caught the error.
    Effect(String),
}

/// What evaluating top-level code may use.
pub const BUILD_LIMITS: Limits = Limits {
    timeout_ms: 30_000,
    cpu_ms: 5_000,
    memory_bytes: 256 << 20,
    stack_bytes: 384 << 10,
    event_bytes: 0,
    result_bytes: 0,
    log_bytes: 1 << 20,
    calls_in_flight: 0,
    concurrency: 1,
};

/// Heap that a request finds ready, so that a small one need not grow memory.
const SLACK_BYTES: u32 = 192 << 10;
/// Events and outcomes up to this size find the input buffer large enough.
const INPUT_BYTES: u32 = 4 << 10;

pub(crate) fn build(engine: &Engine, program: &Program) -> Result<Built, BuildError> {
    let mut state = State::new(BUILD_LIMITS, [0; 32]);
    state.building =
        Some(Building { sources: program.sources(), notes: Vec::new(), refused: None });
    let guest = Guest::new(&engine.shared, &engine.shared.memory, state)?;
    let mut builder = Builder { guest, module: None };
    builder.arm(&program.arms)?;
    builder.evaluate(program)?;
    builder.finish(engine)
}

struct Builder {
    guest: Guest,
    /// What is being loaded, for errors that do not say where they come from.
    module: Option<String>,
}

impl Builder {
    fn arm(&mut self, arms: &[Arm]) -> Result<(), BuildError> {
        cells::check(arms)?;
        self.call(|guest| cells::write_arms(guest, arms).map(|()| Status::Done)).map(|_| ())
    }

    fn evaluate(&mut self, program: &Program) -> Result<(), BuildError> {
        let env = serde_json::json!(program.env).to_string();
        self.hook(c"setGraph", &program.graph_json())?;
        self.hook(c"setEnv", &env)?;
        for (index, entry) in program.entries.iter().enumerate() {
            let first = program.entries[..index].iter().all(|e| e.module != entry.module);
            if first {
                self.load(&entry.module)?;
            }
        }
        // After the deploy there are no sources: what a request may import has to be there now.
        let dynamic = program.dynamic_targets();
        let importable =
            |m: &&ProgramModule| m.kind == ModuleKind::Esm || dynamic.contains(m.path.as_str());
        for module in program.modules.iter().filter(importable) {
            self.on_path(&module.path, |e| &e.compile)?;
        }
        for builtin in program.imported_builtins() {
            self.on_path(&builtin, |e| &e.compile)?;
        }
        self.hook(c"preload", "")?;
        for index in 0..program.entries.len() {
            self.entry(program, index)?;
        }
        Ok(())
    }

    fn load(&mut self, module: &str) -> Result<(), BuildError> {
        match self.on_path(module, |e| &e.load)? {
            Status::Deadlock => Err(BuildError::NeverSettles { module: module.to_owned() }),
            _ => Ok(()),
        }
    }

    fn entry(&mut self, program: &Program, index: usize) -> Result<(), BuildError> {
        let entry = &program.entries[index];
        let (module, export) = (entry.module.clone(), entry.export.clone());
        self.module = Some(module.clone());
        let status = self.call(|guest| {
            guest.with_parts([module.as_bytes(), export.as_bytes()], |guest, [module, export]| {
                guest.status(|e| &e.entry, (module, export))
            })
        })?;
        match status {
            Status::NoExport => Err(BuildError::NoSuchExport { entry: index, module, export }),
            Status::NotFunction => Err(BuildError::NotAFunction { entry: index, module, export }),
            _ => Ok(()),
        }
    }

    fn hook(&mut self, name: &std::ffi::CStr, text: &str) -> Result<(), BuildError> {
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.module = None;
        let status = self.call(|guest| {
            guest.with_parts([name.to_bytes(), text.as_bytes()], |guest, [name, text]| {
                guest.status(|e| &e.hook, (name, text, len))
            })
        });
        status.map(|_| ())
    }

    fn on_path(
        &mut self,
        path: &str,
        export: impl Fn(&Exports) -> &wasmtime::ModuleExport,
    ) -> Result<Status, BuildError> {
        self.module = Some(path.to_owned());
        self.call(|guest| {
            guest.with_parts([path.as_bytes()], |guest, [path]| guest.status(export, path))
        })
    }

    /// One call into the guest; what it reports as failed becomes an error.
    fn call(
        &mut self,
        work: impl FnOnce(&mut Guest) -> Result<Status, Stopped>,
    ) -> Result<Status, BuildError> {
        match self.guest.run(work) {
            Ok(Status::Failed | Status::Broken) => Err(self.failed()),
            Ok(status) => Ok(status),
            Err(stopped) => {
                let failure = self.guest.failure_of(&stopped);
                Err(BuildError::Limit { module: self.module.clone(), failure })
            }
        }
    }

    fn failed(&mut self) -> BuildError {
        let failure = match self.guest.out() {
            Ok(out) => abi::decode_failure(out),
            Err(stopped) => self.guest.failure_of(&stopped),
        };
        let refused = self.guest.state().building.as_ref().and_then(|b| b.refused.clone());
        match (failure.category, refused) {
            (Category::Dependency, Some((op, stack))) => BuildError::Effect { op, stack },
            (Category::StackOverflow | Category::OutOfMemory | Category::Timeout, _) => {
                BuildError::Limit { module: self.module.clone(), failure }
            }
            _ => BuildError::Module { module: self.module.clone(), failure },
        }
    }

    fn finish(mut self, engine: &Engine) -> Result<Built, BuildError> {
        // Sealing clears the cells.
        let reached = cells::reached(&self.guest).iter().map(|reached| reached.part).collect();
        self.call(|guest| guest.status(|e| &e.seal, (SLACK_BYTES, INPUT_BYTES)))?;
        let image = FunctionImage::of(engine, &self.guest);
        let state = self.guest.state_mut();
        let logs = std::mem::take(&mut state.logs);
        let building = state.building.take();
        let (mut notes, refused) =
            building.map(|building| (building.notes, building.refused)).unwrap_or_default();
        // It was refused, and top-level code went on without it.
        notes.extend(refused.map(|(op, stack)| Note { kind: NoteKind::Effect(op), stack }));
        Ok(Built { image, notes, logs, reached })
    }
}
