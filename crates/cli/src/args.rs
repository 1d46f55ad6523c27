//! The command line: what may be typed, with help and examples. No behaviour.

use std::{net::SocketAddr, path::PathBuf};

use belay_model::{
    AppName, ChangeId, FunctionRef, ProgramName, Qualifier, TransactionName, VersionNumber,
};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    change_named::{self, ChangeParts},
    config::units,
    exit::EXIT_CODES,
};

/// Runs functions, fast and isolated, and lets every change be taken back.
#[derive(Debug, Parser)]
#[command(
    name = "belay",
    version,
    after_help = EXIT_CODES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    max_term_width = 100,
    disable_help_subcommand = false,
    propagate_version = true,
)]
pub struct Cli {
    /// Print JSON on standard output, and nothing else there.
    #[arg(long, global = true, display_order = 900)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  belay init hello && cd hello     a typed project
  belay up                         the server, in a second terminal
  belay deploy .                   build it and make it live
  belay invoke hello '{\"name\": \"Ada\"}'";

#[derive(Debug, Subcommand)]
pub enum Command {
    Init(Init),
    Up(Box<Up>),
    Deploy(Deploy),
    Replay(Replay),
    Invoke(Invoke),
    Logs(Logs),
    List(List),
    Versions(Versions),
    Blocks(Blocks),
    Changes(Changes),
    Show(Show),
    Explain(Explain),
    /// Take parts of a change back: from the next request on, what was before runs in their place.
    #[command(after_help = TAKE_BACK_EXAMPLES)]
    TakeBack(Flip),
    /// Restore parts of a change that were taken back.
    Restore(Flip),
    Promote(Promote),
    /// Keep what runs of a change, and drop the rest: its parts cannot be switched any more.
    Settle(Settle),
    Diff(Diff),
    Export(Export),
    Graph(Graph),
    Policy(PolicyArgs),
    Alerts(Alerts),
    Tx(Tx),
    Disable(Disable),
    Enable(Enable),
    Alias(Alias),
    Secret(Secret),
    Stats(Stats),
    Remove(Remove),
    DeadLetters(DeadLetters),
    Doctor(Doctor),
}

/// Which server, and the right to talk to it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct Server {
    /// Address of the server's control plane.
    #[arg(
        long,
        env = "BELAY_CONTROL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8801",
        display_order = 901
    )]
    pub control: String,
    /// Bearer token of the control plane.
    #[arg(long, env = "BELAY_TOKEN", hide_env_values = true, display_order = 902)]
    pub token: Option<String>,
}

/// Write a new project: belay.toml, a handler, types, and what an editor needs.
///
/// Nothing that exists is overwritten.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay init hello          TypeScript, in ./hello
  belay init --js           JavaScript, in this directory")]
pub struct Init {
    /// Where to write it.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// JavaScript instead of TypeScript.
    #[arg(long)]
    pub js: bool,
}

/// Start a server: it runs functions and keeps all of its data in one directory.
///
/// Ctrl-C stops it: it accepts nothing new, lets running invocations end, and exits.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay up
  belay up --data /var/lib/belay --http 0.0.0.0:8800
  belay up --http 127.0.0.1:0 --control 127.0.0.1:0 --json    free ports, told in the first line")]
pub struct Up {
    /// Where the server keeps its data. Default: a directory of this user.
    #[arg(long, env = "BELAY_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where machine code is cached. Default: a directory of this user.
    #[arg(long, env = "BELAY_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Where functions are called: the Invoke API and HTTP triggers.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8800")]
    pub http: SocketAddr,
    /// Where the server is controlled. Beyond loopback it needs a token.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8801")]
    pub control: SocketAddr,
    /// A further host name by which a control plane on loopback may be called, such as that of a proxy before it.
    /// May be given several times.
    #[arg(long = "control-host", value_name = "NAME", value_parser = host_name)]
    pub control_hosts: Vec<String>,
    /// Bearer token that the control plane asks for.
    #[arg(long, env = "BELAY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Memory for functions that are ready to run at once, about 0.7 MB each. Others take a millisecond longer.
    #[arg(long, env = "BELAY_READY_MB", value_name = "MB", default_value_t = 40)]
    pub ready_mb: u32,
    /// How log lines look, on standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Pretty)]
    pub log: LogFormat,
}

