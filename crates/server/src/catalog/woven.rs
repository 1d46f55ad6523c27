//! Two versions of an app in one program: from two manifests to the images of the change between them.
//!
//! Guards that run while modules are loaded would be frozen into the image. The engine tells which parts they belong
//! to; those are tied to the one whose arms are two images, and the images are made again. What cannot be woven, or
//! does not load when it is, differs as a whole: then the images are those of the two versions themselves.

use std::{collections::BTreeMap, sync::Arc};

use belay_engine::{Built, Engine, FunctionImage};
use belay_host::tape;
use belay_model::{
    AppManifest, Arm, DatabaseName, DatabaseSpec, EgressPolicy, EnvironmentName, FunctionName,
    Hash, HunkInfo, PartId, PartInfo, Tagged,
};
use belay_weave::{
    Compiled, Detail, Packages, Reach, Tying, Weave, compile_woven, dependencies, reach, weave,
};
use std::collections::BTreeSet;

use super::{
    Builder, CatalogError, ChangeRecord, FunctionRecord,
    blocking::{Broken, on_big_stack},
    build::{Criteria, Purpose, Texts, Work, make, program},
    changes::{Labels, is_cut_as},
    maps::Maps,
};

/// What the change between two programs is made of.
pub(super) struct WovenWork {
    pub(super) parts: Vec<PartInfo>,
    /// Of each part, what uses it.
    pub(super) reach: Vec<Reach>,
    /// Edits that no part has, and that stay.
    pub(super) staying: Vec<HunkInfo>,
    pub(super) frozen: Vec<BTreeSet<u8>>,
    /// Why nothing finer than the whole can be switched, if so.
    pub(super) whole: Option<String>,
    pub(super) faces: Vec<FaceWork>,
    pub(super) face_part: Option<PartId>,
}

/// One image of a change.
pub(super) struct FaceWork {
    pub(super) arm: Arm,
    pub(super) image: FunctionImage,
    pub(super) maps: Maps,
    pub(super) criteria: Criteria,
    pub(super) engine: Hash,
    pub(super) environment: EnvironmentName,
    pub(super) functions: BTreeMap<FunctionName, FunctionRecord>,
    pub(super) egress: EgressPolicy,
    pub(super) databases: BTreeMap<DatabaseName, DatabaseSpec>,
}

/// The two programs of a change.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) before: Arc<AppManifest>,
    pub(super) after: Arc<AppManifest>,
    /// How stacks name what ran before.
    pub(super) labels: Labels,
}

/// How the parts of a weave came to be what they are, to come to the same again.
#[derive(Clone, Default)]
pub(super) struct Bindings {
    pub(super) frozen: Vec<BTreeSet<u8>>,
    pub(super) whole: bool,
}

type Image = (FunctionImage, Maps, Criteria);

impl Builder {
    /// Weaves two programs and makes the images. `plain` is the new one by itself. `None` if nothing differs.
    pub(super) async fn weave(
        &self,
        pair: &Pair,
        plain: &Work,
    ) -> Result<Option<WovenWork>, CatalogError> {
        let engines = [
            self.engines().get(&pair.before.environment).await?,
            self.engines().get(&pair.after.environment).await?,
        ];
        let texts = self.texts_of(pair).await?;
        let (pair, tags) = (pair.clone(), plain.tags.clone());
        let plain = (plain.image.clone(), plain.maps.clone(), plain.criteria.clone());
        let work = move || {
            let weaver = Weaver { pair: &pair, texts: &texts, engines: &engines };
            weaver.work(plain, &tags)
        };
        on_big_stack("belay-weave", work).await.unwrap_or(Err(CatalogError::BuildPanicked))
    }

