//! `belay invoke`: calls a function, prints its result, and ends with 1 when the function failed.

use std::io::{self, Read};

use belay_model::{Diagnostic, Label};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

use crate::{
    args::Invoke,
    client::{Client, not_understood},
    commands::show,
    exit::{CliError, CliResult},
    output::{DIM, Output, styled},
};

/// What the server says of an invocation, as far as people are shown it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Invocation {
    request_id: String,
    status: String,
    category: String,
    /// `null` is none, too.
    result: Option<Box<RawValue>>,
    failure: Value,
    logs: Vec<Value>,
}

pub(crate) async fn run(args: &Invoke, output: Output) -> CliResult {
    let event = event(&args.event)?;
    let client = Client::new(&args.server)?;
    let function = args.function.to_string();
    let kind = if args.queued { "event" } else { "sync" };
    let qualifier = args.qualifier.iter().map(|text| ("qualifier", text.as_str()));
    let query: Vec<_> = qualifier.chain([("type", kind)]).collect();
    let answer = client.invoke(&function, &query, event).await?;
    let told: Invocation =
        serde_json::from_str(answer.get()).map_err(|error| not_understood(&error))?;
    if args.tail {
        told.logs.iter().for_each(|line| output.note(log_line(line)));
    }
    if told.status == "failed" {
        let document = output.is_json().then_some(answer);
        return Err(CliError { document, ..failed(&function, &told) });
    }
    output.document(&answer);
    tell(args, &function, &told, output);
    Ok(())
}

fn tell(args: &Invoke, function: &str, told: &Invocation, output: Output) {
    if args.queued {
        output.line(format!("queued for {function}: request {}", told.request_id));
    } else if !output.is_json() {
        output.value(told.result.as_deref().unwrap_or(RawValue::NULL));
    }
}

/// With `--json` the answer holds the failure already: it is the document, not an `error` around it.
fn failed(function: &str, told: &Invocation) -> CliError {
    let category = &told.category;
    let what = match &told.result {
        // It returned, and its `statusCode` says that it failed.
        Some(result) => result.get().to_owned(),
        None => ["error_type", "message"].map(|key| show::text(&told.failure, key)).join(": "),
    };
    let mut message = format!("{function} failed ({category})\n  {what}");
    for frame in show::items(&told.failure, "stack") {
        message.push_str("\n    ");
        message.push_str(frame.as_str().unwrap_or_default());
    }
    let error = CliError::failed(category, message);
    let request = &told.request_id;
    if request.is_empty() {
        return error;
    }
    error.help(format!("what it logged: `belay logs {function} --request {request}`"))
}

/// The event as it was given, if it is JSON, however deep and however large its numbers are; otherwise a frame around
/// the place where it is not.
fn event(argument: &str) -> CliResult<String> {
    let text = if argument == "-" { piped()? } else { argument.to_owned() };
    match serde_json::from_str::<IgnoredAny>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(not_json(argument, &text, &error)),
    }
}

fn not_json(argument: &str, text: &str, error: &serde_json::Error) -> CliError {
    let place = if argument == "-" { "standard input" } else { "event" };
    let message = format!("the event is not JSON: {}", reason(error));
    let (line, column) = (clamp(error.line()), clamp(error.column()));
    let label = Label::at_line(place, text, line.max(1), column.max(1), "");
    let diagnostics = [Diagnostic::error("bad-event", message).at(label)].into();
    CliError { diagnostics, ..CliError::usage("nothing was called") }
        .help("quote it for the shell: '{\"name\": \"Ada\"}'")
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
