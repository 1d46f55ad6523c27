//! What a policy names, functions of the app, code, a secret: is it there?
//!
//! A function that is not there is a mistake, as nothing would ever be done of what is said. Code comes and goes with versions,
//! so of a deploy it is a warning; what people set on the server has to be there when they do.

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{AppManifest, AppName, DatabaseSpec, Diagnostic, PlacePolicy, Policy, Tagged};
use belay_weave::{Detail, Packages, dependencies, nearest};

use super::{Catalog, CatalogError, blocking::on_big_stack, policy::policy_of};

type Places = BTreeMap<String, PlacePolicy>;

/// Names that are listed where none is near.
const LISTED_MAX: usize = 12;

/// Something that is not there, and what might be meant.
pub(super) struct Unknown {
    what: String,
    help: String,
}

impl Unknown {
    pub(super) fn error(self) -> Diagnostic {
        Diagnostic::error("unknown-name", self.what).help(self.help)
    }

    fn warning(self) -> Diagnostic {
        Diagnostic::warning("unknown-name", self.what).help(self.help)
    }
}

/// Functions that `places` name and the app does not have.
pub(super) fn unknown_functions(manifest: &AppManifest, places: &Places) -> Vec<Unknown> {
    let known: Vec<&str> = manifest.functions.keys().map(|name| name.as_str()).collect();
    let of = |(place, said): (&String, &PlacePolicy)| {
        let own = (!place.contains('#')).then(|| (format!("for.{place}"), place.clone()));
        let fallback = said.fallback.as_ref();
        let fallback = fallback.map(|to| (format!("for.{place}.fallback"), to.to_string()));
        [own, fallback]
    };
    let named = places.iter().flat_map(of).flatten();
    let unknown = named.filter(|(_, name)| !known.contains(&name.as_str()));
    let unknown = unknown.map(|(setting, name)| Unknown {
        what: format!("{setting}: the app has no function `{name}`"),
        help: meant(&name, &known),
    });
    unknown.collect()
}

fn meant(name: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    let listed = known.iter().take(LISTED_MAX).copied().collect::<Vec<_>>().join(", ");
    match known.len() {
        0 => "`belay graph APP --blocks` shows how code is named".to_owned(),
        all if all > LISTED_MAX => format!("there are: {listed}, and {} more", all - LISTED_MAX),
        _ => format!("there are: {listed}"),
    }
}

impl Catalog {
    /// Functions in the code, and blocks of them, that `places` name and a version does not have.
    pub(super) async fn unknown_code(
        &self,
        manifest: &AppManifest,
        tags: &[Tagged],
        places: &Places,
    ) -> Result<Vec<Unknown>, CatalogError> {
        let named: Vec<String> =
            places.keys().filter(|place| place.contains('#')).cloned().collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let texts = self.inner.builder.texts(manifest).await?;
        let (manifest, tags) = (manifest.clone(), tags.to_vec());
        // As parts of changes are placed.
        let detail = Detail { packages: Packages::Whole, blocks: true };
        let work = move || {
            let graph = dependencies(&manifest, &|hash| texts.get(hash).cloned(), &tags, detail);
            let ids = graph.nodes.iter().map(|node| node.id.as_str());
            let known: Vec<&str> = ids.filter(|id| id.contains('#')).collect();
            let unknown = named.iter().filter(|name| !known.contains(&name.as_str()));
            unknown.map(|name| unknown_place(name, &known)).collect()
        };
        on_big_stack("belay-names", work).await.map_err(|_| CatalogError::BuildPanicked)
    }

