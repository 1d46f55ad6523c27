//! What code looks for in what it did not make: members of objects, and exports of modules that it has as a whole.

use oxc::ast::AstType;

use crate::syntax::{Marks, NodeId, Tree, VariableId};

/// How a member is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// By reading it. To call one that is not there would have failed.
    Read,
    /// Also by calling it: the object may inherit another one.
    ReadOrCall,
}

/// How a module uses another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Use {
    /// As a value that goes somewhere: all of its exports may be looked at.
    pub(super) whole: bool,
    /// By `namespace.name`.
    pub(super) members: bool,
    /// `export *`.
    pub(super) star: bool,
}

/// Whether a text looks for a member by this name: `.name`, `"name"`, or in a pattern. It is looked at as text: to find too
/// much costs a switch, to find too little would be wrong.
pub(super) fn mentions(text: &str, name: &str, look: Look) -> bool {
    words(text, name).any(|(before, behind)| {
        let next = behind.trim_start().chars().next();
        match before.chars().next_back() {
            Some('.') => look == Look::ReadOrCall || next != Some('('),
            Some(quote @ ('"' | '\'' | '`')) => behind.starts_with(quote),
            _ => opens_pattern(before) && !matches!(next, Some('(' | '.' | ';')),
        }
    })
}

/// Whether a word is anywhere in a text.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    words(text, word).next().is_some()
}

/// What is before and behind each place at which a text has a word.
fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = (&'t str, &'t str)> {
    let within = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let all = text.match_indices(word).map(move |(at, _)| (&text[..at], &text[at + word.len()..]));
    all.filter(move |(before, behind)| !before.ends_with(within) && !behind.starts_with(within))
}

/// Whether what follows may be a name in `{ … }`, comments between or not.
fn opens_pattern(mut before: &str) -> bool {
    loop {
        before = before.trim_end();
        if before.ends_with(['{', ',']) {
            return true;
        }
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let comment = match before.strip_suffix("*/") {
            Some(open) => open.rfind("/*"),
            None => before[line..].find("//").map(|at| line + at),
        };
        match comment {
            Some(at) => before = &before[..at],
            None => return false,
        }
    }
}

/// Whether a text may use a module as a whole by `import`: `* as name`, `export *`.
pub(super) fn has_star(text: &str) -> bool {
    text.match_indices('*').any(|(at, _)| {
        let behind = text[at + 1..].trim_start();
        behind.starts_with("as") || behind.starts_with("from")
    })
}

/// How a module uses what it loads by `specifier`. Of a CommonJS module the default import is the whole.
pub(super) fn use_of(tree: &Tree<'_>, specifier: &str, common_js: bool) -> Use {
    let mut used = Use::default();
    let named = |id: &NodeId| {
        tree.ty(*id) == AstType::StringLiteral && tree.node(*id).text == Some(specifier)
    };
    for literal in tree.subtree(NodeId::ROOT).filter(named) {
        let Some(parent) = tree.node(literal).parent else { continue };
        match tree.ty(parent) {
            AstType::ImportDeclaration => {
                for child in tree.node(parent).children {
                    let whole = match tree.ty(*child) {
                        AstType::ImportNamespaceSpecifier => true,
                        AstType::ImportDefaultSpecifier => common_js,
                        AstType::ImportSpecifier => {
                            common_js && tree.code(*child).starts_with("default")
                        }
                        _ => false,
                    };
                    let local = tree.node(*child).children.last().filter(|_| whole);
                    let variable = local.and_then(|local| tree.node(*local).variable);
                    variable
                        .into_iter()
                        .for_each(|it| note_variable(tree, it, &mut Vec::new(), &mut used));
                }
            }
            AstType::ExportAllDeclaration => match tree.node(parent).children.len() {
                1 => used.star = true,
                _ => used.whole = true,
            },
            AstType::CallExpression => note_value(tree, parent, &mut Vec::new(), &mut used),
            AstType::ImportExpression => {
                let outer = tree.node(parent).parent;
                match outer.filter(|outer| tree.ty(*outer) == AstType::AwaitExpression) {
                    Some(waited) => note_value(tree, waited, &mut Vec::new(), &mut used),
                    None => used.whole = true,
                }
            }
            _ => {}
        }
    }
    used
}

/// So many variables that hold the same are followed.
const KNOWN_MAX: usize = 32;

/// Helpers of compilers that give what they are given.
const INTEROP: [&str; 4] =
    ["__importStar", "__importDefault", "_interopRequireDefault", "_interopRequireWildcard"];

