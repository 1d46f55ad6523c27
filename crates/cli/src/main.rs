//! The `belay` binary. See `lib.rs`.

use std::{panic, process::ExitCode};

/// A request allocates on one thread and is freed on another (HTTP, engine, writer); mimalloc does that without a
/// shared lock, where glibc's arenas contend and keep memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ask_for_a_report();
    belay_cli::run::main()
}

/// A panic is a mistake of ours, never of the user's.
fn ask_for_a_report() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        usual(info);
        eprintln!(
            "\nThis is a bug in Belay, not in your code. Please report it with the lines above,\n\
             the command you ran, and `belay --version` ({}).",
            env!("CARGO_PKG_VERSION")
        );
    }));
}
