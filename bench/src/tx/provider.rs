//! A payment provider on loopback, that can be had slow or failing, and keeps books of its own.
//!
//! It knows `Idempotency-Key`: what is asked again under a key is paid once. It takes the money before it answers, however late
//! that is: a caller that gave up has paid all the same, which is the harder case for whoever has to keep books.
//!
//! Invariant: an order has at most as many payments here as keys under which it was asked.

use std::{
    collections::{BTreeSet, HashMap},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::Value;

/// What a payment takes when nothing is wrong.
pub(super) const USUAL_MS: u64 = 3;
/// Whoever sends nothing for so long is left.
const IDLE_MAX: Duration = Duration::from_secs(60);
const BODY_MAX: usize = 64 << 10;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Answers, after so many milliseconds.
    Slow(u64),
    /// Takes nothing, and says 503.
    Failing,
}

/// What it knows of one order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Requests, whatever came of them.
    pub(super) asked: usize,
    /// Those under different keys were paid each.
    pub(super) keys: BTreeSet<String>,
    pub(super) amount: u64,
}

pub(super) struct Provider {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    slow_ms: AtomicU64,
    failing: AtomicBool,
    stopped: AtomicBool,
    accounts: Mutex<HashMap<u64, Account>>,
}

impl Provider {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let of_listener = shared.clone();
        let listener = thread::spawn(move || {
            for stream in listener.incoming() {
                if of_listener.stopped.load(Relaxed) {
                    return;
                }
                let (Ok(stream), shared) = (stream, of_listener.clone()) else { continue };
                // Whoever hangs up has no answer; that is all that can go wrong.
                thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        let provider = Self { address, shared, listener: Some(listener) };
        provider.be(Mood::Well);
        Ok(provider)
    }

    /// From now on.
    pub(super) fn be(&self, mood: Mood) {
        let slow_ms = if let Mood::Slow(ms) = mood { ms } else { USUAL_MS };
        self.shared.slow_ms.store(slow_ms, Relaxed);
        self.shared.failing.store(mood == Mood::Failing, Relaxed);
    }

    /// What is known of an order, which is closed with that.
    pub(super) fn close(&self, order: u64) -> Account {
        self.shared.accounts().remove(&order).unwrap_or_default()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Relaxed);
        // Wakes the listener.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(listener) = self.listener.take().filter(|_| woken) {
            let _ = listener.join();
        }
    }
}

impl Shared {
    fn accounts(&self) -> MutexGuard<'_, HashMap<u64, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A status for a request to pay.
    fn pay(&self, key: String, body: &[u8]) -> anyhow::Result<&'static str> {
        let asked: Value = serde_json::from_slice(body)?;
        let order = asked["id"].as_u64().context("no id")?;
        let amount = asked["amount"].as_u64().context("no amount")?;
        let mut accounts = self.accounts();
        let account = accounts.entry(order).or_default();
        account.asked += 1;
        if self.failing.load(Relaxed) {
            return Ok("503 Service Unavailable");
        }
        account.keys.insert(key);
        account.amount = amount;
        Ok("200 OK")
    }
}

/// Answers one connection until it ends.
fn serve(stream: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE_MAX))?;
    let mut stream = BufReader::new(stream);
    while let Some((key, body)) = request(&mut stream)? {
        let late = Duration::from_millis(shared.slow_ms.load(Relaxed));
        let status = shared.pay(key, &body)?;
        thread::sleep(late);
        let answer = r#"{"paid":true}"#;
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
    Ok(())
}

/// The key and the body of the next request; nothing where the connection has ended.
fn request(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<(String, Vec<u8>)>> {
    let (mut key, mut length, mut line) = (None, 0, String::new());
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "it ends within its head");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse()?,
            "idempotency-key" => key = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    ensure!(length <= BODY_MAX, "too long");
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some((key.context("a payment without a key could be made twice")?, body)))
}