/// As it is in a `Host` header, without the port, which is not looked at.
fn host_name(text: &str) -> Result<String, &'static str> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if !text.is_empty() && text.chars().all(fine) {
        Ok(text.to_owned())
    } else {
        Err("give a host name alone, such as belay.example, without scheme, port and path")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Build an app and make it live.
///
/// PATH is a directory with a belay.toml, or a single .js or .ts file. Only files that the functions reach
/// are uploaded, and only those that the server does not have. A mistake refuses the whole deploy.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay deploy .
  belay deploy hello.ts               one file; the app is called `hello`
  belay deploy hello.ts --name greet  … or `greet`
  belay deploy . --now                all requests run it at once")]
pub struct Deploy {
    pub path: PathBuf,
    /// Name of the app, instead of the one in belay.toml.
    #[arg(long, value_name = "APP")]
    pub name: Option<AppName>,
    /// Deploy even if something that an unsettled change brought could not be taken back any more. Without it, you are
    /// asked on a terminal, and elsewhere the deploy is refused.
    #[arg(long, short)]
    pub yes: bool,
    /// All requests run it from the beginning, rather than a few at first and then more. It is watched all the same.
    #[arg(long)]
    pub now: bool,
    /// What is decided of the change is told, as by `belay explain`, and nothing is taken back. It is let in all the same.
    #[arg(long)]
    pub dry_run: bool,
    /// Run the app's own tests first, here, in a copy of the project: what they fail with begins taken back. Instead of
    /// `test` in belay.toml; empty for none.
    #[arg(long, value_name = "COMMAND")]
    pub test: Option<String>,
    #[command(flatten)]
    pub server: Server,
}

/// Try a candidate on recorded requests of an app, as a deploy would, and deploy nothing.
///
/// Ends with 1 if something of it does worse than what runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay replay shop --candidate .")]
pub struct Replay {
    pub app: AppName,
    /// A directory with a belay.toml, or a single file.
    #[arg(long, value_name = "PATH")]
    pub candidate: PathBuf,
    #[command(flatten)]
    pub server: Server,
}

/// Call a function and print its result.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay invoke hello '{\"name\": \"Ada\"}'
  echo '{\"n\": 1}' | belay invoke shop.checkout -
  belay invoke shop.checkout '{}' --qualifier 3     exactly version 3
  belay invoke shop.notify '{}' --event             queue it and return")]
pub struct Invoke {
    /// `app.function`, or the function's name while that is unique.
    pub function: FunctionRef,
    /// The event: JSON, or `-` to read it from standard input.
    #[arg(default_value = "{}")]
    pub event: String,
    /// A version number or an alias, instead of what is live.
    #[arg(long, short, value_parser = qualifier)]
    pub qualifier: Option<String>,
    /// Do not wait: the event goes to the durable queue.
    #[arg(long = "event", id = "queued")]
    pub queued: bool,
    /// Print what the function logged, on standard error.
    #[arg(long, conflicts_with = "queued")]
    pub tail: bool,
    #[command(flatten)]
    pub server: Server,
}

fn qualifier(text: &str) -> Result<String, belay_model::NameError> {
    text.parse::<Qualifier>().map(|_| text.to_owned())
}

fn alias(text: &str) -> Result<String, belay_model::NameError> {
    Qualifier::alias(text).map(|_| text.to_owned())
}

/// Show what a function logged.
#[derive(Debug, Args)]
pub struct Logs {
    /// `app.function`, or the function's name while that is unique.
    pub function: FunctionRef,
    /// Go on with new lines as they come.
    #[arg(long, short)]
    pub follow: bool,
    /// Only this invocation.
    #[arg(long, value_name = "ID")]
    pub request: Option<String>,
    /// At most so many lines.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    #[command(flatten)]
    pub server: Server,
}

/// List the functions that are live.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    pub server: Server,
}

/// List the versions of an app.
#[derive(Debug, Args)]
pub struct Versions {
    pub app: AppName,
    #[command(flatten)]
    pub server: Server,
}

/// Show what an app is made of, block by block, and what its versions share.
///
/// A block is a function, a class, a loop, a branch, or a run of statements. It is known by what it says, whatever its
/// comments, types and formatting: versions that say the same in a place have the same block there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay blocks shop
  belay blocks shop --all            also the blocks of packages")]
pub struct Blocks {
    pub app: AppName,
    /// Also modules of packages.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub server: Server,
}

const TAKE_BACK_EXAMPLES: &str = "\
Examples:
  belay take-back shop/12:b          one part
  belay take-back shop/12:b,c        two
  belay take-back shop/12            the whole change";

/// List the changes of an app: what each deploy changed, and which of its parts run.
#[derive(Debug, Args)]
pub struct Changes {
    pub app: AppName,
    /// Go on, and tell what is decided of any of them as it is decided; with `--json` a document each.
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub server: Server,
}

/// Show a change part by part: what it holds, why it moves together, what requests did in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay show shop/12
  belay show shop/12:b               only part b")]
