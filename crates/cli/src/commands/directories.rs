//! Where `belay up` keeps things when it is not told: the places that the XDG base directory specification names.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The data directory: the one given, else the user's.
pub(super) fn data(given: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(|| own("XDG_DATA_HOME", ".local/share"))
}

/// The cache directory: the one given, else the user's.
pub(super) fn cache(given: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(|| own("XDG_CACHE_HOME", ".cache"))
}

/// The specification has relative paths ignored.
fn own(variable: &str, within_home: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = named.or_else(|| env::home_dir().map(|home| home.join(within_home)))?;
    Some(base.join("belay"))
}
