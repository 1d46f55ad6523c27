//! The modules of two versions of an app, each woven, and what they tell each other of exports with two values.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_model::{
    AppManifest, Hash, ImportEdge, ImportKind, ImportTarget, ModuleEntry, ModuleKind,
};

use oxc::allocator::Allocator;

use super::{
    elsewhere::Elsewhere,
    hunk::Shared,
    importers::{Choices, Closed, Unable},
    module::{ModuleWeave, Reading, weave_module, whole},
    remarks::Remarks,
};
use crate::{
    same_code,
    syntax::{Tree, source_tree},
    tags::{Rollbacks, may_remark, remarks, rollbacks},
};

/// After so many rounds no export has two values.
const ROUNDS_MAX: usize = 16;

/// One module of either version or of both.
#[derive(Debug)]
pub(super) struct WovenModule {
    pub(super) path: String,
    pub(super) before: Option<Source>,
    pub(super) after: Option<Source>,
    /// What the tags of both sources say, the old one's first; nothing where they are one source.
    pub(super) rollbacks: [Rollbacks; 2],
    /// What both say of functions, where one of these may be a transaction.
    pub(super) remarks: Option<Remarks>,
    /// Where both have it and it differs, or where it imports what has two values.
    pub(super) weave: Option<ModuleWeave>,
    /// What a weave of it said instead of one of its two sources. A bug of the weaver, for which the weave makes up.
    pub(super) mismatch: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) entry: ModuleEntry,
    pub(super) text: Arc<str>,
}

impl WovenModule {
    /// The two texts that are woven: of a module that only one version has, that one.
    pub(super) fn sources(&self) -> Option<(&Source, &Source)> {
        let (before, after) = (self.before.as_ref(), self.after.as_ref());
        before.or(after).zip(after.or(before))
    }

    fn edges(&self) -> impl Iterator<Item = &ImportEdge> {
        self.before.iter().chain(&self.after).flat_map(|source| &source.entry.imports)
    }
}

/// Reads and weaves all modules of two versions.
///
/// # Errors The hash of a source that is missing.
pub(super) fn weave_modules(
    before: &AppManifest,
    after: &AppManifest,
    source: &dyn Fn(&Hash) -> Option<Arc<str>>,
) -> Result<Vec<WovenModule>, Hash> {
    let modules = read(before, after, source)?;
    let places: BTreeMap<String, usize> =
        modules.iter().enumerate().map(|(index, module)| (module.path.clone(), index)).collect();
    let arena = Allocator::default();
    let mut exchange = Exchange {
        closed: closed(&modules, &places, [before, after]),
        elsewhere: Elsewhere::new(&modules, [before, after]),
        choices: vec![Choices::new(); modules.len()],
        trees: Trees { arena: &arena, all: modules.iter().map(|_| Default::default()).collect() },
        modules,
        places,
        manifests: [before, after],
    };
    exchange.run();
    Ok(exchange.modules)
}

fn read(
    before: &AppManifest,
    after: &AppManifest,
    source: &dyn Fn(&Hash) -> Option<Arc<str>>,
) -> Result<Vec<WovenModule>, Hash> {
    let mut modules: BTreeMap<&str, [Option<Source>; 2]> = BTreeMap::new();
    for (side, manifest) in [before, after].into_iter().enumerate() {
        for entry in &manifest.modules {
            let text = source(&entry.source).ok_or(entry.source)?;
            modules.entry(&entry.path).or_default()[side] =
                Some(Source { entry: entry.clone(), text });
        }
    }
    let said = |manifest: &AppManifest, own: &Option<Source>, other: &Option<Source>| {
        let hash = |source: &Source| source.entry.source;
        let own = own.as_ref().filter(|own| other.as_ref().map(hash) != Some(hash(own)));
        own.map(|own| rollbacks(manifest, &own.entry, &own.text)).unwrap_or_default()
    };
    let modules = modules.into_iter().map(|(path, [old, new])| WovenModule {
        path: path.to_owned(),
        remarks: remarked([before, after], path, [&old, &new]),
        rollbacks: [said(before, &old, &new), said(after, &new, &old)],
        before: old,
        after: new,
        weave: None,
        mismatch: None,
    });
    Ok(modules.collect())
}