fn note_value(tree: &Tree<'_>, value: NodeId, known: &mut Vec<VariableId>, used: &mut Use) {
    let Some(parent) = tree.node(value).parent else { return };
    let node = tree.node(parent);
    let first = node.children.first().copied();
    match node.ty {
        AstType::ExpressionStatement => {}
        AstType::ChainExpression => note_value(tree, parent, known, used),
        AstType::StaticMemberExpression if first == Some(value) => used.members = true,
        AstType::CallExpression if first.is_some_and(|it| INTEROP.contains(&tree.code(it))) => {
            note_value(tree, parent, known, used);
        }
        AstType::VariableDeclarator => match first.map(|target| (target, tree.ty(target))) {
            Some((target, AstType::BindingIdentifier)) => match tree.node(target).variable {
                Some(variable) => note_variable(tree, variable, known, used),
                None => used.whole = true,
            },
            Some((target, AstType::ObjectPattern)) if is_flat(tree, target) => used.members = true,
            _ => used.whole = true,
        },
        _ => used.whole = true,
    }
}

fn note_variable(
    tree: &Tree<'_>,
    variable: VariableId,
    known: &mut Vec<VariableId>,
    used: &mut Use,
) {
    if known.contains(&variable) {
        return;
    }
    if known.len() == KNOWN_MAX {
        used.whole = true;
        return;
    }
    known.push(variable);
    for &reference in &tree.variable(variable).references {
        if tree.node(reference).marks.has(Marks::WRITTEN) {
            used.whole = true;
        }
        note_value(tree, reference, known, used);
    }
}

/// A pattern that names what it takes.
fn is_flat(tree: &Tree<'_>, pattern: NodeId) -> bool {
    tree.node(pattern).children.iter().all(|property| {
        let node = tree.node(*property);
        node.ty == AstType::BindingProperty && !node.marks.has(Marks::COMPUTED)
    })
}

#[cfg(test)]
mod tests {
    use belay_model::ModuleKind;

    use super::*;
    use crate::syntax::with_source_tree;

    #[test]
    fn a_member_is_looked_for_by_reading_it() {
        for text in [
            "if (it.refresh) go()",
            "it?.refresh",
            "it.refresh\n",
            "has(it, 'refresh')",
            "it[\"refresh\"]",
            "const { refresh } = it",
            "const { a, refresh: b } = it",
            "const { a, // a number\n  // another\n  refresh } = it",
            "const { a /* ! */, /* ? */ refresh = 1 } = it",
            "const { url: 'http://x',\n refresh } = it",
        ] {
            assert!(mentions(text, "refresh", Look::Read), "{text}");
        }
        for text in ["it.refresh()", "it.refresh (1)", "refreshed", "it.refreshed", "refresh(it)"] {
            assert!(!mentions(text, "refresh", Look::Read), "{text}");
        }
        assert!(mentions("it.refresh()", "refresh", Look::ReadOrCall));
    }

    fn used(code: &str) -> Use {
        let path = if code.contains("require") { "a.cjs" } else { "a.mjs" };
        let kind = if code.contains("require") { ModuleKind::CommonJs } else { ModuleKind::Esm };
        with_source_tree(path, code, kind, |tree| use_of(tree, "./b", true)).unwrap()
    }

    #[test]
    fn how_a_module_is_used() {
        for code in [
            "import * as b from './b'; use(b);",
            "import*as b from './b'; Object.keys(b);",
            "import b from './b'; for (const key in b) use(key);",
            "export * as b from './b';",
            "const b = require('./b'); module.exports = b;",
            "module.exports = require('./b');",
            "const { a, ...rest } = require('./b');",
            "const all = { ...require('./b') };",
            "import('./b').then(use);",
        ] {
            assert!(used(code).whole, "{code}");
        }
        for code in [
            "import * as b from './b'; b.go(); use(b.table);",
            "const b = require('./b'); b.go();",
            "const { a, c: d } = require('./b');",
            "var b = b; const c = require('./b'), d = c; d.go();",
            "const b = __importDefault(require('./b')); b.default();",
            "const { a } = await import('./b');",
        ] {
            assert_eq!(used(code), Use { members: true, ..Use::default() }, "{code}");
        }
        assert_eq!(used("import { a } from './b'; use(a);"), Use::default());
        assert_eq!(used("require('./b');"), Use::default());
        assert_eq!(used("export * from './b';"), Use { star: true, ..Use::default() });
    }
}
