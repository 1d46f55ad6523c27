//! `belay remove`: the whole app, after a question.

use std::io::{self, BufRead, IsTerminal};

use crate::{
    args::Remove,
    client::Client,
    exit::{CliError, CliResult},
    output::{BOLD, Output, styled},
};

pub(crate) async fn run(args: &Remove, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    if !args.yes {
        // An app that is not there needs no question.
        client.get(&["apps", args.app.as_str()], &[]).await?;
        confirm(args, output)?;
    }
    let answer = client.delete(&["apps", args.app.as_str()]).await?;
    output.json(&answer);
    output.line(format!("{} is removed", styled(BOLD, &args.app)));
    Ok(())
}

fn confirm(args: &Remove, output: Output) -> CliResult {
    let app = &args.app;
    if !io::stdin().is_terminal() {
        let message = format!("removing {app} cannot be undone, and there is nobody to ask");
        return Err(CliError::usage(message).help("say --yes"));
    }
    output
        .note(format!("Remove {app} with all versions, secrets and data? Type its name to go on:"));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == app.as_str() => Ok(()),
        _ => Err(CliError::failed("declined", format!("{app} was not removed"))),
    }
}
