//! The policy of an app: what `belay.toml` says, and over it what was set on the server.
//!
//! What is set is a JSON merge patch (RFC 7396): it names what differs, and `null` takes a value away again. It stays when a
//! deploy brings another `belay.toml`.

use belay_fabric::Transaction;
use belay_govern::Event;
use belay_model::{AppName, Diagnostic, Policy};
use serde_json::{Map, Value};

use super::{
    Catalog, CatalogError, ChangeState,
    record::{self, APPS},
};
use crate::routes::AppRoutes;

/// A policy with where it comes from.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct PolicyReport {
    /// What holds.
    pub policy: Policy,
    /// What was set on the server, of it.
    #[schema(value_type = Object)]
    pub set: Map<String, Value>,
    /// What does not fit the app as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

impl Catalog {
    pub async fn policy(&self, app: &AppName) -> Result<PolicyReport, CatalogError> {
        let policy = Policy::clone(&self.app(app)?.policy);
        let set = self.app_record(app).await?.map(|(record, _)| record.policy).unwrap_or_default();
        Ok(self.report(app, policy, set))
    }

    fn report(&self, app: &AppName, policy: Policy, set: Map<String, Value>) -> PolicyReport {
        let diagnostics = self.unsigned(app, &policy).into_iter().collect();
        PolicyReport { policy, set, diagnostics }
    }

    /// Merges `patch` into what is set. It holds from the next request on, also for the change that is on trial.
    pub async fn set_policy(
        &self,
        app: &AppName,
        patch: Map<String, Value>,
    ) -> Result<PolicyReport, CatalogError> {
        // Code is looked at before the turn, which nobody is to wait for.
        self.check_patch(app, &patch).await?;
        let _turn = self.turn(app).await;
        let known = self.app(app)?;
        let live = known.live().map(|live| live.record.policy.clone()).unwrap_or_default();
        let (set, policy) = self
            .change_record(app, |old| {
                let mut record =
                    old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
                merge(&mut record.policy, patch.clone());
                let policy = merged(&live, &record.policy)?;
                let encoded = record::encode(&record);
                Ok((Transaction::new().put(&APPS, app.as_str(), encoded), (record.policy, policy)))
            })
            .await?;
        let routes = AppRoutes { policy: policy.clone().into(), ..AppRoutes::clone(&known) };
        let routes = std::sync::Arc::new(routes);
        routes.shared.tapes.set_policy(&policy.tapes);
        self.publish(|all| all.with_app(routes.clone()));
        let running = routes.running_change();
        if let Some(change) =
            running.filter(|change| change.state == ChangeState::Live && change.life.is_some())
        {
            let canary = change.canary(&known.policy);
            let from_percent = change.life.as_ref().map_or(100.0, |life| life.percent(&canary));
            self.hear_in_turn(&routes, &change, Event::PolicyChanged { from_percent }).await?;
        }
        Ok(self.report(app, policy, set))
    }

    /// Refuses names in `patch` that lead nowhere. What was set before is let be: it may be of a version that comes back.
    async fn check_patch(
        &self,
        app: &AppName,
        patch: &Map<String, Value>,
    ) -> Result<(), CatalogError> {
        let known = self.app(app)?;
        let said = known.live().map(|live| live.record.policy.clone()).unwrap_or_default();
        let record = self.app_record(app).await?;
        let mut set = record.map(|(record, _)| record.policy).unwrap_or_default();
        merge(&mut set, patch.clone());
        let mut places = merged(&said, &set)?.places;
        let sets = |name: &str| {
            let place = patch.get("for").and_then(|places| places.get(name)?.as_object());
            place.is_some_and(|place| place.values().any(|value| !value.is_null()))
        };
        places.retain(|name, _| sets(name));
        for (name, place) in &mut places {
            let own = patch.get("for").and_then(|places| places.get(name)?.get("fallback"));
            if own.is_none() {
                place.fallback = None;
            }
        }
        self.check_names(app, &places).await
    }
}

/// What holds; if what was set does not fit it any more, what `belay.toml` says.
pub(super) fn policy_of(said: &Policy, set: &Map<String, Value>) -> Policy {
    merged(said, set).unwrap_or_else(|_| said.clone())
}

fn merged(said: &Policy, set: &Map<String, Value>) -> Result<Policy, CatalogError> {
    let wrong = |error: &dyn std::fmt::Display| CatalogError::Invalid(format!("policy: {error}"));
    let said = serde_json::to_value(said).map_err(|error| wrong(&error))?;
    let Value::Object(mut all) = said else { return Err(wrong(&"it is no object")) };
    merge(&mut all, set.clone());
    let policy: Policy = serde_json::from_value(Value::Object(all)).map_err(|e| wrong(&e))?;
    match policy.problem() {
        None => Ok(policy),
        Some(problem) => Err(wrong(&problem)),
    }
}

/// RFC 7396. In what is kept, `null` takes something away from what `belay.toml` says.
fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.remove(&name)),
            Value::Object(patch) => {
                let inner = target.entry(name).or_insert_with(|| Value::Object(Map::new()));
                if !inner.is_object() {
                    *inner = Value::Object(Map::new());
                }
                if let Value::Object(inner) = inner {
                    merge(inner, patch);
                }
            }
            other => drop(target.insert(name, other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use belay_model::Decimal;
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn what_is_set_goes_before_what_the_file_says() {
        let mut said = Policy::default();
        said.canary.hold_out = Decimal::whole(10);
        let mut set = map(json!({ "canary": { "ramp": [5, 50] } }));
        let policy = merged(&said, &set).unwrap();
        assert_eq!((policy.canary.ramp.len(), policy.canary.hold_out), (2, Decimal::whole(10)));
        merge(&mut set, map(json!({ "canary": { "ramp": null, "hold_out": 3 } })));
        let policy = merged(&said, &set).unwrap();
        assert_eq!((policy.canary.ramp.len(), policy.canary.hold_out), (4, Decimal::whole(3)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_name() {
        let refused = |set: Value| merged(&Policy::default(), &map(set)).unwrap_err().to_string();
        let texts = [
            json!({ "canary": { "rmp": [1] } }),
            json!({ "canary": { "ramp": "fast" } }),
            json!({ "canary": { "ramp": [50, 5] } }),
            json!({ "canary": { "key": "ip" } }),
            json!({ "judge": 7 }),
        ]
        .map(refused);
        insta::assert_snapshot!(texts.join("\n"));
    }
}
