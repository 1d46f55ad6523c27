//! The `belay` binary. See `lib.rs`.

use std::{panic, process::ExitCode};

/// A request allocates on one thread and is freed on another (HTTP, engine, writer); mimalloc does that without a
/// shared lock, where glibc's arenas contend and keep memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ask_for_a_report();
    // mimalloc asks for huge pages. Here they cost more than they bring: clearing 2 MB for a deploy's short-lived
    // buffers, and memory that stays (half of it, for an app of a hundred modules). Where the kernel has no such
    // switch nothing is lost.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
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
