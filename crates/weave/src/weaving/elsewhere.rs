//! What the modules around one would notice of what is there in both arms.
//!
//! An edit that only adds is not chosen per request: the method, the export, the import is there for old code, too. That is
//! the same to old code which does not look, and loading a module is the same as not to load it if that keeps to itself.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use belay_model::{AppManifest, Hash, ImportEdge, ImportKind, ImportTarget, ModuleKind};
use oxc::ast::AstType;

use super::{
    acts::is_act,
    hunk::Side,
    load::order,
    looks::{Look, Use, has_star, has_word, mentions, use_of},
    modules::{Source, WovenModule},
    nodes::at_load,
    readers::{Reads, reads_at_load},
};
use crate::syntax::{NodeId, Tree, is_own_code, with_source_tree};

/// Members that the language looks for, in objects of anyone.
const LOOKED_FOR: [&str; 7] = ["then", "toJSON", "next", "return", "throw", "exec", "length"];

/// Members that every object has.
const INHERITED: [&str; 8] = [
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// Exports that loaders look for.
const LOOKED_FOR_EXPORTS: [&str; 2] = ["then", "__esModule"];

/// What a module loads with itself, in order: places among its edges, and modules.
type Eager = Vec<(usize, usize)>;

/// All modules of two versions.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    modules: Vec<[Option<Source>; 2]>,
    places: BTreeMap<String, usize>,
    /// Modules of functions, per version: what is loaded first.
    entries: [Vec<usize>; 2],
    /// What was found of sources: whether they do something to others when they are loaded.
    acting: RefCell<BTreeMap<Hash, bool>>,
    /// Specifiers that a source loads only when it is asked to.
    lazy: RefCell<BTreeMap<Hash, BTreeSet<String>>>,
    /// What sources read when they are loaded, by specifier, of what is a CommonJS module or not.
    reads: RefCell<BTreeMap<(Hash, String, bool), Rc<Reads>>>,
    eager: Vec<[OnceCell<Eager>; 2]>,
    in_order: OnceCell<bool>,
}

impl Elsewhere {
    pub(super) fn new(modules: &[WovenModule], manifests: [&AppManifest; 2]) -> Self {
        let places = modules.iter().enumerate().map(|(at, module)| (module.path.clone(), at));
        let places: BTreeMap<String, usize> = places.collect();
        let entries = manifests.map(|manifest| {
            let functions = manifest.functions.values().map(|spec| &spec.module);
            functions.filter_map(|path| places.get(path).copied()).collect()
        });
        let sources = modules.iter().map(|module| [module.before.clone(), module.after.clone()]);
        Self {
            modules: sources.collect(),
            places,
            entries,
            acting: RefCell::default(),
            lazy: RefCell::default(),
            reads: RefCell::default(),
            eager: modules.iter().map(|_| Default::default()).collect(),
            in_order: OnceCell::new(),
        }
    }

    fn source(&self, side: Side, module: usize) -> Option<&Source> {
        self.modules.get(module)?[usize::from(side == Side::After)].as_ref()
    }

    fn sources(&self, side: Side) -> impl Iterator<Item = (usize, &Source)> {
        (0..self.modules.len()).filter_map(move |at| Some((at, self.source(side, at)?)))
    }

