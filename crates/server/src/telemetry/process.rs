//! Readings of this process from `/proc/self`. Each is `None` where the kernel does not tell.

use std::fs;

/// One look at the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ProcessReading {
    pub resident_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub threads: Option<u64>,
}

impl ProcessReading {
    pub fn take() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let fds = fs::read_dir("/proc/self/fd").ok();
        Self {
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024),
            // One of them is the directory that is being read.
            open_fds: fds.map(|fds| (fds.count() as u64).saturating_sub(1)),
            threads: field(&status, "Threads:"),
        }
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_or_absent() {
        let status = "Name:\tbelay\nVmRSS:\t   12345 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(12345));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "VmPeak:"), None);
        assert_eq!(field("VmRSS:\tmany kB", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_memory_descriptors_and_threads() {
        let reading = ProcessReading::take();
        assert!(reading.resident_bytes > Some(0));
        assert!(reading.open_fds > Some(0));
        assert!(reading.threads > Some(0));
    }
}
