//! `belay disable` and `belay enable`: functions that are off for a time.

use belay_model::FunctionRef;
use serde_json::{Value, json};

use crate::{
    args::{Disable, Enable},
    client::Client,
    commands::show,
    config::units,
    exit::{CliError, CliResult, Exit},
    output::{BOLD, Output, styled},
};

pub(crate) async fn disable(args: &Disable, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let (app, function) = find(&client, &args.function).await?;
    let path = ["apps", &app, "functions", &function, "disabled"];
    let answer = client.put(&path, &json!({ "for_ms": args.time })).await?;
    output.json(&answer);
    let (name, time) = (styled(BOLD, format!("{app}.{function}")), units::show_duration(args.time));
    output.line(format!(
        "{name} is off for {time}: its callers get its fallback, or are told to come again"
    ));
    output.line(format!("to have it on again: belay enable {app}.{function}"));
    Ok(())
}

pub(crate) async fn enable(args: &Enable, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let (app, function) = find(&client, &args.function).await?;
    let answer = client.delete(&["apps", &app, "functions", &function, "disabled"]).await?;
    output.json(&answer);
    output.line(format!("{} is on", styled(BOLD, format!("{app}.{function}"))));
    Ok(())
}

/// The app and the function of a name; a bare one has to be unique.
async fn find(client: &Client, name: &FunctionRef) -> CliResult<(String, String)> {
    let function = name.function.to_string();
    if let Some(app) = &name.app {
        return Ok((app.to_string(), function));
    }
    let all = client.list(&["functions"], "functions").await?;
    let found = show::items(&all, "functions").iter().filter(|it| it["function"] == *function);
    let apps: Vec<&str> = found.map(|it: &Value| show::text(it, "app")).collect();
    match apps[..] {
        [app] => Ok((app.to_owned(), function)),
        [] => {
            let message = format!("there is no function {function}");
            Err(CliError::new(Exit::NotFound, "unknown-function", message))
        }
        _ => {
            let names: Vec<String> = apps.iter().map(|app| format!("{app}.{function}")).collect();
            let message = format!("several apps have a function {function}");
            let error = CliError::new(Exit::NotFound, "ambiguous-function", message);
            Err(error.help(format!("name one of {}", names.join(", "))))
        }
    }
}