    fn read<T: Default>(&self, source: &Source, work: impl FnOnce(&Tree<'_>) -> T) -> T {
        let (path, kind) = (&source.entry.path, source.entry.kind);
        with_source_tree(path, &source.text, kind, work).unwrap_or_default()
    }

    /// Whether code of a version may look for a member by this name, in an object of whatever module.
    pub(super) fn looks_for(&self, side: Side, name: &str, look: Look) -> bool {
        LOOKED_FOR.contains(&name)
            || INHERITED.contains(&name)
            || self.sources(side).any(|(_, source)| mentions(&source.text, name, look))
    }

    /// As [`Self::looks_for`], in what a module exports.
    pub(super) fn looks_for_export(&self, side: Side, module: usize, name: &str) -> bool {
        let stars = |side| self.source(side, module).is_some_and(|it| has_star(&it.text));
        if LOOKED_FOR_EXPORTS.contains(&name) || Side::BOTH.into_iter().any(stars) {
            return true;
        }
        let (mut open, mut known) = (vec![module], BTreeSet::new());
        while let Some(at) = open.pop() {
            if !known.insert(at) {
                continue;
            }
            for (other, source) in self.sources(side) {
                let Use { whole, members, star } = self.use_of(side, source, at);
                let clash = star && self.star_has(side, source, at, name);
                if whole || clash || members && mentions(&source.text, name, Look::Read) {
                    return true;
                }
                if star {
                    open.push(other);
                }
            }
        }
        false
    }

    /// A module that reads a property of what another one exports when it is loaded; without a name, the exports as they
    /// are.
    pub(super) fn reader_at_load(&self, module: usize, name: Option<&str>) -> Option<&str> {
        Side::BOTH.into_iter().find_map(|side| {
            let common_js =
                self.source(side, module).is_some_and(|it| it.entry.kind != ModuleKind::Esm);
            let reads = |(at, source): &(usize, &Source)| {
                let specifiers = self.imports(side, *at).filter(|(_, target)| *target == module);
                let specifiers: BTreeSet<&str> = specifiers.map(|(it, _)| it).collect();
                let Some(name) = name else { return !specifiers.is_empty() };
                let mut specifiers = specifiers.into_iter();
                has_word(&source.text, name)
                    && specifiers
                        .any(|it| self.reads(source, it, common_js).of(name).next().is_some())
            };
            let mut others = self.sources(side).filter(|(at, _)| *at != module);
            others.find(reads).map(|(_, source)| &*source.entry.path)
        })
    }

    /// What a source reads of what it loads by a specifier.
    fn reads(&self, source: &Source, specifier: &str, common_js: bool) -> Rc<Reads> {
        let key = (source.entry.source, specifier.to_owned(), common_js);
        if let Some(known) = self.reads.borrow().get(&key) {
            return known.clone();
        }
        let reads = Rc::new(self.read(source, |tree| reads_at_load(tree, specifier, common_js)));
        self.reads.borrow_mut().insert(key, reads.clone());
        reads
    }

    /// Whether what a module loads by a specifier is a CommonJS module.
    pub(super) fn loads_common_js(&self, side: Side, module: usize, specifier: &str) -> bool {
        let edges = self.source(side, module).map_or(&[][..], |source| &source.entry.imports);
        let mut targets = edges.iter().filter(|edge| edge.specifier == specifier);
        targets.any(|edge| {
            let target = self.target(&edge.target).and_then(|target| self.source(side, target));
            target.is_some_and(|target| target.entry.kind != ModuleKind::Esm)
        })
    }

    /// How a module uses another one.
    fn use_of(&self, side: Side, source: &Source, module: usize) -> Use {
        let common_js =
            self.source(side, module).is_some_and(|it| it.entry.kind != ModuleKind::Esm);
        let mut used = Use::default();
        for edge in &source.entry.imports {
            let plain = edge.kind == ImportKind::Import && !common_js && !has_star(&source.text);
            if self.target(&edge.target) != Some(module) || plain {
                continue;
            }
            let own = self.read(source, |tree| use_of(tree, &edge.specifier, common_js));
            used.whole |= own.whole;
            used.members |= own.members;
            used.star |= own.star;
        }
        used
    }

    /// Whether what passes all exports of a module on may have the name from elsewhere.
    fn star_has(&self, side: Side, barrel: &Source, module: usize, name: &str) -> bool {
        let others = barrel.entry.imports.iter().filter_map(|edge| self.target(&edge.target));
        let mut others = others.filter(|other| *other != module);
        let has = |source: &Source| has_word(&source.text, name) || has_star(&source.text);
        has_word(&barrel.text, name)
            || others.any(|other| self.source(side, other).is_some_and(has))
    }

    fn target(&self, target: &ImportTarget) -> Option<usize> {
        match target {
            ImportTarget::Module(path) => self.places.get(path).copied(),
            _ => None,
        }
    }

    /// Specifiers by which a version of a module loads what does something to others, if that would not be done in both
    /// versions and in the same order, and if the module imports it in one version only or in another order.
    pub(super) fn acting(&self, side: Side, module: usize) -> BTreeSet<&str> {
        if self.is_in_order() {
            return BTreeSet::new();
        }
        let other = self.targets(side.other(), module);
        let moved = self.are_moved(module);
        let changed =
            self.imports(side, module).filter(|(_, target)| moved || !other.contains(target));
        let acting = changed.filter(|(_, target)| self.acts_within(*target));
        acting.map(|(specifier, _)| specifier).collect()
    }

    /// Specifiers of a module whose order must be kept.
    pub(super) fn ordered(&self, module: usize) -> Vec<&str> {
        if self.is_in_order() || !self.are_moved(module) {
            return Vec::new();
        }
        let all = Side::BOTH.into_iter().flat_map(|side| self.imports(side, module));
        let acting = all.filter(|(_, target)| self.acts_within(*target));
        acting.map(|(specifier, _)| specifier).collect()
    }

    /// Whether what both versions of a module import does not come in the same order.
    fn are_moved(&self, module: usize) -> bool {
        let [old, new] = Side::BOTH.map(|side| self.targets(side, module));
        let common = |own: &[usize], other: &[usize]| -> Vec<usize> {
            own.iter().copied().filter(|target| other.contains(target)).collect()
        };
        common(&old, &new) != common(&new, &old)
    }

    /// What a module loads with itself, in order.
    fn imports(&self, side: Side, module: usize) -> impl Iterator<Item = (&str, usize)> {
        let edges = self.source(side, module).map_or(&[][..], |source| &source.entry.imports);
        let eager = self.eager(side, module).iter();
        eager.map(|(edge, target)| (&*edges[*edge].specifier, *target))
    }

    fn targets(&self, side: Side, module: usize) -> Vec<usize> {
        self.eager(side, module).iter().map(|(_, target)| *target).collect()
    }

    fn eager(&self, side: Side, module: usize) -> &[(usize, usize)] {
        self.eager[module][usize::from(side == Side::After)].get_or_init(|| {
            let Some(source) = self.source(side, module) else { return Vec::new() };
            let lazy = self.lazy(source);
            let edges = source.entry.imports.iter().enumerate();
            let eager = edges.filter(|(_, edge)| match edge.kind {
                ImportKind::Import => true,
                ImportKind::Dynamic => false,
                ImportKind::Require => !lazy.contains(&edge.specifier),
            });
            eager.filter_map(|(at, edge)| Some((at, self.target(&edge.target)?))).collect()
        })
    }

    /// What is required in functions only. Packages are taken to call `require` when they are loaded.
    fn lazy(&self, source: &Source) -> BTreeSet<String> {
        let mut required =
            source.entry.imports.iter().filter(|edge| edge.kind == ImportKind::Require);
        let first = required_first(&source.text);
        let known = |edge: &ImportEdge| first.contains(&*edge.specifier);
        if !is_own_code(&source.entry.path) || required.all(known) {
            return BTreeSet::new();
        }
        let hash = source.entry.source;
        if let Some(known) = self.lazy.borrow().get(&hash) {
            return known.clone();
        }
        let lazy: BTreeSet<String> = self.read(source, |tree| {
            let required = |id: &NodeId| {
                let parent = tree.node(*id).parent.map(|parent| tree.ty(parent));
                tree.ty(*id) == AstType::StringLiteral && parent == Some(AstType::CallExpression)
            };
            let (eager, lazy): (Vec<NodeId>, Vec<NodeId>) =
                tree.subtree(NodeId::ROOT).filter(required).partition(|id| at_load(tree, *id));
            let text = |id: NodeId| tree.node(id).text.map(str::to_owned);
            let eager: BTreeSet<String> = eager.into_iter().filter_map(text).collect();
            lazy.into_iter().filter_map(text).filter(|it| !eager.contains(it)).collect()
        });
        self.lazy.borrow_mut().insert(hash, lazy.clone());
        lazy
    }

    /// Whether what is woven loads, of what does something to others, just what either version loads, and in its order.
    fn is_in_order(&self) -> bool {
        *self.in_order.get_or_init(|| {
            let all = 0..self.modules.len();
            let same = |module: usize| {
                let [Some(old), Some(new)] = &self.modules[module] else { return true };
                let alike = old.entry.source == new.entry.source;
                let [before, after] = [&old.entry.imports, &new.entry.imports];
                alike && before == after
                    || self.targets(Side::Before, module) == self.targets(Side::After, module)
            };
            if self.entries[0] == self.entries[1] && all.into_iter().all(same) {
                return true;
            }
            let plain =
                Side::BOTH.map(|side| self.order(&[side], &|module| self.targets(side, module)));
            // Where the old version's imports stand among the new ones is not known here: at either end it must hold.
            let sides = [Side::After, Side::Before];
            let ends = [true, false];
            let woven = ends.map(|first| self.order(&sides, &|it| self.woven_targets(it, first)));
            woven.iter().all(|woven| plain.iter().all(|plain| self.does_the_same(woven, plain)))
        })
    }

    fn woven_targets(&self, module: usize, old_first: bool) -> Vec<usize> {
        let [mut old, new] = Side::BOTH.map(|side| self.targets(side, module));
        old.retain(|target| !new.contains(target));
        if old_first { [old, new].concat() } else { [new, old].concat() }
    }

    /// In which order modules are loaded that one of `sides` has.
    fn order(&self, sides: &[Side], imports: &dyn Fn(usize) -> Vec<usize>) -> Vec<usize> {
        let named = sides.iter().flat_map(|side| &self.entries[usize::from(*side == Side::After)]);
        let named: Vec<usize> = named.copied().collect();
        if !named.is_empty() {
            return order(&named, imports);
        }
        // Sources that are no app: what nobody imports, in whatever way, is where it begins.
        let known = |module: &usize| sides.iter().any(|it| self.source(*it, *module).is_some());
        let all: Vec<usize> = (0..self.modules.len()).filter(known).collect();
        let edges = sides.iter().flat_map(|side| self.sources(*side));
        let edges = edges.flat_map(|(_, source)| &source.entry.imports);
        let imported: BTreeSet<usize> = edges.filter_map(|it| self.target(&it.target)).collect();
        let first: Vec<usize> = all.iter().copied().filter(|it| !imported.contains(it)).collect();
        order(if first.is_empty() { &all } else { &first }, imports)
    }

    /// Whether loading in one order does to others what loading in another one does.
    fn does_the_same(&self, woven: &[usize], plain: &[usize]) -> bool {
        let known: BTreeSet<usize> = plain.iter().copied().collect();
        if woven.iter().any(|module| !known.contains(module) && self.module_acts(*module)) {
            return false;
        }
        let both = woven.iter().copied().filter(|module| known.contains(module));
        let both: Vec<usize> = both.collect();
        let acting = |all: &[usize]| -> Vec<usize> {
            all.iter().copied().filter(|module| self.module_acts(*module)).collect()
        };
        // What comes first in both, or last, need not be read.
        let same = |(one, other): &(&usize, &usize)| one == other;
        let first = both.iter().zip(plain).take_while(same).count();
        let (both, plain) = (&both[first..], &plain[first..]);
        let last = both.iter().rev().zip(plain.iter().rev()).take_while(same).count();
        acting(&both[..both.len() - last]) == acting(&plain[..plain.len() - last])
    }

    /// Whether a module, or what it loads, does something to others when it is loaded.
    fn acts_within(&self, module: usize) -> bool {
        let imports =
            |at: usize| Side::BOTH.into_iter().flat_map(|side| self.targets(side, at)).collect();
        order(&[module], &imports).into_iter().any(|at| self.module_acts(at))
    }

    fn module_acts(&self, module: usize) -> bool {
        Side::BOTH.into_iter().any(|side| {
            let Some(source) = self.source(side, module) else { return false };
            let hash = source.entry.source;
            let known = self.acting.borrow().get(&hash).copied();
            known.unwrap_or_else(|| {
                let quiet = source.entry.kind == ModuleKind::Json
                    || self.read(source, |tree| {
                        !tree.subtree(NodeId::ROOT).any(|id| is_act(tree, id))
                    });
                self.acting.borrow_mut().insert(hash, !quiet);
                !quiet
            })
        })
    }
}

/// What a text can be seen to require in statements of the top level, such as `const x = require("x")`.
fn required_first(text: &str) -> BTreeSet<&str> {
    const REQUIRE: &str = "require(";
    let all = text.match_indices(REQUIRE).filter_map(|(at, _)| {
        let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let before = &text[line..at];
        let one_line = ["const ", "let ", "var "].iter().any(|word| before.starts_with(word));
        // The first one is the end of a pattern of several lines.
        let first = before == "} = "
            || one_line
                && before.trim_end().ends_with('=')
                && !before.contains("=>")
                && !before.contains('(');
        let behind = &text[at + REQUIRE.len()..];
        let quote = behind.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (specifier, rest) = behind[1..].split_once(quote)?;
        (first && rest.starts_with(')')).then_some(specifier)
    });
    all.collect()
}
