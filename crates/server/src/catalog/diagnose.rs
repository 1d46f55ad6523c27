//! What went wrong while top-level code ran, told at the place in the user's own source.

use std::{collections::HashMap, sync::Arc};

use belay_engine::{BUILD_LIMITS, BuildError, EngineError, Note, NoteKind};
use belay_model::{
    AppManifest, Category, Diagnostic, Failure, FunctionName, Hash, ImportEdge, ImportTarget,
    Label, ModuleEntry,
};
use belay_weave::map_frame;

use super::maps::Maps;

/// What a place in a stack is looked up in.
pub(super) struct Sources<'a> {
    pub(super) manifest: &'a AppManifest,
    pub(super) texts: &'a HashMap<Hash, Arc<str>>,
    pub(super) maps: &'a Maps,
}

/// Handlers run per request; top-level code does not.
const MOVE: &str = "top-level code runs once, at deploy, and its result is kept in the image: move this into the \
                    handler, where it runs for each request";

/// The user's mistake as a diagnostic, or the error back when it is the engine's own.
pub(super) fn explain(error: BuildError, sources: &Sources<'_>) -> Result<Diagnostic, EngineError> {
    Ok(match error {
        BuildError::Module { module, failure } => threw(sources, module.as_deref(), &failure),
        BuildError::Effect { op, stack } => {
            let message = format!("top-level code calls the host ({op})");
            let diagnostic = Diagnostic::error("top-level-effect", message).help(MOVE);
            sources.mark(diagnostic, &stack, "called here")
        }
        BuildError::NoSuchExport { entry, module, export } => {
            no_such_export(sources, entry, &module, &export)
        }
        BuildError::NotAFunction { entry, module, export } => {
            not_a_function(sources, entry, &module, &export)
        }
        BuildError::NeverSettles { module } => never_settles(sources, &module),
        BuildError::Limit { module, failure } => limit(sources, module.as_deref(), &failure),
        BuildError::Engine(error) => return Err(error),
    })
}

/// What the image froze although it differs from request to request.
pub(super) fn warn(note: &Note, sources: &Sources<'_>) -> Diagnostic {
    let (code, what) = match &note.kind {
        NoteKind::Clock => ("top-level-clock", "the clock"),
        NoteKind::Random => ("top-level-random", "randomness"),
        NoteKind::Effect(op) => {
            let message = format!("top-level code calls the host ({op}), which was refused");
            let diagnostic = Diagnostic::warning("top-level-effect", message).help(MOVE);
            return sources.mark(diagnostic, &note.stack, "called here; the error was caught");
        }
    };
    let message = format!("top-level code reads {what}: all requests will see the same value");
    let diagnostic = Diagnostic::warning(code, message).help(MOVE);
    sources.mark(diagnostic, &note.stack, "read here, once, at deploy")
}

fn no_such_export(s: &Sources<'_>, entry: usize, module: &str, export: &str) -> Diagnostic {
    let message = format!("{module} has no export {export:?}{}", s.wanted_by(entry));
    let help = format!(
        "export it (`export async function {export}(event, context) {{ … }}`) or name another export"
    );
    s.mark_export(Diagnostic::error("no-such-export", message).help(help), module, export)
}

fn not_a_function(s: &Sources<'_>, entry: usize, module: &str, export: &str) -> Diagnostic {
    let message =
        format!("the export {export:?} of {module} is not a function{}", s.wanted_by(entry));
    let help = "a handler is a function `(event, context) => result`, async or not";
    s.mark_export(Diagnostic::error("not-a-function", message).help(help), module, export)
}

fn never_settles(sources: &Sources<'_>, module: &str) -> Diagnostic {
    let message = format!("a top-level await of {module} waits for something that never comes");
    let help = "timers and requests do not run at deploy; await them in the handler";
    let diagnostic = Diagnostic::error("top-level-never-settles", message).help(help);
    sources.mark_top(diagnostic, module)
}

fn threw(sources: &Sources<'_>, module: Option<&str>, failure: &Failure) -> Diagnostic {
    let message = format!("top-level code failed: {failure}");
    let diagnostic = Diagnostic::error("top-level-throw", message);
    sources.mark_or_module(diagnostic, &failure.stack, "thrown here", module)
}

fn limit(sources: &Sources<'_>, module: Option<&str>, failure: &Failure) -> Diagnostic {
    if failure.category == Category::Timeout {
        return endless(sources, module, failure);
    }
    let message = format!("top-level code exceeds a limit of a deploy: {failure}");
    let diagnostic = Diagnostic::error("top-level-limit", message).help(MOVE);
    sources.mark_or_module(diagnostic, &failure.stack, "running here", module)
}

/// The engine stops such code from outside, so nothing tells at which line it was.
fn endless(sources: &Sources<'_>, module: Option<&str>, failure: &Failure) -> Diagnostic {
    let what = module.unwrap_or("a module");
    let message = format!(
        "loading {what} takes more than the {} s of CPU time (or {} s in all) that top-level code has",
        BUILD_LIMITS.cpu_ms / 1_000,
        BUILD_LIMITS.timeout_ms / 1_000,
    );
    let help = "look for a loop that does not end; long work belongs in the handler, where it runs for each request \
                within the function's own limits";
    let diagnostic = Diagnostic::error("top-level-limit", message).help(help);
    sources.mark_or_module(diagnostic, &failure.stack, "running here", module)
}