    /// What `places` name and the live version does not have, as one message.
    pub(super) async fn check_names(
        &self,
        app: &AppName,
        places: &Places,
    ) -> Result<(), CatalogError> {
        if places.is_empty() {
            return Ok(());
        }
        let routes = self.app(app)?;
        let Some(live) = routes.live() else { return Ok(()) };
        let (manifest, tags) = (self.manifest(&live.record).await?, self.tags(&live.record).await?);
        let mut unknown = unknown_functions(&manifest, places);
        unknown.extend(self.unknown_code(&manifest, &tags, places).await?);
        let texts = unknown.into_iter().map(|Unknown { what, help }| format!("{what}; {help}"));
        let texts: Vec<String> = texts.collect();
        if texts.is_empty() {
            return Ok(());
        }
        Err(CatalogError::Invalid(format!("policy: {}", texts.join("; "))))
    }

    /// What a deploy is warned of: names of code, what was set on the server for functions that are gone, and secrets.
    pub(super) async fn doubts(
        &self,
        manifest: &Arc<AppManifest>,
        tags: &[Tagged],
    ) -> Result<Vec<Diagnostic>, CatalogError> {
        let record = self.app_record(&manifest.app).await?;
        let set = record.map(|(record, _)| record.policy).unwrap_or_default();
        let policy = policy_of(&manifest.policy, &set);
        let mut unknown = unknown_functions(manifest, &policy.places);
        unknown.extend(self.unknown_code(manifest, tags, &policy.places).await?);
        let warnings = unknown.into_iter().map(Unknown::warning);
        let warnings = warnings.chain(self.unsigned(&manifest.app, &policy));
        Ok(warnings.chain(self.unreachable(manifest)).collect())
    }

    /// Databases of which the app has no secret that says where they are.
    fn unreachable(&self, manifest: &AppManifest) -> Vec<Diagnostic> {
        let app = &manifest.app;
        let known = self.app(app).map(|app| app.shared.secret_names()).unwrap_or_default();
        let secrets = manifest.databases.iter().flat_map(|(name, spec)| match spec {
            DatabaseSpec::Sqlite {} => Vec::new(),
            DatabaseSpec::Postgres { url, readonly_url, .. } => {
                let secrets = [Some(url), readonly_url.as_ref()].into_iter().flatten();
                secrets.map(|secret| (name, secret.as_str())).collect()
            }
        });
        let missing = secrets.filter(|(_, secret)| !known.iter().any(|known| known == secret));
        let warnings = missing.map(|(name, secret)| {
            let message = format!("databases.{name}: the app has no secret `{secret}` yet");
            let help = format!("belay secret set {app} {secret}");
            Diagnostic::warning("unknown-secret", message).help(help)
        });
        warnings.collect()
    }

    /// That webhooks are to be signed with a secret that the app does not have.
    pub(super) fn unsigned(&self, app: &AppName, policy: &Policy) -> Option<Diagnostic> {
        let secret = policy.alerts.secret.as_ref()?;
        let known = self.app(app).map(|app| app.shared.secret_names()).unwrap_or_default();
        (!known.contains(secret)).then(|| {
            let message = format!(
                "alerts.secret: the app has no secret `{secret}`, and no webhook is sent without it"
            );
            let help = format!("belay secret set {app} {secret}");
            Diagnostic::warning("unknown-secret", message).help(help)
        })
    }
}

fn unknown_place(name: &str, known: &[&str]) -> Unknown {
    let what = format!("for.{name:?}: there is no such code");
    // Of a block only others of its function can be meant, if that is there.
    let around = |name: &str| {
        let (function, block) = name.rsplit_once('/')?;
        (function.contains('#') && block.parse::<u32>().is_ok()).then(|| function.to_owned())
    };
    let own = around(name);
    let is_meant = |id: &&&str| around(id) == own || own.is_none() && around(id).is_none();
    let units: Vec<&str> = known.iter().filter(is_meant).copied().collect();
    let module = name.split_once('#').map_or("", |(module, _)| module);
    let here = |id: &&str| id.split_once('#').is_some_and(|(path, _)| path == module);
    if let Some(near) = nearest(name, units.iter().copied()) {
        return Unknown { what, help: format!("did you mean `{near}`?") };
    }
    let here: Vec<&str> = units.iter().copied().filter(here).collect();
    Unknown { what, help: meant(name, &here) }
}
