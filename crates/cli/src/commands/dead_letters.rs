//! `belay dead-letters`: events whose last attempt failed.

use serde_json::{Value, json};

use crate::{
    args::DeadLetterAction, client::Client, commands::show, exit::CliResult, output::Output,
};

pub(crate) async fn run(action: &DeadLetterAction, output: Output) -> CliResult {
    match action {
        DeadLetterAction::List { app, server } => {
            let query: Vec<_> = app.iter().map(|app| ("app", app.as_str())).collect();
            list(&Client::new(server)?, &query, output).await
        }
        DeadLetterAction::Show { id, server } => {
            let letter = Client::new(server)?.get(&["dead-letters", id], &[]).await?;
            output.json(&letter);
            output.line(shown(&letter));
            Ok(())
        }
        DeadLetterAction::Retry { id, server } => {
            let path = ["dead-letters", id, "retry"];
            let answer = Client::new(server)?.post(&path, &[], &json!({})).await?;
            output.json(&answer);
            output.line(format!("{id} is queued again"));
            Ok(())
        }
        DeadLetterAction::Delete { id, server } => {
            let answer = Client::new(server)?.delete(&["dead-letters", id]).await?;
            output.json(&answer);
            output.line(format!("{id} is deleted"));
            Ok(())
        }
    }
}

async fn list(client: &Client, query: &[(&str, &str)], output: Output) -> CliResult {
    let answer = client.get(&["dead-letters"], query).await?;
    output.json(&answer);
    let letters = show::items(&answer, "dead_letters");
    if letters.is_empty() {
        output.line("none: every event was handled, or is still being tried");
        return Ok(());
    }
    let rows: Vec<_> = letters.iter().map(row).collect();
    output.table(&["ID", "FUNCTION", "ATTEMPTS", "GIVEN UP", "WHY"], &rows);
    Ok(())
}

fn shown(letter: &Value) -> String {
    let version = match show::cell(letter, "version") {
        version if version.is_empty() => String::new(),
        version => format!(" (version {version})"),
    };
    let times = [("queued", "enqueued"), ("given up", "died"), ("attempts", "attempts")];
    let mut text = format!("{}{version}\n", function(letter));
    for (label, key) in times {
        text += &format!("  {label}: {}\n", show::cell(letter, key));
    }
    text += &format!("{}\n", why(letter));
    for frame in show::items(&letter["failure"], "stack") {
        text += &format!("    {}\n", frame.as_str().unwrap_or_default());
    }
    match letter.get("event") {
        Some(event) => format!("{text}its event:\n{event:#}"),
        None => text + "its event cannot be read any more",
    }
}

fn function(letter: &Value) -> String {
    format!("{}.{}", show::text(letter, "app"), show::text(letter, "function"))
}

fn why(letter: &Value) -> String {
    let kind = show::text(&letter["failure"], "error_type");
    format!("{kind}: {}", show::text(letter, "message"))
}

fn row(letter: &Value) -> Vec<String> {
    vec![
        show::cell(letter, "id"),
        function(letter),
        show::cell(letter, "attempts"),
        show::cell(letter, "died"),
        why(letter),
    ]
}