impl Sources<'_> {
    /// Adds the innermost frame that lies in a module of the app.
    fn mark(&self, diagnostic: Diagnostic, stack: &[String], text: &str) -> Diagnostic {
        match stack.iter().find_map(|frame| self.label(frame, text)) {
            Some(label) => diagnostic.at(label),
            None => diagnostic,
        }
    }

    /// As [`Self::mark`]; where no frame helps (`throw 5` has none), the module that was being loaded is marked.
    fn mark_or_module(
        &self,
        diagnostic: Diagnostic,
        stack: &[String],
        text: &str,
        module: Option<&str>,
    ) -> Diagnostic {
        let marked = self.mark(diagnostic, stack, text);
        match module.and_then(|path| self.module(path)) {
            Some((module, source)) if marked.labels.is_empty() => {
                let leads_on = |edge: &ImportEdge| matches!(edge.target, ImportTarget::Module(_));
                let text = if module.imports.iter().any(leads_on) {
                    "in this module, or in one that it imports"
                } else {
                    "in this module"
                };
                marked.at(Label::new(&module.path, source, 0, 0, text))
            }
            Some(_) | None => marked,
        }
    }

    /// Marks the first line of a module, when nothing in it is to blame in particular.
    fn mark_top(&self, diagnostic: Diagnostic, module: &str) -> Diagnostic {
        match self.text(module) {
            Some(text) => diagnostic.at(Label::new(module, text, 0, 0, "in this module")),
            None => diagnostic,
        }
    }

    /// Marks where a line that exports has the name; the name may be made in ways that no search finds.
    fn mark_export(&self, diagnostic: Diagnostic, module: &str, export: &str) -> Diagnostic {
        let found = self.text(module).and_then(|text| Some((text, export_at(text, export)?)));
        match found {
            Some((text, at)) => {
                let label = Label::new(module, text, at, at + export.len(), "exported here");
                diagnostic.at(label)
            }
            None => self.mark_top(diagnostic, module),
        }
    }

    fn label(&self, frame: &str, text: &str) -> Option<Label> {
        let mapped = map_frame(frame, &|path| self.maps.get(path));
        let (path, line, column) = place(&mapped, &|path| self.maps.contains_key(path))?;
        Some(Label::at_line(path, self.text(path)?, line, column, text))
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.module(path).map(|(_, text)| text)
    }

    fn module(&self, path: &str) -> Option<(&ModuleEntry, &str)> {
        let module = self.manifest.modules.iter().find(|module| module.path == path)?;
        Some((module, self.texts.get(&module.source)?))
    }

    fn wanted_by(&self, entry: usize) -> String {
        let function = self.manifest.functions.keys().nth(entry).map(FunctionName::as_str);
        function.map(|name| format!(", which function {name} needs")).unwrap_or_default()
    }
}

/// Offset of the word `export` names, in the first line that begins with `export` and has it.
fn export_at(text: &str, export: &str) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let exports = line.trim_start().starts_with("export");
        let mut words = line.match_indices(export).map(|(at, _)| at);
        let word = words.find(|at| exports && is_word(line, *at, export.len()));
        if let Some(at) = word {
            return Some(start + at);
        }
        start += line.len();
    }
    None
}

fn is_word(line: &str, at: usize, len: usize) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    !line[..at].ends_with(part) && !line[at + len..].starts_with(part)
}

/// Path, line and column of a frame, if its path is known. Names and paths may both contain parentheses.
fn place<'a>(frame: &'a str, known: &dyn Fn(&str) -> bool) -> Option<(&'a str, u32, u32)> {
    let frame = frame.trim();
    let bare = frame.strip_suffix(')').unwrap_or(frame);
    let starts = bare.match_indices([' ', '(']).map(|(at, _)| at + 1);
    starts.filter_map(|start| split_place(&bare[start..])).find(|(path, ..)| known(path))
}

/// `path:line:column`, or `path:line` as some engines print.
fn split_place(place: &str) -> Option<(&str, u32, u32)> {
    let (rest, last) = place.rsplit_once(':')?;
    let last = last.parse().ok()?;
    match rest.rsplit_once(':').and_then(|(path, line)| Some((path, line.parse().ok()?))) {
        Some((path, line)) => Some((path, line, last)),
        None => Some((rest, last, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frame: &str, expected: Option<(&str, u32, u32)>) {
        let known = ["src/a.ts", "app/(shop)/my page.ts", "a.ts"];
        assert_eq!(place(frame, &|path| known.contains(&path)), expected);
    }

    #[test]
    fn exports_are_found_as_whole_words() {
        let text = "const g = 1;\nexport const gg = 2;\n  export const g = 3;\n";
        assert_eq!(export_at(text, "g"), text.rfind("g ="));
        assert_eq!(export_at(text, "gg"), text.find("gg"));
        assert_eq!(export_at(text, "h"), None);
        assert_eq!(export_at("", ""), None);
    }

    #[test]
    fn places_are_found_in_all_shapes_of_frames() {
        check("at f (src/a.ts:3:7)", Some(("src/a.ts", 3, 7)));
        check("    at src/a.ts:3:7", Some(("src/a.ts", 3, 7)));
        check("at f (src/a.ts:3)", Some(("src/a.ts", 3, 1)));
        check("at get (x) (app/(shop)/my page.ts:1:2)", Some(("app/(shop)/my page.ts", 1, 2)));
        check("at f (native)", None);
        check("at f (lib.js:1:1)", None);
        check("", None);
        check("at é (a.ts:99999999999:1)", None);
    }
}
