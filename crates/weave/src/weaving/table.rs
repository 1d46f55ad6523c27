//! The old value of a large table, said by what differs from the new one.
//!
//! ```js
//! const rates = { de: 19, at: 20, … }, $belay_rates = { ...rates, at: 10 };
//! ```
//! The new keys are left out by a pattern. Keys come in the order of the old table, or it is kept as a whole.

use std::collections::BTreeSet;

use oxc::ast::AstType;

use super::{
    chain::Chain,
    hunk::{Emit, Side},
    nodes::at_load,
    weaver::Weaver,
};
use crate::syntax::{Marks, NodeId, Tree};

/// A shorter table is kept as it is.
const BYTES_MIN: usize = 120;

impl Weaver<'_> {
    /// The old table in terms of the new one, which `name` holds, if that is shorter.
    pub(super) fn old_table(
        &self,
        name: &str,
        (b, a): (NodeId, NodeId),
        chain: &Chain,
    ) -> Option<Vec<Emit>> {
        let (old, new) = (entries(self.before, b)?, entries(self.after, a)?);
        let whole = self.before.code(b).len();
        let position = |key: &str| new.iter().position(|(other, _)| other == key);
        let places: Vec<Option<usize>> = old.iter().map(|(key, _)| position(key)).collect();
        let common = places.iter().take_while(|place| place.is_some()).count();
        let sorted = places[..common].is_sorted() && places[common..].iter().all(Option::is_none);
        if !sorted || whole < BYTES_MIN {
            return None;
        }
        let differs = |(entry, place): &(&(String, NodeId), &Option<usize>)| {
            let twin = place.map(|place| new[place].1);
            !twin.is_some_and(|twin| self.same(entry.1, twin) && !self.is_made_of(twin, chain))
        };
        let own: Vec<NodeId> =
            old.iter().zip(&places).filter(differs).map(|(entry, _)| entry.1).collect();
        let added: Vec<&str> = new
            .iter()
            .filter(|(key, _)| !old.iter().any(|(other, _)| other == key))
            .map(|(key, _)| key.as_str())
            .collect();
        let bytes: usize = own.iter().map(|id| self.before.code(*id).len() + 2).sum();
        let dropped: usize = added.iter().map(|key| key.len() + 16).sum();
        if bytes + dropped + 40 > whole * 7 / 10 {
            return None;
        }
        let mut emit = vec![format!("{{ ...{}", rest_of(name, &added)).into()];
        for id in own {
            emit.extend([", ".into(), Emit::Code(Side::Before, self.before.span(id))]);
        }
        emit.push(" }".into());
        Some(emit)
    }

    /// Whether a value is made, when the module is loaded, of what has two values itself.
    fn is_made_of(&self, id: NodeId, chain: &Chain) -> bool {
        let tree = self.after;
        tree.subtree(id).any(|id| {
            let variable = tree.node(id).variable.map(|variable| tree.variable(variable));
            variable.is_some_and(|variable| chain.names.contains(&*variable.name))
                && at_load(tree, id)
        })
    }
}

/// What a table has but for some keys.
fn rest_of(name: &str, without: &[&str]) -> String {
    if without.is_empty() {
        return name.to_owned();
    }
    let keys = without.iter().enumerate().map(|(number, key)| {
        let key = serde_json::Value::from(*key);
        format!("{key}: $belay_{number}")
    });
    let keys: Vec<String> = keys.collect();
    format!("(({{ {}, ...$belay_rest }}) => $belay_rest)({name})", keys.join(", "))
}

/// The entries of an object with plain keys, each once.
fn entries(tree: &Tree<'_>, object: NodeId) -> Option<Vec<(String, NodeId)>> {
    if tree.ty(object) != AstType::ObjectExpression {
        return None;
    }
    let children = tree.node(object).children.iter();
    let entries: Option<Vec<(String, NodeId)>> =
        children.map(|id| Some((key(tree, *id)?, *id))).collect();
    let entries = entries?;
    let keys: BTreeSet<&String> = entries.iter().map(|(key, _)| key).collect();
    // Keys that are numbers come before all others.
    let plain = |key: &String| key != "__proto__" && !key.starts_with(|c: char| c.is_ascii_digit());
    (keys.len() == entries.len() && keys.into_iter().all(plain)).then_some(entries)
}

/// The key of a property that is neither computed nor a method.
pub(super) fn key(tree: &Tree<'_>, property: NodeId) -> Option<String> {
    let node = tree.node(property);
    let special = [Marks::METHOD, Marks::ACCESSOR, Marks::COMPUTED];
    let plain = matches!(node.ty, AstType::ObjectProperty | AstType::BindingProperty)
        && !special.into_iter().any(|mark| node.marks.has(mark));
    let key = *node.children.first().filter(|_| plain)?;
    match tree.ty(key) {
        AstType::IdentifierName => Some(tree.code(key).to_owned()),
        AstType::StringLiteral => tree.node(key).text.map(str::to_owned),
        _ => None,
    }
}