    /// The weave of a change that was made before.
    pub(super) async fn weave_again(
        &self,
        pair: &Pair,
        bindings: Bindings,
    ) -> Result<Weave, CatalogError> {
        let (texts, pair) = (self.texts_of(pair).await?, pair.clone());
        let work = move || -> Result<Weave, CatalogError> {
            let mut woven = weave_pair(&pair, &texts)?;
            for parts in &bindings.frozen {
                woven.freeze(parts);
            }
            Ok(if bindings.whole { woven.as_one() } else { woven })
        };
        let worked = on_big_stack("belay-weave", work).await;
        worked.unwrap_or_else(|Broken| Err(CatalogError::BuildPanicked))
    }

    /// One image of a change that was made before, with its engine.
    pub(super) async fn face(
        &self,
        pair: &Pair,
        change: &ChangeRecord,
        arm: Arm,
    ) -> Result<(FunctionImage, Maps, Hash), CatalogError> {
        let bindings = Bindings { frozen: change.frozen.clone(), whole: change.whole.is_some() };
        let manifest = if arm == Arm::After { &pair.after } else { &pair.before };
        if bindings.whole {
            let work = self.build(manifest, Purpose::Rebuild).await?;
            return Ok((work.image, work.maps, work.engine));
        }
        let engine = self.engines().get(&manifest.environment).await?;
        let hash = engine.hash();
        let engines = [engine.clone(), engine];
        let woven = self.weave_again(pair, bindings).await?;
        if !is_cut_as(&woven.parts(), change) {
            // The arms are of other parts than these: better no answer than that of another program.
            let app = pair.after.app.clone();
            return Err(CatalogError::Rewoven { app, change: change.version });
        }
        let pair = pair.clone();
        let work = move || {
            // Without an image part there is one image for both arms.
            let image = if woven.image_part().is_some() { arm } else { Arm::After };
            let texts = Texts::new();
            let weaver = Weaver { pair: &pair, texts: &texts, engines: &engines };
            let made = weaver.image(&woven, image).map(|((image, maps, _), _)| (image, maps, hash));
            made.map_err(|reason| CatalogError::damaged("change", reason))
        };
        let worked = on_big_stack("belay-weave", work).await;
        worked.unwrap_or_else(|Broken| Err(CatalogError::BuildPanicked))
    }

    async fn texts_of(&self, pair: &Pair) -> Result<Texts, CatalogError> {
        let mut texts = self.texts(&pair.before).await?;
        texts.extend(self.texts(&pair.after).await?);
        Ok(texts)
    }
}

fn weave_pair(pair: &Pair, texts: &Texts) -> Result<Weave, CatalogError> {
    let source = |hash: &Hash| texts.get(hash).cloned();
    weave(&pair.before, &pair.after, &source, Tying::Default)
        .map_err(|missing| CatalogError::MissingBlobs(vec![missing]))
}

/// What is promised by the one version that there is in an image, if that is the one before.
fn of_before(alone: tape::Criteria) -> tape::Criteria {
    tape::Criteria { before: alone.after, after: None }
}

struct Weaver<'w> {
    pair: &'w Pair,
    texts: &'w Texts,
    /// Before and after.
    engines: &'w [Engine; 2],
}

