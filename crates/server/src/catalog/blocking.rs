//! Work that runs for milliseconds and may recurse deeply: on a thread of its own, with a stack that is big enough.
//!
//! Parsers and the guest's stack live on the host's stack, and the async runtime's threads are not ours to size.

use std::thread;

use tokio::sync::oneshot;

/// Virtual memory; only what is touched is real.
const STACK_BYTES: usize = 64 << 20;

/// The work panicked, or its thread could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

pub(super) async fn on_big_stack<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Broken> {
    let (answer, answered) = oneshot::channel();
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    let run = move || drop(answer.send(work()));
    builder.spawn(run).map_err(|_| Broken)?;
    answered.await.map_err(|_| Broken)
}
