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

fn row(letter: &Value) -> Vec<String> {
    let kind = show::text(&letter["failure"], "error_type");
    vec![
        show::cell(letter, "id"),
        format!("{}.{}", show::text(letter, "app"), show::text(letter, "function")),
        show::cell(letter, "attempts"),
        show::cell(letter, "died"),
        format!("{kind}: {}", show::text(letter, "message")),
    ]
}
