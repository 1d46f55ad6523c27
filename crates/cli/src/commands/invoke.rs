//! `belay invoke`: calls a function, prints its result, and ends with 1 when the function failed.

use std::io::{self, Read};

use belay_model::{Diagnostic, Label};
use serde_json::Value;

use crate::{
    args::Invoke,
    client::Client,
    commands::show,
    exit::{CliError, CliResult},
    output::{DIM, Output, styled},
};

pub(crate) async fn run(args: &Invoke, output: Output) -> CliResult {
    let event = event(&args.event)?;
    let client = Client::new(&args.server)?;
    let function = args.function.to_string();
    let kind = if args.queued { "event" } else { "sync" };
    let qualifier = args.qualifier.iter().map(|text| ("qualifier", text.as_str()));
    let query: Vec<_> = qualifier.chain([("type", kind)]).collect();
    let path = ["functions", &function, "invocations"];
    let answer = client.post(&path, &query, &event).await?;
    if args.tail {
        show::items(&answer, "logs").iter().for_each(|line| output.note(log_line(line)));
    }
    if answer["status"] == "failed" {
        return failed(&function, answer, output);
    }
    told(args, &function, &answer, output);
    Ok(())
}

fn told(args: &Invoke, function: &str, answer: &Value, output: Output) {
    if output.is_json() {
        output.json(answer);
    } else if args.queued {
        let id = show::text(answer, "request_id");
        output.line(format!("queued for {function}: request {id}"));
    } else {
        output.value(&answer["result"]);
    }
}

/// With `--json` the answer holds the failure already: it is the document, not an `error` around it.
fn failed(function: &str, answer: Value, output: Output) -> CliResult {
    let failure = &answer["failure"];
    let category = show::text(failure, "category");
    let what = format!("{}: {}", show::text(failure, "error_type"), show::text(failure, "message"));
    let mut error = CliError::failed(category, format!("{function} failed ({category})\n  {what}"));
    for frame in show::items(failure, "stack") {
        error.message.push_str("\n    ");
        error.message.push_str(frame.as_str().unwrap_or_default());
    }
    let request = show::text(&answer, "request_id");
    if !request.is_empty() {
        error = error.help(format!("what it logged: `belay logs {function} --request {request}`"));
    }
    error.document = output.is_json().then(|| Box::new(answer));
    Err(error)
}

/// The event as JSON; where it is not, a frame around the place.
fn event(argument: &str) -> CliResult<Value> {
    let text = if argument == "-" { piped()? } else { argument.to_owned() };
    serde_json::from_str(&text).map_err(|error| {
        let place = if argument == "-" { "standard input" } else { "event" };
        let message = format!("the event is not JSON: {}", reason(&error));
        let (line, column) = (clamp(error.line()), clamp(error.column()));
        let label = Label::at_line(place, &text, line.max(1), column.max(1), "");
        let diagnostics = vec![Diagnostic::error("bad-event", message).at(label)];
        CliError { diagnostics, ..CliError::usage("nothing was called") }
            .help("quote it for the shell: '{\"name\": \"Ada\"}'")
    })
}

fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

fn clamp(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn piped() -> CliResult<String> {
    let mut text = String::new();
    let read = io::stdin().read_to_string(&mut text);
    read.map_err(|error| CliError::usage("cannot read the event").because(&error))?;
    Ok(text)
}

/// One line that the function logged; the line that tells of a failure has the stack under it.
pub(super) fn log_line(line: &Value) -> String {
    if let Some(skipped) = line["skipped"].as_u64() {
        return styled(DIM, format!("… {skipped} lines came too fast to be shown"));
    }
    let level = show::text(line, "level");
    let colour = super::logs::colour(level);
    let level = styled(colour, format!("{level:<5}"));
    let time = styled(DIM, show::time_of_day(show::text(line, "time")));
    let mut told = format!("{time} {level} {}", show::text(line, "message"));
    for frame in show::items(&line["failure"], "stack") {
        told.push_str("\n    ");
        told.push_str(frame.as_str().unwrap_or_default());
    }
    told
}
