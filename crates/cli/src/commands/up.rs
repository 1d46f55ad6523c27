//! `belay up`: the platform in this process, until Ctrl-C or SIGTERM.

use std::{
    env, fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use belay_server::{Platform, PlatformConfig, PlatformError, platform::Drained};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    args::{LogFormat, Up},
    commands::directories,
    exit::{CliError, CliResult, Exit},
    output::{BOLD, DIM, GOOD, LINK, Output, styled},
    run::no_runtime,
};

/// Which lines are written when `BELAY_LOG` does not say.
const LOG_DEFAULT: &str = "info";

pub(crate) fn run(args: &Up, output: Output) -> CliResult {
    start_log(args.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| no_runtime(&error))?.block_on(serve(args, output))
}

async fn serve(args: &Up, output: Output) -> CliResult {
    let config = config(args)?;
    let data = config.data_dir.clone();
    let stop = stop_signal()?;
    let progress = output.progress();
    progress
        .step("starting (the first start on a machine compiles the engine, which takes seconds)");
    let platform = Platform::open(config).await.map_err(|error| refused(&error))?;
    drop(progress);
    banner(&platform, &data, output);
    let stopped = async {
        stop.await;
        output.note(styled(DIM, "stopping: running invocations come to their end first"));
    };
    match platform.serve(stopped).await {
        Drained::Clean => Ok(()),
        Drained::Cut => Err(CliError::failed(
            "cut",
            "some invocations did not end in time and were cut off; events among them run again",
        )),
    }
}

fn config(args: &Up) -> CliResult<PlatformConfig> {
    let data = directory(args.data.as_deref(), directories::data(args.data.as_deref()), "--data")?;
    let cache =
        directory(args.cache.as_deref(), directories::cache(args.cache.as_deref()), "--cache")?;
    Ok(PlatformConfig {
        cache_dir: Some(cache),
        http: args.http,
        control: args.control,
        control_hosts: args.control_hosts.clone(),
        token: args.token.clone(),
        ready_bytes_max: (args.ready_mb as usize).saturating_mul(1 << 20),
        ..PlatformConfig::new(data)
    })
}

/// A directory that was named is left to the platform: if its parent is missing, a mount may be. The user's own is made.
fn directory(named: Option<&Path>, path: Option<PathBuf>, flag: &str) -> CliResult<PathBuf> {
    let start = |message: String| CliError::new(Exit::Start, "start", message);
    let Some(path) = path else {
        let help = format!("name a directory with {flag}");
        return Err(start("this user has no home directory".to_owned()).help(help));
    };
    if named.is_none() {
        fs::create_dir_all(&path).map_err(|error| {
            start(format!("cannot make {}", path.display()))
                .because(&error)
                .help(format!("name another directory with {flag}"))
        })?;
    }
    Ok(path)
}

/// The platform's messages say what to do; what is left is which flag does it.
fn refused(error: &PlatformError) -> CliError {
    let refused = CliError::new(Exit::Start, "start", "Belay does not start").because(error);
    match error {
        PlatformError::TokenRequired { .. } | PlatformError::ShortToken { .. } => refused.help(
            "set one in the environment: BELAY_TOKEN=$(head -c 24 /dev/urandom | base64) belay up …",
        ),
        PlatformError::Bind { .. } => refused.help("addresses are chosen with --http and --control"),
        PlatformError::Store(_) => refused.help("the data directory is chosen with --data or BELAY_DATA"),
        PlatformError::Catalog(_)
        | PlatformError::Engine(_)
        | PlatformError::Host(_)
        | PlatformError::Io { .. } => refused.help("`belay doctor` checks this machine"),
    }
}

fn banner(platform: &Platform, data: &Path, output: Output) {
    let http = format!("http://{}", platform.http_address());
    let control = format!("http://{}", platform.control_address());
    output.json(&json!({
        "http": http, "control": control, "data": data, "pid": std::process::id(),
    }));
    output.line(format!("{} {}", styled(GOOD, "belay"), styled(DIM, env!("CARGO_PKG_VERSION"))));
    output.line(format!("  calls    {}", styled(LINK, &http)));
    output.line(format!("  control  {}", styled(LINK, &control)));
    output.line(format!("  data     {}", data.display()));
    output.line(format!("\nnext: {}    (Ctrl-C stops)", styled(BOLD, "belay deploy PATH")));
}

/// Registered before anything is opened, so that a signal during the start is not lost.
fn stop_signal() -> CliResult<impl Future<Output = ()>> {
    let register = |kind| signal(kind).map_err(|error| no_runtime(&error));
    let (mut interrupt, mut terminate) =
        (register(SignalKind::interrupt())?, register(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn start_log(format: LogFormat) -> CliResult {
    let named = env::var("BELAY_LOG").unwrap_or_else(|_| LOG_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&named).map_err(|error| {
        CliError::usage(format!("BELAY_LOG={named:?} is not understood"))
            .because(&error)
            .help("write `warn`, or `info,belay_server=debug`")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Pretty => {
            let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
            log.with_ansi(colours).with_target(false).init();
        }
    }
    Ok(())
}
