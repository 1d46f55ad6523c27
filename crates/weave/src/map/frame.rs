//! Stack frames, as the engine prints them, in the user's own coordinates.
//!
//! A frame is `at name (path:line:column)`, `at path:line:column`, `at name (native)` or `at
//! native`, with white space before it. Only the place is rewritten, and only when its path has a
//! map; any other text comes back unchanged.

use super::PositionMap;

/// How the engine calls a function without a name.
const ANONYMOUS: &str = "<anonymous>";

/// The lines of a stack, each frame with its place mapped to the source. A function of which both versions are there is
/// called by one that is in neither: its frame is left out, and its name goes to the one that it called.
pub fn map_frames<'m>(
    lines: &[impl AsRef<str>],
    maps: &dyn Fn(&str) -> Option<&'m PositionMap>,
) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in lines.iter().map(AsRef::as_ref) {
        match caller_of_one(line, maps) {
            Some(name) => {
                // It calls by `apply` or `Reflect.construct`, or by itself.
                let called = out.iter().rposition(|frame| !frame.ends_with(" (native)"));
                let is_frame = |at: &usize| out[*at].trim_start().starts_with("at ");
                let Some(called) = called.filter(is_frame) else {
                    out.push(map_frame(line, maps));
                    continue;
                };
                out.truncate(called + 1);
                out[called] = out[called].replacen(ANONYMOUS, name, 1);
            }
            None => out.push(map_frame(line, maps)),
        }
    }
    out
}

/// Of a frame of what calls the one or the other version of a function: the function's name.
fn caller_of_one<'l, 'm>(
    line: &'l str,
    maps: &dyn Fn(&str) -> Option<&'m PositionMap>,
) -> Option<&'l str> {
    let (_, head, (path, line, column), _) = parts(line, maps)?;
    let calls = maps(path)?.calls_one_of_two(line, column.unwrap_or(1));
    calls.then(|| head.strip_suffix(" (").filter(|name| !name.is_empty()).unwrap_or(ANONYMOUS))
}

/// One frame with its place mapped to the source.
pub fn map_frame<'m>(frame: &str, maps: &dyn Fn(&str) -> Option<&'m PositionMap>) -> String {
    map_place(frame, maps).unwrap_or_else(|| frame.to_owned())
}

/// Each line of a stack text, such as `Error.stack`, or of a text that has one in it.
pub fn map_stack<'m>(stack: &str, maps: &dyn Fn(&str) -> Option<&'m PositionMap>) -> String {
    map_frames(&stack.split('\n').collect::<Vec<_>>(), maps).join("\n")
}

/// A path, a line and a column.
type Place<'f> = (&'f str, u32, Option<u32>);

/// Of a frame: what is before `at`, what is between that and the place, the place, what is behind it.
fn parts<'f, 'm>(
    frame: &'f str,
    maps: &dyn Fn(&str) -> Option<&'m PositionMap>,
) -> Option<(&'f str, &'f str, Place<'f>, &'static str)> {
    let indent = frame.len() - frame.trim_start().len();
    let rest = frame[indent..].strip_prefix("at ")?;
    let (head, place, tail) = match rest.trim_end().strip_suffix(')') {
        Some(inner) => split_parenthesised(inner, maps)?,
        None => ("", rest.trim_end(), ""),
    };
    Some((&frame[..indent], head, split_place(place)?, tail))
}

fn map_place<'m>(frame: &str, maps: &dyn Fn(&str) -> Option<&'m PositionMap>) -> Option<String> {
    let (indent, head, (path, line, column), tail) = parts(frame, maps)?;
    let map = maps(path)?;
    let version = map.version(line, column.unwrap_or(1));
    let (line, column) = match column {
        Some(column) => map.original(line, column),
        None => (map.original(line, 1).0, 0),
    };
    let path = version.map_or_else(|| path.to_owned(), |version| format!("{path}@{version}"));
    let at = if column == 0 { format!("{path}:{line}") } else { format!("{path}:{line}:{column}") };
    Some(format!("{indent}at {head}{at}{tail}"))
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