/// What two versions of a module say of their transactions.
fn remarked(
    manifests: [&AppManifest; 2],
    path: &str,
    sources: [&Option<Source>; 2],
) -> Option<Remarks> {
    let [Some(old), Some(new)] = sources else { return None };
    let both = [(manifests[0], old), (manifests[1], new)];
    let speaks = both.iter().any(|(manifest, it)| may_remark(manifest, path, &it.text));
    if old.entry.source == new.entry.source || !speaks {
        return None;
    }
    let read = |(manifest, it): (&AppManifest, &Source)| {
        remarks(manifest, (path, it.entry.kind), &it.text).unwrap_or_default()
    };
    Some(both.map(read))
}

/// Exports that others than `import` statements read: they have one value.
fn closed(
    modules: &[WovenModule],
    places: &BTreeMap<String, usize>,
    manifests: [&AppManifest; 2],
) -> Vec<Closed> {
    let mut closed = vec![Closed::default(); modules.len()];
    for spec in manifests.into_iter().flat_map(|manifest| manifest.functions.values()) {
        if let Some(&index) = places.get(&spec.module) {
            closed[index]
                .names
                .insert(spec.export.clone(), "it is a function of the app".to_owned());
        }
    }
    for module in modules {
        for edge in module.edges().filter(|edge| edge.kind != ImportKind::Import) {
            if let ImportTarget::Module(target) = &edge.target
                && let Some(&index) = places.get(target)
            {
                let how = if edge.kind == ImportKind::Require { "require" } else { "import()" };
                closed[index].all = Some(format!("{} loads its module by {how}", module.path));
            }
        }
    }
    closed
}

/// Modules that tell their importers which names have two values, and are told which of them cannot.
struct Exchange<'c> {
    modules: Vec<WovenModule>,
    places: BTreeMap<String, usize>,
    closed: Vec<Closed>,
    choices: Vec<Choices>,
    elsewhere: Elsewhere,
    trees: Trees<'c>,
    manifests: [&'c AppManifest; 2],
}

/// The sources that are woven, in both versions, each parsed once in however many rounds.
struct Trees<'c> {
    arena: &'c Allocator,
    all: Vec<[OnceCell<Option<Tree<'c>>>; 2]>,
}

impl<'c> Trees<'c> {
    /// Nothing if one of them does not parse.
    fn of(&self, index: usize, old: &Source, new: &Source) -> Option<(&Tree<'c>, &Tree<'c>)> {
        let [before, after] = &self.all[index];
        let new_tree = self.tree(after, new)?;
        let same = old.entry.source == new.entry.source;
        Some((if same { new_tree } else { self.tree(before, old)? }, new_tree))
    }

    fn tree<'t>(
        &self,
        known: &'t OnceCell<Option<Tree<'c>>>,
        Source { entry, text }: &Source,
    ) -> Option<&'t Tree<'c>> {
        let read = || source_tree(self.arena, &entry.path, self.arena.alloc_str(text), entry.kind);
        known.get_or_init(read).as_ref()
    }
}