impl Weaver<'_> {
    fn work(&self, plain: Image, tags: &[Tagged]) -> Result<Option<WovenWork>, CatalogError> {
        let mut woven = weave_pair(self.pair, self.texts)?;
        if woven.is_empty() {
            return Ok(None);
        }
        let (images, frozen, whole) = match self.images(&mut woven) {
            Ok((images, frozen)) => (images, frozen, None),
            Err(reason) => {
                woven = weave_pair(self.pair, self.texts)?.as_one();
                let before =
                    make(&self.pair.before, self.texts, &self.engines[0], Purpose::Rebuild)?;
                let criteria =
                    before.criteria.into_iter().map(|(name, own)| (name, of_before(own)));
                let images = vec![plain, (before.image, before.maps, criteria.collect())];
                (images, Vec::new(), Some(reason))
            }
        };
        let face_part = if whole.is_some() {
            Some(PartId(0))
        } else {
            woven.image_part().or_else(|| woven.settings_part())
        };
        let faces = self.faces(images, face_part.is_some());
        let (parts, staying) = (woven.parts(), woven.staying().to_vec());
        let reach = self.reach(&parts, tags);
        Ok(Some(WovenWork { parts, reach, staying, frozen, whole, faces, face_part }))
    }

    fn reach(&self, parts: &[PartInfo], tags: &[Tagged]) -> Vec<Reach> {
        let detail = Detail { packages: Packages::Whole, blocks: true };
        let source = |hash: &Hash| self.texts.get(hash).cloned();
        reach(&dependencies(&self.pair.after, &source, tags, detail), parts)
    }

    /// One image, or two if some part needs them. The error says why there can be none.
    fn images(&self, woven: &mut Weave) -> Result<(Vec<Image>, Vec<BTreeSet<u8>>), String> {
        if self.pair.before.environment != self.pair.after.environment {
            return Err("the two versions have different environments".to_owned());
        }
        let mut frozen = Vec::new();
        // Each round ties at least one part more.
        for _ in 0..=woven.parts_len() {
            let own = woven.image_part();
            let mut images = vec![self.image(woven, Arm::After)?];
            if own.is_some() {
                images.push(self.image(woven, Arm::Before)?);
            }
            let mut reached: BTreeSet<u8> =
                images.iter().flat_map(|(_, reached)| reached).copied().collect();
            reached.retain(|part| own != Some(PartId(*part)));
            if reached.is_empty() {
                return Ok((images.into_iter().map(|(image, _)| image).collect(), frozen));
            }
            woven.freeze(&reached);
            frozen.push(reached);
        }
        Err("its modules load differently each time".to_owned())
    }

    fn image(&self, woven: &Weave, image: Arm) -> Result<(Image, BTreeSet<u8>), String> {
        let own = woven.image_part();
        let first = |diagnostics: Vec<belay_model::Diagnostic>| {
            diagnostics.into_iter().next().map_or(String::new(), |d| d.message)
        };
        let Compiled { modules, criteria, .. } =
            compile_woven(woven, image, &|path| self.pair.labels.module(path)).map_err(first)?;
        let (engine, manifest) = match image {
            Arm::Before => (&self.engines[0], &self.pair.before),
            Arm::After => (&self.engines[1], &self.pair.after),
        };
        let (mut program, maps, criteria) = program(manifest, modules, criteria);
        let parts = u8::try_from(woven.parts_len().saturating_sub(1)).unwrap_or(u8::MAX);
        let arm = |part| if own == Some(PartId(part)) { image } else { Arm::After };
        program.arms = (0..=parts).map(arm).collect();
        let built = engine.build(&program).map_err(|error| error.to_string())?;
        let Built { image, reached, .. } = built;
        Ok(((image, maps, criteria), reached))
    }

    /// The new face first. Without an image of its own, the old one has only other settings.
    fn faces(&self, images: Vec<Image>, two: bool) -> Vec<FaceWork> {
        let mut images = images.into_iter();
        let Some(after) = images.next() else { return Vec::new() };
        let before = images.next();
        let own = before.is_some();
        let mut faces = vec![self.face(Arm::After, after.clone(), true)];
        if two {
            faces.push(self.face(Arm::Before, before.unwrap_or(after), own));
        }
        faces
    }

    fn face(&self, arm: Arm, (image, maps, criteria): Image, own: bool) -> FaceWork {
        let (manifest, engine) = match arm {
            Arm::Before => (&self.pair.before, &self.engines[0]),
            Arm::After => (&self.pair.after, &self.engines[1]),
        };
        // Handlers are numbered as in the manifest that the image was made by.
        let made_by = if own { manifest } else { &self.pair.after };
        let functions = manifest.functions.iter().filter_map(|(name, spec)| {
            let entry = made_by.functions.keys().position(|other| other == name)?;
            Some((name.clone(), FunctionRecord { entry, limits: spec.limits }))
        });
        FaceWork {
            arm,
            image,
            maps,
            criteria,
            engine: engine.hash(),
            environment: manifest.environment.clone(),
            functions: functions.collect(),
            egress: manifest.egress.clone(),
            databases: manifest.databases.clone(),
        }
    }
}
