//! From the parsed command line to the command, and from its end to the exit status.

use std::{env, future::Future, io, process::ExitCode};

use clap::Parser;

use crate::{
    args::{Cli, Command},
    commands::{self, Verb},
    exit::{CliError, CliResult, Exit},
    output::Output,
};

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && wants_json() => return misused(&error),
        Err(error) => error.exit(),
    };
    let output = Output::new(cli.json);
    match dispatch(cli.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit as u8)
        }
    }
}

/// Asked of a command line that could not be parsed, whose `--json` counts all the same.
fn wants_json() -> bool {
    let mut options = env::args_os().skip(1).take_while(|argument| argument != "--");
    options.any(|argument| argument == "--json")
}

/// clap says `error: what`, then, after an empty line, what to do.
fn misused(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let (what, help) = text.split_once("\n\n").unwrap_or((&text, ""));
    let what = what.strip_prefix("error: ").unwrap_or("a command is missing");
    Output::new(true).error(&CliError::usage(what.trim()).help(help.trim()));
    ExitCode::from(Exit::Usage as u8)
}

fn dispatch(command: Command, output: Output) -> CliResult {
    match command {
        Command::Init(args) => commands::init(&args, output),
        Command::Up(args) => commands::up(&args, output),
        Command::Doctor(args) => commands::doctor(&args, output),
        Command::Deploy(args) => wait(commands::deploy(&args, output)),
        Command::Invoke(args) => wait(commands::invoke(&args, output)),
        Command::Logs(args) => wait(commands::logs(&args, output)),
        Command::List(args) => wait(commands::list(&args, output)),
        Command::Blocks(args) => wait(commands::blocks(&args, output)),
        Command::Changes(args) => wait(commands::changes(&args, output)),
        Command::Show(args) => wait(commands::show_change(&args, output)),
        Command::TakeBack(args) => wait(commands::flip(&args, Verb::TakeBack, output)),
        Command::Restore(args) => wait(commands::flip(&args, Verb::Restore, output)),
        Command::Explain(args) => wait(commands::explain(&args, output)),
        Command::Replay(args) => wait(commands::replay(&args, output)),
        Command::Promote(args) => wait(commands::promote(&args, output)),
        Command::Alerts(args) => wait(commands::alerts(&args, output)),
        Command::Tx(args) => wait(commands::tx(&args.action, output)),
        Command::Disable(args) => wait(commands::disable(&args, output)),
        Command::Enable(args) => wait(commands::enable(&args, output)),
        Command::Policy(args) => wait(commands::policy(&args, output)),
        Command::Settle(args) => wait(commands::settle(&args, output)),
        Command::Diff(args) => wait(commands::diff(&args, output)),
        Command::Export(args) => wait(commands::export(&args, output)),
        Command::Graph(args) => wait(commands::graph(&args, output)),
        Command::Versions(args) => wait(commands::versions(&args, output)),
        Command::Alias(args) => wait(commands::alias(&args, output)),
        Command::Secret(args) => wait(commands::secret(&args.action, output)),
        Command::Stats(args) => wait(commands::stats(&args, output)),
        Command::Remove(args) => wait(commands::remove(&args, output)),
        Command::DeadLetters(args) => wait(commands::dead_letters(&args.action, output)),
    }
}

/// One thread is enough for a client; Ctrl-C ends it as it ends any program.
fn wait(command: impl Future<Output = CliResult>) -> CliResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| no_runtime(&error))?.block_on(command)
}

pub(crate) fn no_runtime(error: &io::Error) -> CliError {
    CliError::failed("runtime", "cannot start a thread or open a poll descriptor").because(error)
}