impl Exchange<'_> {
    fn run(&mut self) {
        (0..self.modules.len()).for_each(|index| self.weave(index));
        for _ in 0..ROUNDS_MAX {
            let mut changed = self.close();
            for index in 0..self.modules.len() {
                let choices = self.choices_of(index);
                if choices != self.choices[index] {
                    self.choices[index] = choices;
                    changed.insert(index);
                }
            }
            if changed.is_empty() {
                return;
            }
            changed.into_iter().for_each(|index| self.weave(index));
        }
        let why = "what hangs together by it has no end".to_owned();
        for (closed, module) in self.closed.iter_mut().zip(&self.modules) {
            let exposed = module.weave.iter().flat_map(|weave| &weave.output.exposed);
            let properties = exposed.filter(|exposed| exposed.what == Shared::Property);
            closed.properties.extend(properties.map(|it| (it.name.clone(), why.clone())));
            closed.all = Some(why.clone());
        }
        self.choices.iter_mut().for_each(Choices::clear);
        (0..self.modules.len()).for_each(|index| self.weave(index));
    }

    fn weave(&mut self, index: usize) {
        let (closed, choices) = (&self.closed[index], &self.choices[index]);
        let module = &mut self.modules[index];
        let reader = (&self.elsewhere, &self.trees, self.manifests);
        module.weave = weave_one(index, module, closed, choices, reader);
        let mismatch = module.weave.as_mut().and_then(|weave| weave.mismatch.take());
        module.mismatch = module.mismatch.take().or(mismatch);
    }

    /// Closes the exports whose importers could not choose; whose they are.
    fn close(&mut self) -> BTreeSet<usize> {
        let mut refused = Vec::new();
        for module in &self.modules {
            for unable in module.weave.iter().flat_map(|weave| &weave.unable) {
                let edges = module.edges().filter(|edge| edge.specifier == unable.specifier);
                let why = format!("{} {}", module.path, unable.why);
                let targets = edges.filter_map(|edge| self.target(edge));
                refused.extend(targets.map(|target| (target, unable.clone(), why.clone())));
            }
        }
        let mut changed = BTreeSet::new();
        for (target, Unable { name, what, .. }, why) in refused {
            let closed = &mut self.closed[target];
            let names = match what {
                Shared::Export => &mut closed.names,
                Shared::Property => &mut closed.properties,
            };
            names.entry(name).or_insert(why);
            changed.insert(target);
        }
        changed
    }

    fn target(&self, edge: &ImportEdge) -> Option<usize> {
        match &edge.target {
            ImportTarget::Module(path) => self.places.get(path).copied(),
            _ => None,
        }
    }

    /// What one module imports that has two values.
    fn choices_of(&self, index: usize) -> Choices {
        let mut choices = Choices::new();
        for edge in self.modules[index].edges().filter(|edge| edge.kind != ImportKind::Dynamic) {
            let weave = self.target(edge).and_then(|target| self.modules[target].weave.as_ref());
            for exposed in weave.iter().flat_map(|weave| &weave.output.exposed) {
                if exposed.what == Shared::Export && edge.kind != ImportKind::Import {
                    continue;
                }
                let choice = choices.entry(edge.specifier.clone()).or_default();
                let names = match exposed.what {
                    Shared::Export => &mut choice.exports,
                    Shared::Property => &mut choice.properties,
                };
                names.insert(exposed.name.clone(), exposed.hunk);
            }
        }
        choices
    }
}

fn weave_one(
    index: usize,
    module: &WovenModule,
    exports: &Closed,
    imports: &Choices,
    (elsewhere, trees, manifests): (&Elsewhere, &Trees<'_>, [&AppManifest; 2]),
) -> Option<ModuleWeave> {
    let (old, new) = module.sources()?;
    let (path, kind) = (&module.path, new.entry.kind);
    let rollbacks = &module.rollbacks;
    let remarks = module.remarks.as_ref().map(|remarks| (manifests, remarks));
    let reading =
        Reading { module: index, path, kind, exports, imports, elsewhere, rollbacks, remarks };
    let refuse = |message: &str| Some(whole(reading, (&old.text, &new.text), message.to_owned()));
    if old.entry.kind != kind {
        refuse("it became another kind of module")
    } else if edges_clash(&old.entry.imports, &new.entry.imports) {
        refuse("what it imports by the same name is another module")
    } else if old.entry.source == new.entry.source && imports.is_empty() {
        None
    } else if kind == ModuleKind::Json {
        (!same_code(path, kind, &old.text, &new.text))
            .then(|| refuse("JSON is read when the module is loaded"))
            .flatten()
    } else {
        let woven = weave_module(reading, (&old.text, &new.text), || trees.of(index, old, new));
        (!woven.output.is_empty() || !woven.unable.is_empty()).then_some(woven)
    }
}

pub(super) fn edges_have(edges: &[ImportEdge], wanted: &ImportEdge) -> bool {
    edges.iter().any(|edge| edge.kind == wanted.kind && edge.specifier == wanted.specifier)
}

fn edges_clash(old: &[ImportEdge], new: &[ImportEdge]) -> bool {
    old.iter().any(|edge| {
        new.iter().any(|other| {
            other.specifier == edge.specifier
                && other.kind == edge.kind
                && other.target != edge.target
        })
    })
}
