//! Draws a diagnostic as a compiler would: code frame, import chain, help.
//!
//! It does not decide about colours: the text always carries them, and the stream it is written to takes them out.

use std::fmt::Write as _;

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Renderer, Snippet, renderer::DecorStyle,
};
use belay_model::{Diagnostic, Label, Severity};

/// The drawing, without a line break at its end.
pub fn render(diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&*diagnostic.message).id(&*diagnostic.code);
    let chain = chain(&diagnostic.chain);
    let group = title
        .elements(diagnostic.labels.iter().enumerate().map(|(at, label)| frame(label, at == 0)))
        .elements(chain.into_iter().map(|text| Level::NOTE.message(text)))
        .elements(diagnostic.help.as_deref().map(|text| Level::HELP.message(text)));
    draw(group)
}

fn draw(group: Group<'_>) -> String {
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    renderer.render(&[group]).trim_end().to_owned()
}

fn frame(label: &Label, main: bool) -> Element<'_> {
    let kind = if main { AnnotationKind::Primary } else { AnnotationKind::Context };
    // A frame may come from another machine: never let a wrong span reach the drawing code.
    let start = floor_char(&label.snippet, label.span.0 as usize);
    let end = floor_char(&label.snippet, label.span.1 as usize).max(start);
    let mut mark: Annotation<'_> = kind.span(start..end);
    if !label.text.is_empty() {
        mark = mark.label(&*label.text);
    }
    Snippet::source(&*label.snippet)
        .line_start(label.snippet_line as usize)
        .path(&*label.path)
        .fold(false)
        .annotation(mark)
        .into()
}

fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// `a` imports `b` imports `c`, one a line; nothing when there is no way to tell of.
fn chain(paths: &[String]) -> Option<String> {
    let (first, rest) = paths.split_first()?;
    if rest.is_empty() {
        return None;
    }
    let mut text = format!("imported through {first}");
    for path in rest {
        let _ = write!(text, "\n             -> {path}");
    }
    Some(text)
}
