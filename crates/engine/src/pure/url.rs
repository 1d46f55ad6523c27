//! URLs by the WHATWG standard, over the `url` crate.
//!
//! A parsed URL is answered as eleven lines (no component can contain a newline): href, origin, protocol, username,
//! password, host, hostname, port, pathname, search, hash. So the guest splits once and keeps plain strings.

use url::{Url, quirks};

use super::PureError;

/// Most bytes of one URL, base included.
const URL_BYTES_MAX: usize = 1 << 20;

/// `text` is the base's href (empty for none), a newline, and the input.
pub(super) fn parse(text: &str) -> Result<String, PureError> {
    let (base, input) = text.split_once('\n').unwrap_or(("", text));
    let invalid = |_| PureError::type_error(format!("Invalid URL: {}", shown(input)));
    check_size(text)?;
    let base = match base {
        "" => None,
        base => Some(Url::parse(base).map_err(invalid)?),
    };
    let url = Url::options().base_url(base.as_ref()).parse(input).map_err(invalid)?;
    Ok(components(&url))
}

/// `text` is an href, a newline, a component's name, a newline, and the new value.
/// A value that the component cannot take leaves the URL as it was, as the standard says.
pub(super) fn set(text: &str) -> Result<String, PureError> {
    let mut fields = text.splitn(3, '\n');
    let (Some(href), Some(component), Some(value)) = (fields.next(), fields.next(), fields.next())
    else {
        return Err(PureError::type_error("url.set takes a URL, a component and a value"));
    };
    check_size(text)?;
    let mut url =
        Url::parse(href).map_err(|_| PureError::type_error(format!("Invalid URL: {href}")))?;
    let before = url.clone();
    if assign(&mut url, component, value).is_err() {
        url = before;
    }
    Ok(components(&url))
}

fn assign(url: &mut Url, component: &str, value: &str) -> Result<(), ()> {
    match component {
        "protocol" => return quirks::set_protocol(url, value),
        "username" => return quirks::set_username(url, value),
        "password" => return quirks::set_password(url, value),
        "host" => return quirks::set_host(url, value),
        "hostname" => return quirks::set_hostname(url, value),
        "port" => return quirks::set_port(url, value),
        "pathname" => quirks::set_pathname(url, value),
        "search" => quirks::set_search(url, value),
        "hash" => quirks::set_hash(url, value),
        _ => return Err(()),
    }
    Ok(())
}

fn components(url: &Url) -> String {
    [
        quirks::href(url),
        &quirks::origin(url),
        quirks::protocol(url),
        quirks::username(url),
        quirks::password(url),
        quirks::host(url),
        quirks::hostname(url),
        quirks::port(url),
        quirks::pathname(url),
        quirks::search(url),
        quirks::hash(url),
    ]
    .join("\n")
}

fn check_size(text: &str) -> Result<(), PureError> {
    if text.len() > URL_BYTES_MAX {
        return Err(PureError::type_error("Invalid URL: longer than 1 MiB"));
    }
    Ok(())
}

/// The start of a refused input, short enough for a message.
fn shown(input: &str) -> String {
    input.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn href(text: &str) -> Option<String> {
        parse(text).ok().and_then(|parts| parts.split('\n').next().map(str::to_owned))
    }

    #[test]
    fn components_come_in_order() {
        let parts = parse("\nhttps://u:p@EXAMPLE.com:8443/a/../b?q=1#f").unwrap();
        let expected = [
            "https://u:p@example.com:8443/b?q=1#f",
            "https://example.com:8443",
            "https:",
            "u",
            "p",
            "example.com:8443",
            "example.com",
            "8443",
            "/b",
            "?q=1",
            "#f",
        ];
        assert_eq!(parts.split('\n').collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_base_resolves_relative_input() {
        assert_eq!(href("https://a.b/c/d\n../e").as_deref(), Some("https://a.b/e"));
        assert_eq!(href("\n../e"), None);
        assert_eq!(href("https://a.b/\n\u{9}x\ny").as_deref(), Some("https://a.b/xy"));
    }

    #[test]
    fn a_refused_value_changes_nothing() {
        let same = parse("\nhttps://a.b/").unwrap();
        assert_eq!(set("https://a.b/\nport\nx").unwrap(), same);
        assert_eq!(set("https://a.b/\nprotocol\nmailto").unwrap(), same);
        assert!(set("https://a.b/\nport\n81").unwrap().starts_with("https://a.b:81/\n"));
    }
}