pub struct Show {
    /// A change, such as shop/12, or parts of it, such as shop/12:b,c.
    #[arg(value_name = "CHANGE[:PART,…]")]
    pub change: ChangeParts,
    #[command(flatten)]
    pub server: Server,
}

/// Tell the story of a change: what was decided, by what evidence, and what is known of it now.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay explain shop/12")]
pub struct Explain {
    /// A change, such as shop/12.
    #[arg(value_parser = change_named::whole)]
    pub change: ChangeId,
    #[command(flatten)]
    pub server: Server,
}

/// Have all requests run a change that some run: what is left of its ramp is skipped.
#[derive(Debug, Args)]
pub struct Promote {
    /// A change, such as shop/12.
    #[arg(value_parser = change_named::whole)]
    pub change: ChangeId,
    #[command(flatten)]
    pub server: Server,
}

/// Show or set how changes of an app are let in and judged.
///
/// The keys are those of `[canary]`, `[judge]`, `[tapes]`, `[alerts]`, `[impact]` and `[for.NAME]` in belay.toml. What is set holds at once, also for the change that is on
/// trial, and goes before belay.toml until it is taken away.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay policy shop
  belay policy shop canary.step_min=10s canary.ramp='[5, 50]'
  belay policy shop canary.step_min=          as belay.toml says, or as usual
  belay policy shop for.pay.window=1h         for changes of what the function pay runs")]
pub struct PolicyArgs {
    pub app: AppName,
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    #[command(flatten)]
    pub server: Server,
}

/// Have a function be off for a time: callers get its fallback, or 503 with `Retry-After`.
///
/// Its fallback is what `[for.FUNCTION] fallback` names in belay.toml. Events for the queue wait.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay disable shop.checkout --for 10m
  belay enable shop.checkout")]
pub struct Disable {
    /// `app.function`, or the function's name while that is unique.
    pub function: FunctionRef,
    /// How long, such as 90s, 10m or 2h; at most 30 days.
    #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "5m")]
    pub time: u64,
    #[command(flatten)]
    pub server: Server,
}

/// Have a function be on again.
#[derive(Debug, Args)]
pub struct Enable {
    /// `app.function`, or the function's name while that is unique.
    pub function: FunctionRef,
    #[command(flatten)]
    pub server: Server,
}

fn time(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no duration such as \"30s\" or \"5m\"");
    units::duration(text).ok_or_else(wrong)
}

/// List what is not as usual, in functions of all apps, newest first: failures, latency, how many requests come.
#[derive(Debug, Args)]
pub struct Alerts {
    #[command(flatten)]
    pub server: Server,
}

/// Show transactions: how they fare, what was foreseen of them, and what was done about it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay tx list
  belay tx show bank/transfer
  belay tx explain 5f0c9d3e-7a35-4e0b-9b52-0f3f5d1c2a10")]
pub struct Tx {
    #[command(subcommand)]
    pub action: TxAction,
}

#[derive(Debug, Subcommand)]
pub enum TxAction {
    /// List the transactions of all apps, and the services that they call.
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Show one transaction: how good its forecasts are, and what became of the last ones.
    Show {
        /// App and transaction, such as bank/transfer.
        #[arg(value_name = "APP/TRANSACTION", value_parser = tx_named)]
        id: (AppName, TransactionName),
        #[command(flatten)]
        server: Server,
    },
    /// Tell what happened in the transactions of one request, side by side with what ran ahead of them.
    Explain {
        /// The id of a request, as `belay logs` and `x-amzn-requestid` tell it.
        request: String,
        #[command(flatten)]
        server: Server,
    },
}

fn tx_named(text: &str) -> Result<(AppName, TransactionName), String> {
    let (app, id) = text.split_once('/').ok_or("write APP/TRANSACTION, such as bank/transfer")?;
    let app = app.parse().map_err(|error: belay_model::NameError| error.to_string())?;
    let id = id.parse().map_err(|error: belay_model::NameError| error.to_string())?;
    Ok((app, id))
}

/// A change and what to do with it.
#[derive(Debug, Args)]
pub struct Flip {
    /// A change, such as shop/12, or parts of it, such as shop/12:b,c.
    #[arg(value_name = "CHANGE[:PART,…]")]
    pub change: ChangeParts,
    #[command(flatten)]
    pub server: Server,
}

/// A change that is done with.
#[derive(Debug, Args)]
pub struct Settle {
    /// A change, such as shop/12. It is settled as a whole.
    #[arg(value_parser = change_named::whole)]
    pub change: ChangeId,
    #[command(flatten)]
    pub server: Server,
}

