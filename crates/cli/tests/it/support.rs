//! Runs the real binary, alone or against a real server on ports that the system chose.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// For snapshots: both streams and the exit code.
    pub(crate) fn shown(&self) -> String {
        let part = |name: &str, text: &str| match text {
            "" => String::new(),
            text => format!("--- {name}\n{}\n", text.trim_end()),
        };
        let streams = part("stdout", &self.stdout) + &part("stderr", &self.stderr);
        format!("{streams}--- exit {}", self.code)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{error} in stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
        })
    }

    /// The command's result, which must be a success.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.shown());
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A directory to work in, and the binary run inside it with nothing of the user's environment.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    control: Option<String>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), control: None }
    }

    pub(crate) fn write(&self, path: &str, content: &str) -> &Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_belay"));
        command.args(args).current_dir(self.dir.path()).env_clear();
        command
            .env("HOME", self.dir.path())
            .envs(self.control.iter().map(|url| ("BELAY_CONTROL", url)));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.command(args).stdin(Stdio::null()).output().unwrap().into()
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Ended {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// `shown`, with this directory as `DIR`.
    pub(crate) fn shown(&self, ended: &Ended) -> String {
        let dir = fs::canonicalize(self.dir.path()).unwrap();
        ended.shown().replace(dir.to_str().unwrap(), "DIR")
    }
}

/// A running `belay up`, stopped when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) http: String,
    pub(crate) control: String,
    data: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(more: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (child, [http, control]) = started(up(data.path(), more));
        Self { http, control, child, data }
    }

    /// Kills it, and once it is gone, which `then` may wait for others to see, starts it at the same control address.
    pub(crate) fn restart(&mut self, then: impl FnOnce()) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        then();
        let control = self.control.trim_start_matches("http://");
        (self.child, [self.http, _]) = started(up_at(control, self.data.path(), &[]));
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// A place to run commands that talk to this server.
    pub(crate) fn bench(&self) -> Bench {
        Bench { control: Some(self.control.clone()), ..Bench::new() }
    }

    /// What this server's addresses are replaced with in snapshots.
    pub(crate) fn anonymous(&self, text: &str) -> String {
        text.replace(&self.http, "HTTP").replace(&self.control, "CONTROL")
    }

    /// Ctrl-C, and how the server ended.
    pub(crate) fn interrupt(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address of something that answers one request with this, whatever it is.
pub(crate) fn answering(status: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
        stream.write_all(answer.as_bytes()).unwrap();
        // Closing before the client does could lose the answer.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    address
}

/// A server that answers, with its addresses.
fn started(mut up: Command) -> (Child, [String; 2]) {
    let mut child = up.spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let told: Value = serde_json::from_str(&first).expect("the first line tells the addresses");
    (child, ["http", "control"].map(|key| told[key].as_str().unwrap().to_owned()))
}

/// `belay up` on ports that the system chooses. Machine code is cached for all tests: making it takes seconds.
pub(crate) fn up(data: &Path, more: &[&str]) -> Command {
    up_at("127.0.0.1:0", data, more)
}

fn up_at(control: &str, data: &Path, more: &[&str]) -> Command {
    let cache: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    fs::create_dir_all(&cache).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_belay"));
    command.args(["up", "--json", "--http", "127.0.0.1:0", "--control", control]);
    command.arg("--data").arg(data).arg("--cache").arg(cache).args(more);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// A command on a terminal, as people run it: all three streams are one.
pub(crate) struct Terminal {
    child: Child,
}

impl Terminal {
    pub(crate) fn run(bench: &Bench, args: &[&str]) -> Self {
        let command = bench.command(&[]);
        let words = [&[env!("CARGO_BIN_EXE_belay")], args].concat().join(" ");
        // It gives the command a terminal, and hands on what is typed and what is shown.
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &words, "/dev/null"]);
        script.current_dir(bench.dir.path()).env_clear().env("PATH", "/usr/bin:/bin");
        for (name, value) in command.get_envs() {
            script.envs(value.map(|value| (name, value)));
        }
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self { child: script.spawn().unwrap() }
    }

    /// Waits until this is asked; what was shown since the last time.
    pub(crate) fn asked(&mut self, question: &str) -> String {
        let stdout = self.child.stdout.as_mut().unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(question.as_bytes()) {
            let mut byte = [0];
            let read = stdout.read(&mut byte).unwrap();
            let shown = String::from_utf8_lossy(&bytes);
            assert_eq!(read, 1, "it ended without asking {question:?}: {shown}");
            bytes.push(byte[0]);
        }
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) fn answer(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// What was shown from then on, and how it ended.
    pub(crate) fn ended(mut self) -> Ended {
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        drop(self.child.stdin.take());
        let code = self.child.wait().unwrap().code().unwrap();
        Ended { code, stdout, stderr: String::new() }
    }
}
