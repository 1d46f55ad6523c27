//! How changes and their parts are named on the command line: `shop/12`, `shop/12:b`, `shop/12:b,c`.
//!
//! What looks like a name and is none is told with what may have been meant.

use std::str::FromStr;

use belay_model::{AppName, ChangeId, PartId, ProgramName};

/// A change, or parts of it.
#[derive(Debug, Clone)]
pub struct ChangeParts {
    pub change: ChangeId,
    /// None: all of them.
    pub parts: Vec<PartId>,
}

impl FromStr for ChangeParts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((change, parts)) = text.split_once(':') else {
            return Ok(Self { change: change_of(text)?, parts: Vec::new() });
        };
        if !change.contains('/') {
            return Err(wrong_change(change));
        }
        let change = change_of(change)?;
        let parts = parts.split(',').map(|part| part_of(&change, part));
        Ok(Self { parts: parts.collect::<Result<_, _>>()?, change })
    }
}

/// A change that is named without parts.
pub(crate) fn whole(text: &str) -> Result<ChangeId, String> {
    let ChangeParts { change, parts } = text.parse()?;
    if parts.is_empty() {
        return Ok(change);
    }
    Err(format!("a change is settled as a whole: {change}"))
}

fn change_of(text: &str) -> Result<ChangeId, String> {
    text.parse().map_err(|_| wrong_change(text))
}

fn wrong_change(text: &str) -> String {
    let app = |name: &str| name.parse::<AppName>().ok();
    match text.split_once('/') {
        None => match app(text) {
            Some(app) => format!(
                "{app} is an app; its changes are named by their versions, such as {app}/12, and `belay changes {app}` lists them"
            ),
            None => "a change is an app and a version, such as shop/12".to_owned(),
        },
        Some((name, version)) => match (app(name), version.parse::<ProgramName>()) {
            (Some(app), Ok(program)) if program.flips > 0 || version.contains('+') => {
                format!(
                    "{program} is an effective version; its change is {app}/{}",
                    program.version
                )
            }
            (Some(app), _) => format!(
                "{version:?} is no version; a change is named by its number, such as {app}/12, and `belay changes {app}` lists them"
            ),
            (None, _) => {
                format!("{name:?} is no app; a change is an app and a version, such as shop/12")
            }
        },
    }
}

fn part_of(change: &ChangeId, text: &str) -> Result<PartId, String> {
    text.parse().map_err(|_| wrong_part(change, text))
}

fn wrong_part(change: &ChangeId, text: &str) -> String {
    let bare = text.trim_start_matches('-').to_ascii_lowercase();
    if PartId::WORDS_FOR_NONE.contains(&&*bare) {
        return format!(
            "edits tagged `@rollback never` are in no part: they stay, whatever is taken back. `belay show {change}` lists them, and says what goes back behind them"
        );
    }
    match (text, bare.parse::<PartId>()) {
        ("" | "*" | "all", _) => format!("for all parts name the change alone: {change}"),
        (_, Ok(part)) if text.starts_with('-') => {
            format!("the minus says that {part} was taken back; its name is {change}:{part}")
        }
        (_, Ok(part)) => format!("parts are written in small letters: {change}:{part}"),
        (_, Err(_)) => format!(
            "{text:?} is no part: parts are letters with commas between them, such as {change}:b or {change}:a,c, and `belay show {change}` lists them"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_parts_are_read_as_they_are_written() {
        for (text, parts) in [("shop/12", 0), ("shop/12:b", 1), ("shop/12:b,aa", 2)] {
            let read: ChangeParts = text.parse().unwrap();
            assert_eq!((read.change.to_string().as_str(), read.parts.len()), ("shop/12", parts));
        }
    }

    #[test]
    fn what_is_no_name_says_what_may_have_been_meant() {
        let told: Vec<String> = [
            "shop",
            "shop:b",
            "a b",
            "shop/",
            "shop/live",
            "shop/v2",
            "shop/2+1",
            "a b/2",
            "shop/2:never",
            "shop/2:stays",
            "shop/2:",
            "shop/2:all",
            "shop/2:B",
            "shop/2:-a",
            "shop/2:a-c",
            "shop/2:1",
            "shop/2:a,",
        ]
        .iter()
        .map(|text| format!("{text}: {}", text.parse::<ChangeParts>().unwrap_err()))
        .collect();
        insta::assert_snapshot!(told.join("\n"));
        assert_eq!(whole("shop/2:a").unwrap_err(), "a change is settled as a whole: shop/2");
    }
}
