//! Which package depends on which: every edge must be in the table.
//!
//! Does not look inside sources; that is [`crate::purity`].

use crate::{
    Package, Row,
    workspace::{Dependency, Kind},
};

/// One sentence for each arrow that the rows do not allow, and for each package without a row.
pub fn findings(packages: &[Package], rows: &[Row]) -> Vec<String> {
    packages.iter().flat_map(|package| of_package(package, rows)).collect()
}

fn of_package(package: &Package, rows: &[Row]) -> Vec<String> {
    let Some(row) = rows.iter().find(|row| row.package == package.name) else {
        return vec![format!("package {} has no row in the table of arrows", package.name)];
    };
    package.dependencies.iter().filter_map(|dependency| of_edge(row, dependency, rows)).collect()
}

fn of_edge(row: &Row, dependency: &Dependency, rows: &[Row]) -> Option<String> {
    if dependency.path.is_some() {
        let allowed = row.may_use.contains(&dependency.name.as_str());
        return (!allowed)
            .then(|| format!("new arrow: {} must not depend on {}", row.package, dependency.name));
    }
    // Tests may stand on what the crate itself must not: a peer to talk to, a second opinion.
    if dependency.kind == Some(Kind::Dev) {
        return None;
    }
    let owner = rows.iter().find(|row| owns(row, &dependency.name))?;
    (owner.package != row.package).then(|| {
        let (user, foreign, owner) = (row.package, &dependency.name, owner.package);
        format!("new arrow: {user} must not depend on {foreign}; only {owner} does")
    })
}

fn owns(row: &Row, foreign: &str) -> bool {
    row.owns.iter().any(|start| {
        foreign
            .strip_prefix(start)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    })
}
