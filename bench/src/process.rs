//! What the kernel knows of a process: memory, descriptors, mappings; and children that do not outlive a benchmark.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, ExitStatus},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context;

/// A process as `/proc` names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// Resident memory, shared pages included. MB of 10⁶ bytes.
    pub(crate) fn resident_mb(self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 =
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).context("VmRSS")?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Processor time that all its threads have used, in the kernel and outside. Milliseconds, to a tick of usually 10.
    pub(crate) fn cpu_ms(self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // proc_pid_stat(5): the name, in parentheses, may hold anything; utime and stime are fields 14 and 15.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).context("no fields")?;
        let mut ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        let user = ticks.next().context("utime")??;
        let system = ticks.next().context("stime")??;
        Ok((user + system) * 1e3 / ticks_per_second())
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.0))?.count())
    }

    /// Mappings of the address space; every slot of the engine is some of them.
    pub(crate) fn mappings(self) -> anyhow::Result<usize> {
        Ok(fs::read_to_string(format!("/proc/{}/maps", self.0))?.lines().count())
    }
}

#[expect(unsafe_code, reason = "the standard library does not know it")]
fn ticks_per_second() -> f64 {
    // SAFETY: it reads a constant of the system.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    i32::try_from(ticks).map_or(100.0, f64::from)
}

/// A child process that is ended when this value is dropped.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.spawn().map(Self).with_context(|| format!("starting {name}"))
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.0.id())
    }

    /// The first line that the process writes on its standard output, which must be piped.
    pub(crate) fn first_line(&mut self, within: Duration) -> anyhow::Result<String> {
        let output = self.0.stdout.take().context("the output is not piped")?;
        let (sender, receiver) = mpsc::channel();
        // Reads on to the end, so that the process never waits for a reader.
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(sender.send(line)))
        });
        receiver.recv_timeout(within).context("the process did not say that it is ready")
    }

    /// Asks the process to end, and waits.
    pub(crate) fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.terminate();
        Ok(self.0.wait()?)
    }

    #[expect(unsafe_code, reason = "the standard library can only kill, not ask")]
    fn terminate(&self) {
        let Ok(pid) = libc::pid_t::try_from(self.0.id()) else { return };
        // SAFETY: a child of ours that was not waited for; its pid cannot belong to another process.
        let _ = unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Runs a command to its end; an error with what it wrote when it fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("starting {name}"))?;
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{name} failed: {written}{errors}");
    Ok(written)
}
