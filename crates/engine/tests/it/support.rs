//! One engine for all tests, and short ways to build and run modules.

use std::{path::PathBuf, sync::LazyLock, thread};

use belay_engine::{
    BuildError, Built, Engine, Entry, FunctionImage, Instance, Program, ProgramModule, Start, Step,
};
use belay_model::{
    Arm, Call, EnvironmentName, Failure, ImportEdge, ImportKind, ImportTarget, Limits, ModuleKind,
    Outcome,
};

/// Machine code is kept with the build, so that tests do not compile it each time.
pub(crate) fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("machine-code")
}

pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    Engine::open(&EnvironmentName::default(), &cache()).expect("the engine opens")
});

/// Guest code needs more stack than a test's thread has.
pub(crate) fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(32 << 20).spawn_scoped(scope, work);
        thread.expect("a thread").join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

pub(crate) fn module(path: &str, code: &str, imports: &[(&str, &str)]) -> ProgramModule {
    let target = |target: &str| match target {
        "belay" | "belay:weave" => ImportTarget::Builtin(target.to_owned()),
        path => ImportTarget::Module(path.to_owned()),
    };
    ProgramModule {
        path: path.to_owned(),
        kind: ModuleKind::Esm,
        code: code.to_owned(),
        export_names: Vec::new(),
        imports: imports.iter().map(|(s, t)| edge(code, s, target(t))).collect(),
    }
}

/// `import('…')` in the code makes it a dynamic one.
pub(crate) fn edge(code: &str, specifier: &str, target: ImportTarget) -> ImportEdge {
    let dynamic = code.contains(&format!("import('{specifier}')"));
    let kind = if dynamic { ImportKind::Dynamic } else { ImportKind::Import };
    ImportEdge { specifier: specifier.to_owned(), kind, target }
}

/// A program of one module whose exports in `handlers` are the entries.
pub(crate) fn program(code: &str, handlers: &[&str]) -> Program {
    let entry =
        |export: &&str| Entry { module: "main.js".to_owned(), export: (*export).to_owned() };
    Program {
        modules: vec![module("main.js", code, &[("belay", "belay")])],
        entries: handlers.iter().map(entry).collect(),
        ..Program::default()
    }
}

pub(crate) fn build(program: &Program) -> Result<Built, BuildError> {
    deep(|| ENGINE.build(program))
}

pub(crate) fn image(code: &str) -> FunctionImage {
    match build(&program(code, &["handler"])) {
        Ok(built) => built.image,
        Err(error) => panic!("{error}: {error:?}"),
    }
}

/// As [`image`], on an engine of the test's own.
pub(crate) fn image_on(engine: &Engine, code: &str) -> FunctionImage {
    let program = program(code, &["handler"]);
    match deep(|| engine.build(&program)) {
        Ok(built) => built.image,
        Err(error) => panic!("{error}: {error:?}"),
    }
}

pub(crate) const CONTEXT: &str = r#"{"awsRequestId":"r-1","functionName":"f","functionVersion":"1",
    "invokedFunctionArn":"arn","memoryLimitInMB":128,"deadlineMs":9e15,"traceparent":"00-1"}"#;

pub(crate) fn start(image: &FunctionImage, event: &str, limits: Limits) -> Instance {
    start_on(image, event, limits, &[])
}

/// As [`start`], with the arms of a woven program.
pub(crate) fn start_on(
    image: &FunctionImage,
    event: &str,
    limits: Limits,
    arms: &[Arm],
) -> Instance {
    let request = Start { entry: 0, event, context: CONTEXT, limits, seed: [7; 32], arms };
    image.start(request).expect("an instance")
}

/// Runs to the end; `answer` settles each call as soon as it is made.
pub(crate) fn run_with(
    instance: &mut Instance,
    answer: impl Fn(&Call) -> Outcome,
) -> Result<String, Failure> {
    loop {
        match instance.step() {
            Step::Done(result) => return Ok(result),
            Step::Failed(failure) => return Err(failure),
            Step::Pending { calls, .. } => {
                calls.iter().for_each(|call| instance.resolve(call.id, answer(call)));
            }
        }
    }
}

/// As [`run`], on the thread that calls, which is a deep one.
pub(crate) fn run_here(image: &FunctionImage, event: &str) -> Result<String, Failure> {
    run_with(&mut start(image, event, Limits::default()), |_| Outcome::json("null"))
}

/// As [`run_with`], for a handler that only waits for timers.
pub(crate) fn run(image: &FunctionImage, event: &str) -> Result<String, Failure> {
    run_limited(image, event, Limits::default())
}

pub(crate) fn run_limited(
    image: &FunctionImage,
    event: &str,
    limits: Limits,
) -> Result<String, Failure> {
    deep(|| run_with(&mut start(image, event, limits), |_| Outcome::json("null")))
}
