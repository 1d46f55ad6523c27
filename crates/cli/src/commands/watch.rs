//! `belay changes --watch`: what is decided of the changes of an app, as it is decided.
//!
//! Any change may be decided on, not only the newest: `live` may go back to an older one. While the server is away, as it is
//! restarted, we wait for it; decisions outlive a restart, so none is missed.

use std::{collections::BTreeMap, time::Duration};

use belay_model::AppName;
use serde_json::Value;

use crate::{
    client::Client,
    commands::{explain::measured, show, told::told},
    exit::{CliResult, Exit},
    output::{BOLD, Output, styled},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);
/// Longest between two looks, while no server answers.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// What has been told of a change.
#[derive(Default)]
struct Known {
    /// How many decisions the server said there are.
    decided: u64,
    /// How many the story had; it may have more than were counted, as what was told before a crash is not counted after it.
    /// Nothing while the story was not read.
    entries: Option<usize>,
}

struct Watch<'c> {
    client: &'c Client,
    app: &'c AppName,
    output: Output,
    /// By the numbers of the changes.
    known: BTreeMap<u64, Known>,
}

/// Tells what is decided from then on, until the command is ended. `listed` are the changes as they have been shown.
pub(super) async fn watch(
    client: &Client,
    app: &AppName,
    listed: &Value,
    output: Output,
) -> CliResult {
    let mut watch = Watch { client, app, output, known: BTreeMap::new() };
    // What was decided before is for `belay explain`.
    for change in show::items(listed, "changes") {
        let (version, decided) = version_and_decided(change);
        let runs = change["running"] == true;
        let entries = if runs { Some(watch.story(version).await?.1.len()) } else { None };
        watch.known.insert(version, Known { decided, entries });
    }
    let mut pause = LOOK;
    loop {
        tokio::time::sleep(pause).await;
        let away = pause > LOOK;
        match watch.look().await {
            Ok(()) => {
                if away {
                    output.note("the server answers again");
                }
                pause = LOOK;
            }
            Err(error) if error.exit == Exit::Unreachable => {
                if !away {
                    output.note(format!("{error}; waiting for it"));
                }
                pause = (pause * 2).min(LOOK_MAX);
            }
            Err(error) => return Err(error),
        }
    }
}

impl Watch<'_> {
    async fn look(&mut self) -> CliResult {
        let list = self.client.list(&["apps", self.app.as_str(), "changes"], "changes").await?;
        // Oldest first.
        for change in show::items(&list, "changes").iter().rev() {
            let (version, decided) = version_and_decided(change);
            // Of a new change all is new.
            let new = Known { decided: 0, entries: Some(0) };
            if self.known.entry(version).or_insert(new).decided != decided {
                self.catch_up(version, decided).await?;
            }
        }
        Ok(())
    }

    async fn catch_up(&mut self, version: u64, decided: u64) -> CliResult {
        let (story, entries) = self.story(version).await?;
        let known = self.known.entry(version).or_default();
        let more = decided.saturating_sub(known.decided);
        let last = usize::try_from(more).unwrap_or(usize::MAX);
        let told = known.entries.unwrap_or(entries.len().saturating_sub(last));
        let new = entries.get(told..).unwrap_or_default();
        new.iter().for_each(|entry| tell(&story, entry, self.output));
        known.entries = Some(told.max(entries.len()));
        // What is decided is counted a moment before the story has it.
        known.decided = decided.min(known.decided.saturating_add(new.len() as u64));
        Ok(())
    }

    async fn story(&self, version: u64) -> CliResult<(Value, Vec<Value>)> {
        let name = version.to_string();
        let path = ["apps", self.app.as_str(), "changes", &name, "story"];
        let story = self.client.get(&path, &[]).await?;
        let entries = show::items(&story, "decisions").to_vec();
        Ok((story, entries))
    }
}

fn version_and_decided(change: &Value) -> (u64, u64) {
    let number = |key: &str| change[key].as_u64().unwrap_or(0);
    (number("version"), number("told"))
}

fn tell(story: &Value, entry: &Value, output: Output) {
    let id = show::text(story, "id");
    let mut document = entry.clone();
    document["change"] = id.into();
    output.json(&document);
    output.line(format!("{}  {}", styled(BOLD, id), told(story, entry)));
    measured(entry, output);
}
