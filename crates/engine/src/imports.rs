//! The host side of the shim's synchronous imports: clock, randomness, logs, pure functions, module texts.

use belay_model::{Category, Failure};
use rand_chacha::rand_core::RngCore;
use wasmtime::{Caller, Extern, Linker, Module};

use crate::{
    build::{Note, NoteKind},
    pure::{self, PureError, PureErrorKind, PureValue},
    state::State,
};

/// Defines every import of the shim. Those of WASI that libc drags in trap: nothing calls them.
pub(crate) fn define(linker: &mut Linker<State>, module: &Module) -> wasmtime::Result<()> {
    linker.func_wrap("belay", "log", log)?;
    linker.func_wrap("belay", "now", |mut c: Guest<'_>| c.data_mut().wall_clock_ms())?;
    linker.func_wrap("belay", "monotonic", |mut c: Guest<'_>| c.data_mut().monotonic_ms())?;
    linker.func_wrap("belay", "random", random)?;
    linker.func_wrap("belay", "note", note)?;
    linker.func_wrap("belay", "pure", pure_call)?;
    linker.func_wrap("belay", "module", module_source)?;
    linker.func_wrap("belay", "take", take)?;
    linker.define_unknown_imports_as_traps(module)
}

type Guest<'a> = Caller<'a, State>;

/// A range of guest memory; an error, which traps, when it lies outside.
fn bytes<'a>(caller: &'a mut Guest<'_>, at: u32, len: u32) -> wasmtime::Result<&'a mut [u8]> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    let memory = memory.ok_or_else(|| wasmtime::Error::msg("no memory"))?;
    let (start, len) = (at as usize, len as usize);
    let range = memory.data_mut(caller).get_mut(start..start.saturating_add(len));
    range.ok_or_else(|| wasmtime::Error::msg("a pointer outside of memory"))
}

fn text(caller: &mut Guest<'_>, at: u32, len: u32) -> wasmtime::Result<String> {
    Ok(String::from_utf8_lossy(bytes(caller, at, len)?).into_owned())
}

fn stop(caller: &mut Guest<'_>, failure: Failure) -> wasmtime::Error {
    let error = wasmtime::Error::msg(failure.message.clone());
    caller.data_mut().stopped = Some(failure);
    error
}

fn log(mut caller: Guest<'_>, level: u32, at: u32, len: u32) -> wasmtime::Result<()> {
    // Before the text is copied: a flood must not cost the host its memory.
    if u64::from(len) > caller.data().limits.log_bytes {
        let failure = Failure::new(
            Category::Exception,
            "Belay.LogLimit",
            format!("one log line of {len} bytes is longer than the limit of the function"),
        );
        return Err(stop(&mut caller, failure));
    }
    let line = text(&mut caller, at, len)?;
    let logged = caller.data_mut().log(level, line);
    logged.map_err(|failure| stop(&mut caller, failure))
}

fn random(mut caller: Guest<'_>, at: u32, len: u32) -> wasmtime::Result<()> {
    let mut filled = vec![0; bytes(&mut caller, at, len)?.len()];
    caller.data_mut().random.fill_bytes(&mut filled);
    bytes(&mut caller, at, len)?.copy_from_slice(&filled);
    Ok(())
}

/// `text` is the operation (or nothing), a line break, and the stack.
fn note(mut caller: Guest<'_>, kind: u32, at: u32, len: u32) -> wasmtime::Result<()> {
    let message = text(&mut caller, at, len)?;
    let Some(building) = caller.data_mut().building.as_mut() else { return Ok(()) };
    let (op, stack) = message.split_once('\n').unwrap_or((&message, ""));
    let stack: Vec<String> =
        stack.lines().filter(|l| !l.contains("belay:")).map(|l| l.trim_end().to_owned()).collect();
    match kind {
        0 => building.note(Note { kind: NoteKind::Clock, stack }),
        1 => building.note(Note { kind: NoteKind::Random, stack }),
        _ => building.refuse(op, stack),
    }
    Ok(())
}

fn pure_call(
    mut caller: Guest<'_>,
    op: u32,
    op_len: u32,
    text_at: u32,
    text_len: u32,
    bytes_at: u32,
    bytes_len: u32,
) -> wasmtime::Result<i64> {
    let op = text(&mut caller, op, op_len)?;
    let argument = text(&mut caller, text_at, text_len)?;
    let body = bytes(&mut caller, bytes_at, bytes_len)?;
    let (status, answer) = match pure::call(&op, &argument, body) {
        Ok(PureValue::Text(text)) => (0, text.into_bytes()),
        Ok(PureValue::Bytes(bytes)) => (1, bytes),
        Err(error) => pure_error(error),
    };
    Ok((status << 32) | i64::from(leave(&mut caller, answer)))
}

fn pure_error(error: PureError) -> (i64, Vec<u8>) {
    match error.kind {
        PureErrorKind::TypeError => (2, error.message.into_bytes()),
        PureErrorKind::RangeError => (3, error.message.into_bytes()),
        PureErrorKind::Dom(name) => (4, format!("{name}\n{}", error.message).into_bytes()),
    }
}

fn module_source(mut caller: Guest<'_>, at: u32, len: u32) -> wasmtime::Result<i32> {
    let path = text(&mut caller, at, len)?;
    let Some(building) = caller.data().building.as_ref() else { return Ok(-1) };
    let Some(message) = building.sources.get(&path).cloned() else { return Ok(-1) };
    Ok(leave(&mut caller, message).cast_signed())
}

/// Keeps an answer for `take`; returns its length.
fn leave(caller: &mut Guest<'_>, answer: Vec<u8>) -> u32 {
    let len = u32::try_from(answer.len()).unwrap_or(u32::MAX);
    caller.data_mut().answer = answer;
    len
}

fn take(mut caller: Guest<'_>, into: u32) -> wasmtime::Result<()> {
    let answer = std::mem::take(&mut caller.data_mut().answer);
    let len = u32::try_from(answer.len())?;
    bytes(&mut caller, into, len)?.copy_from_slice(&answer);
    Ok(())
}
