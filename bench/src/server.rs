//! A Belay server for one benchmark: its own data directory, free ports, ended with the benchmark.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    client::Client,
    functions,
    process::{self, Guard, Process},
};

/// Longest a start may take: with a cold cache the engine image is compiled.
const START_MAX: Duration = Duration::from_secs(120);

pub(crate) struct Belay {
    guard: Guard,
    pub(crate) http: SocketAddr,
    control: SocketAddr,
    /// From the start of the process until it said that it is ready.
    pub(crate) started_in: Duration,
}

/// Where a server keeps its state; survives the server, so that one can be started again.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    /// Machine code; kept from run to run unless a cold cache is what is measured.
    cache: PathBuf,
}

impl Home {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Self::with_cache(target()?.join("bench-cache"))
    }

    pub(crate) fn with_cache(cache: PathBuf) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("data"))?;
        Ok(Self { folder, cache })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server and waits until it says where it listens.
    pub(crate) fn up(&self) -> anyhow::Result<Belay> {
        let start = Instant::now();
        let mut guard = Guard::spawn(
            belay()?
                .args(["up", "--json", "--http", "127.0.0.1:0", "--control", "127.0.0.1:0"])
                .arg("--data")
                .arg(self.path().join("data"))
                .arg("--cache")
                .arg(&self.cache)
                .stdout(Stdio::piped())
                .stderr(fs::File::create(self.path().join("log"))?),
        )?;
        let line = guard.first_line(START_MAX).with_context(|| self.log())?;
        let started_in = start.elapsed();
        let told: Value =
            serde_json::from_str(&line).context("the first line of `belay up --json`")?;
        Ok(Belay {
            guard,
            http: address(&told, "http")?,
            control: address(&told, "control")?,
            started_in,
        })
    }

    /// What the server wrote on standard error so far.
    fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }
}

/// Path of `belay`, as ./x built it.
fn binary() -> anyhow::Result<PathBuf> {
    let path = env::var_os("BELAY_BIN").map(PathBuf::from);
    let path = path.context("BELAY_BIN does not name the belay binary; use ./x bench")?;
    ensure!(path.exists(), "{} is missing", path.display());
    Ok(path)
}

fn belay() -> anyhow::Result<Command> {
    Ok(Command::new(binary()?))
}

/// The target directory: what benchmarks keep from run to run is in there.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let target = binary()?.ancestors().nth(2).map(Path::to_owned);
    target.context("BELAY_BIN is not in a target directory")
}

fn address(told: &Value, field: &str) -> anyhow::Result<SocketAddr> {
    let text = told[field].as_str().with_context(|| format!("{field} is missing in {told}"))?;
    Ok(text.trim_start_matches("http://").trim_end_matches('/').parse()?)
}

impl Belay {
    pub(crate) fn process(&self) -> Process {
        self.guard.process()
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::connect(self.http)
    }

    pub(crate) fn control_client(&self) -> anyhow::Result<Client> {
        Client::connect(self.control)
    }

    /// Deploys the functions of the benchmarks as `app`.
    pub(crate) fn deploy(&self, app: &str) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        functions::project(folder.path(), app)?;
        self.deploy_folder(folder.path())
    }

    /// What it changes runs for all requests at once.
    pub(crate) fn deploy_folder(&self, folder: &Path) -> anyhow::Result<()> {
        self.run_deploy(folder, &["--now"])
    }

    pub(crate) fn deploy_folder_in_steps(&self, folder: &Path) -> anyhow::Result<()> {
        self.run_deploy(folder, &[])
    }

    fn run_deploy(&self, folder: &Path, options: &[&str]) -> anyhow::Result<()> {
        let control = format!("http://{}", self.control);
        let mut command = belay()?;
        command.arg("deploy").arg(folder).args(options).args(["--control", &control]);
        process::run(&mut command)?;
        Ok(())
    }

    /// What `belay replay --json` tells of a candidate.
    pub(crate) fn replay(&self, app: &str, candidate: &Path) -> anyhow::Result<String> {
        let control = format!("http://{}", self.control);
        let mut command = belay()?;
        command.args(["replay", app, "--json", "--control", &control]);
        process::run(command.arg("--candidate").arg(candidate))
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        let status = self.guard.stop()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

/// Where the Invoke API calls a function.
pub(crate) fn invoke_path(app: &str, function: &str) -> String {
    format!("/2015-03-31/functions/{app}.{function}/invocations")
}
