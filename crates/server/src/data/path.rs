//! Which handler a path belongs to.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What a path asks for. Names are decoded, the rest of a trigger's path is as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    /// `/2015-03-31/functions/{name}/invocations`
    Invocations {
        name: Cow<'a, str>,
    },
    /// `/fn/{name}` and everything below it.
    Trigger {
        name: Cow<'a, str>,
        path: &'a str,
    },
    Unknown,
}

impl<'a> Resource<'a> {
    pub(super) fn of(path: &'a str) -> Self {
        if let Some(rest) = path.strip_prefix("/2015-03-31/functions/") {
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            return match rest.rsplit_once('/') {
                Some((name, "invocations")) if !name.contains('/') => {
                    Self::decoded(name, |name| Self::Invocations { name })
                }
                _ => Self::Unknown,
            };
        }
        let Some(rest) = path.strip_prefix("/fn/") else { return Self::Unknown };
        let (name, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        Self::decoded(name, |name| Self::Trigger { name, path })
    }

    fn decoded(name: &'a str, make: impl FnOnce(Cow<'a, str>) -> Self) -> Self {
        match percent_decode_str(name).decode_utf8() {
            Ok(name) if !name.is_empty() => make(name),
            Ok(_) | Err(_) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(path: &str, expected: &Resource<'_>) {
        assert_eq!(Resource::of(path), *expected, "{path}");
    }

    #[test]
    fn invocations() {
        let named = |name| Resource::Invocations { name: Cow::Borrowed(name) };
        check("/2015-03-31/functions/f/invocations", &named("f"));
        check("/2015-03-31/functions/f/invocations/", &named("f"));
        check(
            "/2015-03-31/functions/shop.price%3A%24LATEST/invocations",
            &named("shop.price:$LATEST"),
        );
        check("/2015-03-31/functions/f", &Resource::Unknown);
        check("/2015-03-31/functions//invocations", &Resource::Unknown);
        check("/2015-03-31/functions/a/b/invocations", &Resource::Unknown);
        check("/2015-03-31/functions/%ff/invocations", &Resource::Unknown);
        check("/2014-11-13/functions/f/invoke-async", &Resource::Unknown);
    }

    #[test]
    fn triggers() {
        let at = |name, path| Resource::Trigger { name: Cow::Borrowed(name), path };
        check("/fn/f", &at("f", "/"));
        check("/fn/f/", &at("f", "/"));
        check("/fn/shop.f:3/a%2Fb//c", &at("shop.f:3", "/a%2Fb//c"));
        check("/fn/", &Resource::Unknown);
        check("/fn", &Resource::Unknown);
        check("/", &Resource::Unknown);
    }

    proptest! {
        #[test]
        fn any_path_is_taken(path in "(/2015-03-31/functions/|/fn/)?\\PC{0,60}(/invocations)?") {
            let _ = Resource::of(&path);
        }
    }
}
