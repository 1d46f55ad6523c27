//! Real functions, built and run by the engine.

use std::{
    future::Future,
    path::PathBuf,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use belay_engine::{Engine, Entry, FunctionImage, Instance, Program, ProgramModule, Start, Step};
use belay_host::{AppHost, Finished, Runner, Trace, drive};
use belay_model::{EnvironmentName, ImportEdge, ImportKind, ImportTarget, Limits, ModuleKind};
use tokio::sync::oneshot;

pub(crate) const CONTEXT: &str = r#"{"awsRequestId":"r-1","functionName":"f","functionVersion":"1",
    "invokedFunctionArn":"arn","memoryLimitInMB":128,"deadlineMs":9e15,"traceparent":"00-1"}"#;

/// What names each invocation in the requests that it makes.
pub(crate) const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Guest code needs more stack than a test's thread has.
const STACK_BYTES: usize = 32 << 20;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    // Kept with the build, so that tests do not compile it each time.
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("machine-code");
    Engine::open(&EnvironmentName::default(), &cache).unwrap()
});

/// A thread for each step.
pub(crate) struct Threads;

impl Runner for Threads {
    fn run(&self, mut instance: Instance) -> impl Future<Output = (Instance, Step)> + Send {
        let (sender, receiver) = oneshot::channel();
        let step = move || {
            let step = instance.step();
            let _ = sender.send((instance, step));
        };
        thread::Builder::new().stack_size(STACK_BYTES).spawn(step).unwrap();
        async { receiver.await.unwrap() }
    }
}

/// An app of one module, whose export `handler` is the function.
pub(crate) fn image(code: &str) -> FunctionImage {
    image_with(code, &["handler"])
}

/// As [`image`], with other entries.
pub(crate) fn image_with(code: &str, exports: &[&str]) -> FunctionImage {
    let entry =
        |export: &&str| Entry { module: "main.js".to_owned(), export: (*export).to_owned() };
    let program = Program {
        modules: vec![ProgramModule {
            path: "main.js".to_owned(),
            kind: ModuleKind::Esm,
            code: code.to_owned(),
            export_names: Vec::new(),
            imports: vec![ImportEdge {
                specifier: "belay:weave".to_owned(),
                kind: ImportKind::Import,
                target: ImportTarget::Builtin("belay:weave".to_owned()),
            }],
        }],
        entries: exports.iter().map(entry).collect(),
        ..Program::default()
    };
    deep(|| ENGINE.build(&program).unwrap().image)
}

/// On a thread with a stack for guest code.
pub(crate) fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        thread.unwrap().join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

pub(crate) fn start(image: &FunctionImage, event: &str, limits: Limits) -> Instance {
    image
        .start(Start { entry: 0, event, context: CONTEXT, limits, seed: [7; 32], arms: &[] })
        .unwrap()
}

/// Runs a handler's body, which sees `event` and `context`, to its end.
pub(crate) async fn run(host: &AppHost, body: &str, event: &str, limits: Limits) -> Finished {
    let code = format!("export async function handler(event, context) {{ {body} }}");
    run_module(host, &code, event, limits).await
}

/// Runs the export `handler` of a module to its end.
pub(crate) async fn run_module(
    host: &AppHost,
    code: &str,
    event: &str,
    limits: Limits,
) -> Finished {
    let instance = start(&image(code), event, limits);
    let deadline = Instant::now() + Duration::from_millis(limits.timeout_ms);
    drive(instance, host, Some(Trace(&TRACE)), &Threads, deadline).await
}
