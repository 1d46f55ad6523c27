//! `belay secret`: values come from standard input or a prompt, never from the command line, where other users
//! of the machine and the shell's history would see them.

use std::io::{self, IsTerminal, Read};

use serde_json::json;

use crate::{
    args::SecretAction,
    client::Client,
    commands::show,
    exit::{CliError, CliResult},
    output::{BOLD, Output, styled},
};

pub(crate) async fn run(action: &SecretAction, output: Output) -> CliResult {
    match action {
        SecretAction::Set { app, name, server } => {
            let client = Client::new(server)?;
            let body = json!({ "value": value(name)? });
            let answer = client.put(&["apps", app.as_str(), "secrets", name], &body).await?;
            output.json(&answer);
            output.line(format!("{} of {app} is set", styled(BOLD, name)));
        }
        SecretAction::List { app, server } => {
            let client = Client::new(server)?;
            let answer = client.get(&["apps", app.as_str(), "secrets"], &[]).await?;
            output.json(&answer);
            for name in
                show::words(&json!({ "all": show::items(&answer, "secrets") }), "all").split(' ')
            {
                output.line(name);
            }
        }
        SecretAction::Remove { app, name, server } => {
            let client = Client::new(server)?;
            let answer = client.delete(&["apps", app.as_str(), "secrets", name]).await?;
            output.json(&answer);
            output.line(format!("{} of {app} is removed", styled(BOLD, name)));
        }
    }
    Ok(())
}

fn value(name: &str) -> CliResult<String> {
    let read = if io::stdin().is_terminal() { ask(name) } else { piped() };
    let value = read.map_err(|error| {
        CliError::usage("cannot read the secret's value")
            .because(&error)
            .help(format!("pipe it in: `belay secret set APP {name} < file` (UTF-8 text)"))
    })?;
    if value.is_empty() {
        let help = "give it on standard input, or on a terminal when asked";
        return Err(CliError::usage("the secret's value is empty").help(help));
    }
    Ok(value)
}

fn ask(name: &str) -> io::Result<String> {
    rpassword::prompt_password(format!("value of {name}: "))
}

/// All of it but the line break that `echo` and editors add.
fn piped() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}
