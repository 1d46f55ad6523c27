//! `belay alias`: list, set and remove the aliases of an app.

use serde_json::json;

use crate::{
    args::Alias,
    client::Client,
    commands::{changes, show},
    exit::CliResult,
    output::{BOLD, Output, styled},
};

/// The alias that says which version runs.
const LIVE: &str = "live";

pub(crate) async fn run(args: &Alias, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let app = args.app.as_str();
    match (&args.name, args.version) {
        (Some(name), Some(version)) => {
            let body = json!({ "version": version });
            let answer = client.put(&["apps", app, "aliases", name], &body).await?;
            output.json(&answer);
            output.line(format!("{} of {app} is version {version}", styled(BOLD, name)));
            if name == LIVE && !output.is_json() {
                changes::tell_live(&client, app, version, output).await?;
            }
        }
        (Some(name), None) if args.remove => {
            let answer = client.delete(&["apps", app, "aliases", name]).await?;
            output.json(&answer);
            output.line(format!("{} of {app} is removed", styled(BOLD, name)));
        }
        (name, _) => list(&client, app, name.as_deref(), output).await?,
    }
    Ok(())
}

async fn list(client: &Client, app: &str, only: Option<&str>, output: Output) -> CliResult {
    let path = ["apps", app, "aliases"].into_iter().chain(only);
    let answer = client.get(&path.collect::<Vec<_>>(), &[]).await?;
    output.json(&answer);
    let rows = match only {
        Some(name) => vec![vec![name.to_owned(), show::cell(&answer, "version")]],
        None => {
            let all = answer["aliases"].as_object().into_iter().flatten();
            all.map(|(name, version)| vec![name.clone(), version.to_string()]).collect()
        }
    };
    output.table(&["ALIAS", "VERSION"], &rows);
    Ok(())
}