/// Print a patch from what was deployed to what runs, to apply in git.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay diff shop --effective | git apply
  belay diff shop --effective --at 12+1     from version 12 to what ran after its first flip")]
pub struct Diff {
    pub app: AppName,
    /// Compare with what runs in effect, with what was taken back resolved.
    #[arg(long, required = true)]
    pub effective: bool,
    /// An effective version that `belay show` lists, such as 12+1, instead of what runs.
    #[arg(long, value_name = "N+K")]
    pub at: Option<ProgramName>,
    #[command(flatten)]
    pub server: Server,
}

/// Show what in an app needs what: calls, imports, shared variables.
///
/// Found in the code without running it, so a callee that is computed or passed in is not told; what `@depends` says is.
/// Packages are told by their names.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay graph shop
  belay graph shop --blocks          what each block of a function needs
  belay graph shop --all             packages module by module")]
pub struct Graph {
    pub app: AppName,
    /// Packages module by module.
    #[arg(long)]
    pub all: bool,
    /// The blocks of functions, with what each of them needs.
    #[arg(long)]
    pub blocks: bool,
    #[command(flatten)]
    pub server: Server,
}

/// Write the sources of what runs into a new directory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay export shop --effective now
  belay export shop --effective then --at 12+1")]
pub struct Export {
    pub app: AppName,
    /// What runs in effect, with what was taken back resolved.
    #[arg(long, required = true)]
    pub effective: bool,
    /// An effective version that `belay show` lists, such as 12+1, instead of what runs.
    #[arg(long, value_name = "N+K")]
    pub at: Option<ProgramName>,
    pub dir: PathBuf,
    #[command(flatten)]
    pub server: Server,
}

/// List, set or remove the aliases of an app.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belay alias shop                   list
  belay alias shop stable 3          `--qualifier stable` now means version 3
  belay alias shop live 3            version 3 answers unqualified calls again
  belay alias shop stable --remove")]
pub struct Alias {
    pub app: AppName,
    #[arg(value_parser = alias)]
    pub name: Option<String>,
    #[arg(requires = "name")]
    pub version: Option<VersionNumber>,
    #[arg(long, requires = "name", conflicts_with = "version")]
    pub remove: bool,
    #[command(flatten)]
    pub server: Server,
}

/// Keep secrets of an app; functions read them with `secrets.get(name)`.
#[derive(Debug, Args)]
pub struct Secret {
    #[command(subcommand)]
    pub action: SecretAction,
}

#[derive(Debug, Subcommand)]
pub enum SecretAction {
    /// Set a secret. The value is read from standard input, or asked for on a terminal.
    #[command(after_help = "\
Examples:
  belay secret set shop STRIPE_KEY < key.txt
  belay secret set shop STRIPE_KEY             asks, without showing it")]
    Set {
        app: AppName,
        name: String,
        #[command(flatten)]
        server: Server,
    },
    /// List the names of an app's secrets. Values are never shown.
    List {
        app: AppName,
        #[command(flatten)]
        server: Server,
    },
    /// Remove a secret.
    Remove {
        app: AppName,
        name: String,
        #[command(flatten)]
        server: Server,
    },
}

/// Show calls, failures and latencies.
#[derive(Debug, Args)]
pub struct Stats {
    /// Only this function.
    pub function: Option<FunctionRef>,
    #[command(flatten)]
    pub server: Server,
}

/// Remove an app with its versions, aliases, secrets and data.
#[derive(Debug, Args)]
pub struct Remove {
    pub app: AppName,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub server: Server,
}

/// Look after events whose last attempt failed.
#[derive(Debug, Args)]
pub struct DeadLetters {
    #[command(subcommand)]
    pub action: DeadLetterAction,
}

#[derive(Debug, Subcommand)]
pub enum DeadLetterAction {
    /// List them.
    List {
        /// Only of this app.
        #[arg(long)]
        app: Option<AppName>,
        #[command(flatten)]
        server: Server,
    },
    /// Show one: its event, and what the last attempt failed with.
    Show {
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Put one into the queue again.
    Retry {
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Give one up.
    Delete {
        id: String,
        #[command(flatten)]
        server: Server,
    },
}

/// Check whether this machine can run Belay well, and say what to do where it cannot.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The data directory that `belay up` would get.
    #[arg(long, env = "BELAY_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The cache directory that `belay up` would get.
    #[arg(long, env = "BELAY_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// The address that `belay up` would call functions at.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8800")]
    pub http: SocketAddr,
    /// The address that `belay up` would be controlled at.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8801")]
    pub control: SocketAddr,
}
