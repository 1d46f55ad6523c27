//! Where the tests run: a copy of the project whose modules are woven, with the arms in the environment.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use belay_model::{Arm, PartId};
use belay_weave::{NODE_ARMS, NODE_PRELUDE, Weave, node_arms};
use tempfile::TempDir;

use crate::exit::{CliError, CliResult};

/// A run that takes so many times as long as the one before is stuck, but for short ones.
const TIMES_MAX: u32 = 10;
const STUCK_MIN: Duration = Duration::from_secs(20);
const FIRST_MAX: Duration = Duration::from_secs(600);
/// How often it is looked whether a run has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Lines of what the tests say that are shown.
const TAIL_LINES: usize = 12;

const PACKAGES: &str = "node_modules";
const PRELUDE: &str = "belay-arms.cjs";
const SAID: &str = "belay-said.txt";

pub(super) struct TestPlace {
    dir: TempDir,
    /// The copy of the project.
    root: PathBuf,
    command: String,
    /// The image whose texts lie there now.
    image: Option<Arm>,
    /// The longest run that came to its end.
    longest: Option<Duration>,
}

/// How a run ended.
pub(super) struct Ran {
    pub(super) passed: bool,
    /// The end of what it said.
    pub(super) tail: String,
}

impl TestPlace {
    pub(super) fn new(project: &Path, command: &str, woven: &Weave) -> CliResult<Self> {
        let made = || -> io::Result<Self> {
            let dir = TempDir::with_prefix("belay-test-")?;
            let root = dir.path().join("app");
            copy(project, &root, &[".git", PACKAGES])?;
            packages(project, &root, woven)?;
            fs::write(dir.path().join(PRELUDE), NODE_PRELUDE)?;
            let (command, image, longest) = (command.to_owned(), None, None);
            Ok(Self { dir, root, command, image, longest })
        };
        made().map_err(|error| failed("cannot copy the project to test it", &error))
    }

    pub(super) fn run(&mut self, woven: &Weave, on: &BTreeSet<PartId>) -> CliResult<Ran> {
        let ran = self.write(woven, on).and_then(|()| self.command(woven, on));
        ran.map_err(|error| failed(&format!("cannot run `{}`", self.command), &error))
    }

    /// The texts of the image that these parts need.
    fn write(&mut self, woven: &Weave, on: &BTreeSet<PartId>) -> io::Result<()> {
        let of = |part: PartId| if on.contains(&part) { Arm::After } else { Arm::Before };
        let image = woven.image_part().map_or(Arm::After, of);
        if self.image == Some(image) {
            return Ok(());
        }
        let borrowed = self.root.join(PACKAGES).is_symlink();
        for (path, text) in woven.sources(image) {
            let file = self.root.join(&path);
            let theirs = borrowed && path.starts_with(PACKAGES);
            if theirs || fs::read(&file).is_ok_and(|known| known == text.as_bytes()) {
                continue;
            }
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(file, text.as_bytes())?;
        }
        self.image = Some(image);
        Ok(())
    }

    fn command(&mut self, woven: &Weave, on: &BTreeSet<PartId>) -> io::Result<Ran> {
        let of = |part| if on.contains(&part) { Arm::After } else { Arm::Before };
        let arms: Vec<Arm> = woven.parts().iter().map(|part| of(part.id)).collect();
        let (prelude, said) = (self.dir.path().join(PRELUDE), self.dir.path().join(SAID));
        let options = std::env::var("NODE_OPTIONS").unwrap_or_default();
        let out = File::create(&said)?;
        let mut command = Command::new("sh");
        command.args(["-c", &self.command]).current_dir(&self.root);
        command.env("NODE_OPTIONS", format!("{options} --require {}", prelude.display()));
        command.env(NODE_ARMS, node_arms(&arms));
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        // A group of its own, so that nothing that it started outlives it.
        let child = command.process_group(0).spawn()?;
        let began = Instant::now();
        let limit = self.longest.map_or(FIRST_MAX, |it| (it * TIMES_MAX).max(STUCK_MIN));
        let passed = wait(child, began + limit)?;
        if passed.is_some() {
            self.longest = self.longest.max(Some(began.elapsed()));
        }
        let passed = passed.unwrap_or(false);
        Ok(Ran { passed, tail: tail(&String::from_utf8_lossy(&fs::read(said)?)) })
    }
}

/// Whether it succeeded; `None` if it had to be stopped.
fn wait(mut child: Child, deadline: Instant) -> io::Result<Option<bool>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if Instant::now() >= deadline {
            let group = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn tail(said: &str) -> String {
    let lines: Vec<&str> =
        said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    last.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Packages are where they are, unless one of their modules differs: nothing of the user's is written to.
fn packages(project: &Path, root: &Path, woven: &Weave) -> io::Result<()> {
    let holder = project.ancestors().map(|dir| dir.join(PACKAGES)).find(|dir| dir.is_dir());
    let Some(installed) = holder else { return Ok(()) };
    let own = format!("{PACKAGES}/");
    let differs = |hunks: &belay_model::HunkInfo| hunks.edit.module.starts_with(&own);
    let differ = woven.parts().iter().flat_map(|part| &part.hunks).any(differs);
    let target = root.join(PACKAGES);
    if differ { copy(&installed, &target, &[]) } else { symlink(installed, target) }
}

/// `without` what is called so there; what is further in is copied whole.
fn copy(from: &Path, to: &Path, without: &[&str]) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if name.to_str().is_some_and(|name| without.contains(&name)) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        if kind.is_symlink() {
            symlink(fs::read_link(source)?, target)?;
        } else if kind.is_dir() {
            copy(&source, &target, &[])?;
        } else if kind.is_file() {
            fs::copy(source, target)?;
        }
    }
    Ok(())
}

fn failed(what: &str, error: &io::Error) -> CliError {
    CliError::failed("tests", what).because(error)
}
