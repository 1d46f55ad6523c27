//! The single checks. Each looks at the machine, none changes it.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::Path,
    thread,
};

use belay_server::kernel_tells_written_pages;
use rustix::{
    fs::MemfdFlags,
    process::{Resource, getrlimit},
};

use super::{Finding, Mark};
use crate::{args::Doctor, commands::directories, config::units};

/// The page size for which reset by pages was built and measured.
const PAGE_BYTES: usize = 4_096;
/// A connection and an instance each take descriptors.
const DESCRIPTORS_MIN: u64 = 4_096;
/// Every instance maps its memory.
const MAPS_MIN: u64 = 65_530;

pub(super) fn all(args: &Doctor) -> Vec<Finding> {
    vec![
        kernel(),
        memfd(),
        pagemap(),
        page_size(),
        max_map_count(),
        descriptors(),
        address_space(),
        overcommit(),
        cores(),
        directory("data directory", directories::data(args.data.as_deref())),
        directory("cache directory", directories::cache(args.cache.as_deref())),
        port("calls", args.http),
        port("control", args.control),
        build(),
    ]
}

fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let found =
        format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Finding::new("kernel", Mark::Good, found);
    }
    Finding::new("kernel", Mark::Poor, found).advice("Belay is measured on x86-64 Linux only")
}

fn memfd() -> Finding {
    match rustix::fs::memfd_create("belay-doctor", MemfdFlags::CLOEXEC) {
        Ok(_) => Finding::new("memfd", Mark::Good, "available"),
        Err(error) => Finding::new("memfd", Mark::Bad, error)
            .advice("allow the memfd_create system call (seccomp profile of the container?)"),
    }
}

/// By asking the engine, which makes the call.
fn pagemap() -> Finding {
    let name = "PAGEMAP_SCAN";
    if kernel_tells_written_pages() {
        return Finding::new(name, Mark::Good, "available");
    }
    Finding::new(name, Mark::Poor, "not available").advice(
        "it works without, but a call takes some 60 µs longer; it needs Linux 6.7 and /proc/self/pagemap",
    )
}

fn page_size() -> Finding {
    let bytes = rustix::param::page_size();
    let found = format!("{bytes} bytes");
    if bytes == PAGE_BYTES {
        return Finding::new("page size", Mark::Good, found);
    }
    Finding::new("page size", Mark::Poor, found).advice("larger pages make resets dearer")
}

fn max_map_count() -> Finding {
    let name = "vm.max_map_count";
    match read_number("/proc/sys/vm/max_map_count") {
        Some(count) if count >= MAPS_MIN => Finding::new(name, Mark::Good, count),
        Some(count) => Finding::new(name, Mark::Poor, count).advice(format!(
            "for many instances at once: sysctl -w vm.max_map_count={}",
            MAPS_MIN * 4
        )),
        None => Finding::new(name, Mark::Told, "not readable"),
    }
}

fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn descriptors() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    let shown =
        |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let found = format!("{} (at most {})", shown(limit.current), shown(limit.maximum));
    if limit.current.is_none_or(|current| current >= DESCRIPTORS_MIN) {
        return Finding::new("open files", Mark::Good, found);
    }
    Finding::new("open files", Mark::Poor, found)
        .advice(format!("for many connections: ulimit -n {}", DESCRIPTORS_MIN * 16))
}

/// Instances reserve far more addresses than they use memory.
fn address_space() -> Finding {
    match getrlimit(Resource::As).current {
        None => Finding::new("address space", Mark::Good, "unlimited"),
        Some(bytes) => Finding::new("address space", Mark::Bad, units::about_size(bytes))
            .advice("instances reserve addresses, not memory: ulimit -v unlimited"),
    }
}

fn overcommit() -> Finding {
    let name = "overcommit";
    match read_number("/proc/sys/vm/overcommit_memory") {
        Some(2) => Finding::new(name, Mark::Poor, "strict (2)")
            .advice("reserved memory counts as used: sysctl -w vm.overcommit_memory=0"),
        Some(mode) => Finding::new(name, Mark::Good, format!("mode {mode}")),
        None => Finding::new(name, Mark::Told, "not readable"),
    }
}

fn cores() -> Finding {
    match thread::available_parallelism().map_or(1, std::num::NonZero::get) {
        1 => Finding::new("cores", Mark::Poor, 1)
            .advice("a function that computes delays all others; give it two"),
        cores => Finding::new("cores", Mark::Good, cores),
    }
}

/// Writable, or can be made.
fn directory(name: &'static str, path: Option<std::path::PathBuf>) -> Finding {
    let Some(path) = path else {
        return Finding::new(name, Mark::Bad, "this user has no home directory")
            .advice("name it with --data and --cache");
    };
    let shown = path.display();
    let existing = path.ancestors().find(|part| part.exists()).unwrap_or(Path::new("/"));
    match tempfile_in(existing) {
        Ok(()) if existing == path => {
            Finding::new(name, Mark::Good, format!("{shown} is writable"))
        }
        Ok(()) => Finding::new(name, Mark::Good, format!("{shown} can be made")),
        Err(error) => Finding::new(name, Mark::Bad, format!("{}: {error}", existing.display()))
            .advice("make it writable for this user, or name another one"),
    }
}

fn tempfile_in(dir: &Path) -> io::Result<()> {
    tempfile::tempfile_in(dir).map(drop)
}

fn port(name: &'static str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::new(name, Mark::Good, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Finding::new(name, Mark::Poor, format!("{address} is in use")).advice(format!(
                "a running Belay, or something else; choose another: belay up --{}",
                flag(name)
            ))
        }
        Err(error) => Finding::new(name, Mark::Bad, format!("{address}: {error}"))
            .advice(format!("choose another address: belay up --{}", flag(name))),
    }
}

fn flag(name: &str) -> &'static str {
    if name == "control" { "control ADDR" } else { "http ADDR" }
}

fn build() -> Finding {
    let (version, rustc) = (env!("CARGO_PKG_VERSION"), env!("BELAY_RUSTC"));
    Finding::new(
        "this binary",
        Mark::Told,
        format!("belay {version}, {rustc}, {}", env!("BELAY_TARGET")),
    )
}
