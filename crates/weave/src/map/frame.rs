//! Stack frames, as the engine prints them, in the user's own coordinates.
//!
//! A frame is `at name (path:line:column)`, `at path:line:column`, `at name (native)` or `at
//! native`, with white space before it. Only the place is rewritten, and only when its path has a
//! map; any other text comes back unchanged.

use super::PositionMap;

/// One frame with its place mapped to the source.
pub fn map_frame<'m>(frame: &str, maps: &dyn Fn(&str) -> Option<&'m PositionMap>) -> String {
    map_place(frame, maps).unwrap_or_else(|| frame.to_owned())
}

/// Each line of a stack text, such as `Error.stack`.
pub fn map_stack<'m>(stack: &str, maps: &dyn Fn(&str) -> Option<&'m PositionMap>) -> String {
    stack.split('\n').map(|line| map_frame(line, maps)).collect::<Vec<_>>().join("\n")
}

fn map_place<'m>(frame: &str, maps: &dyn Fn(&str) -> Option<&'m PositionMap>) -> Option<String> {
    let indent = frame.len() - frame.trim_start().len();
    let rest = frame[indent..].strip_prefix("at ")?;
    let (head, place, tail) = match rest.trim_end().strip_suffix(')') {
        Some(inner) => split_parenthesised(inner, maps)?,
        None => ("", rest.trim_end(), ""),
    };
    let (path, line, column) = split_place(place)?;
    let map = maps(path)?;
    let version = map.version(line, column.unwrap_or(1));
    let (line, column) = match column {
        Some(column) => map.original(line, column),
        None => (map.original(line, 1).0, 0),
    };
    let path = version.map_or_else(|| path.to_owned(), |version| format!("{path}@{version}"));
    let at = if column == 0 { format!("{path}:{line}") } else { format!("{path}:{line}:{column}") };
    Some(format!("{}at {head}{at}{tail}", &frame[..indent]))
}

/// Splits `name (path:1:2` at the parenthesis that opens the place: the leftmost one whose place
/// has a map, since both names and paths may contain parentheses.
fn split_parenthesised<'a, 'm>(
    inner: &'a str,
    maps: &dyn Fn(&str) -> Option<&'m PositionMap>,
) -> Option<(&'a str, &'a str, &'static str)> {
    let opens =
        inner.match_indices(" (").map(|(at, _)| at + 2).chain(inner.starts_with('(').then_some(1));
    let known =
        |at: &usize| split_place(&inner[*at..]).is_some_and(|(path, ..)| maps(path).is_some());
    opens.filter(known).min().map(|at| (&inner[..at], &inner[at..], ")"))
}

/// `path:line:column` or, as some engines print, `path:line`.
fn split_place(place: &str) -> Option<(&str, u32, Option<u32>)> {
    let (rest, last) = place.rsplit_once(':')?;
    let last: u32 = last.parse().ok()?;
    match rest.rsplit_once(':').and_then(|(path, line)| Some((path, line.parse().ok()?))) {
        Some((path, line)) => Some((path, line, Some(last))),
        None => Some((rest, last, None)),
    }
}
