//! A server in a process of its own, which can be killed: this same test binary, run again.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use belay_server::Platform;

use crate::support::config;

/// Set for the child only: its data directory.
const DIR: &str = "BELAY_TEST_CHILD_DIR";
const READY: &str = "ready";

/// Killed when it is dropped.
pub(crate) struct ChildServer {
    pub(crate) http: SocketAddr,
    pub(crate) control: SocketAddr,
    child: Child,
}

impl ChildServer {
    pub(crate) fn start(dir: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child::serves_if_it_is_one", "--nocapture"])
            .env(DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addresses = lines.find_map(|line| addresses(&line.unwrap()));
        let (http, control) = addresses.expect("the child to become ready");
        Self { http, control, child }
    }

    /// `kill -9`: it gets no chance to do anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        // It may be dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = line.split(' ').skip_while(|word| !word.ends_with(READY)).skip(1);
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// The child's side; a test only in name, as test binaries run nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn serves_if_it_is_one() {
    let Some(dir) = env::var_os(DIR) else {
        return;
    };
    let platform = Platform::open(config(Path::new(&dir))).await.unwrap();
    println!("{READY} {} {}", platform.http_address(), platform.control_address());
    platform.serve(std::future::pending()).await;
}
