//! What a tape must not hold, and how it is taken out.
//!
//! A field is hidden by its name or path, a header by its name. What was hidden in something that came in is a
//! *literal* from then on: wherever else it occurs, in an argument, a key or a message, it is replaced, too. The
//! same marker takes its place everywhere, and it is what a replayed function gets to see; so a call that contained
//! the value contains the marker in its replay, and the two are equal.
//!
//! Invariants: redacting twice is redacting once; what the host's own protocol calls a field (`key`, `url`) is not
//! taken for one of the user's.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use belay_model::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Json,
    scan::{self, Edit, MARK, Place},
};

/// What is taken out of tapes. Names are compared without regard to case, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redaction {
    /// Names of fields, at any depth; and of parameters in URLs and forms.
    pub fields: Vec<String>,
    /// Keys that lead to a field from the root of the event, the result, the arguments, the answer or the body,
    /// joined by dots, without the indexes of arrays: `customer.cards.number`.
    pub paths: Vec<String>,
    /// Names of headers; also fields of these names.
    pub headers: Vec<String>,
}

const FIELDS: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "client_secret",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "api_key",
    "private_key",
    "card_number",
    "cvv",
    "cookies",
    "otp",
];
const HEADERS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-amz-security-token",
];

impl Default for Redaction {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self { fields: owned(&FIELDS), paths: Vec::new(), headers: owned(&HEADERS) }
    }
}

impl Redaction {
    /// Takes out nothing but secrets.
    pub fn none() -> Self {
        Self { fields: Vec::new(), paths: Vec::new(), headers: Vec::new() }
    }
}

/// Shorter ones would be found where they are not meant.
const LITERAL_BYTES_MIN: usize = 6;
const SECRET_BYTES_MIN: usize = 4;
const LITERALS_MAX: usize = 256;

/// Values that were hidden, and what stands for them.
#[derive(Default)]
pub(super) struct Literals {
    /// The longest first, so that a value is not spoilt by a part of it.
    replaced: Vec<(String, String)>,
    /// Too short to be looked for within others.
    whole: Vec<(String, String)>,
}

/// What a function sees in place of a secret when it is replayed.
pub(super) fn secret_mark(name: &str) -> String {
    format!("belay-secret-{}", &Hash::of(name.as_bytes()).to_hex()[..8])
}

impl Literals {
    /// Also in the forms in which it travels.
    pub(super) fn add_secret(&mut self, name: &str, value: &str) {
        let mark = secret_mark(name);
        if value.len() < SECRET_BYTES_MIN {
            return self.whole.push((value.to_owned(), mark));
        }
        let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let percent = encoded.replace('+', "%20");
        for form in [BASE64_STANDARD.encode(value), encoded, percent, value.to_owned()] {
            self.add(form, &mark);
        }
    }

    /// A string, and the words of one such as `Bearer …` or `a=…; b=…`.
    fn add_text(&mut self, text: &str) {
        let words = text.split([' ', ';', ',', '=', '&']).filter(|word| *word != text);
        for part in words.chain([text]).filter(|part| part.len() >= LITERAL_BYTES_MIN) {
            self.add(part.to_owned(), MARK);
        }
    }

    fn add(&mut self, value: String, mark: &str) {
        let known = self.replaced.iter().any(|(other, _)| *other == value);
        if known || self.replaced.len() >= LITERALS_MAX || MARK.contains(&value) {
            return;
        }
        let at = self.replaced.partition_point(|(other, _)| other.len() >= value.len());
        self.replaced.insert(at, (value, mark.to_owned()));
    }

    fn add_all(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add_text(text),
            Value::Array(items) => items.iter().for_each(|item| self.add_all(item)),
            Value::Object(map) => map.values().for_each(|value| self.add_all(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// `None` where nothing occurs.
    pub(super) fn replace(&self, text: &str) -> Option<String> {
        if let Some((_, mark)) = self.whole.iter().find(|(value, _)| value == text) {
            return Some(mark.clone());
        }
        let mut found: Option<String> = None;
        for (value, mark) in &self.replaced {
            let now = found.as_deref().unwrap_or(text);
            if now.contains(value) {
                found = Some(now.replace(value, mark));
            }
        }
        found
    }

    fn replace_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let found = self.replaced.iter().any(|(value, _)| contains(bytes, value.as_bytes()));
        found.then(|| {
            self.replaced.iter().fold(bytes.to_vec(), |bytes, (value, mark)| {
                replaced(&bytes, value.as_bytes(), mark.as_bytes())
            })
        })
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn replaced(mut bytes: &[u8], part: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    while let Some((first, rest)) = bytes.split_first() {
        if let Some(rest) = bytes.strip_prefix(part) {
            out.extend(by);
            bytes = rest;
        } else {
            out.push(*first);
            bytes = rest;
        }
    }
    out
}

/// Rules in the form in which they are applied.
pub(super) struct Redactor {
    fields: BTreeSet<String>,
    paths: BTreeSet<String>,
    headers: BTreeSet<String>,
}

/// What a JSON text is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The user's own: an event, a result, a body.
    Document,
    /// The arguments or the answer of a call.
    Effect,
}

impl Redactor {
    pub(super) fn new(rules: &Redaction) -> Self {
        let headers: BTreeSet<_> = rules.headers.iter().map(|name| folded(name)).collect();
        let fields = rules.fields.iter().map(|name| folded(name));
        let paths = rules.paths.iter().map(|path| folded(path)).collect();
        Self { fields: fields.chain(headers.clone()).collect(), paths, headers }
    }

    /// Keeps what is hidden in `json` as literals.
    pub(super) fn collect(&self, kind: Kind, json: &Json, into: &mut Literals) {
        let none = Literals::default();
        let mut editor = Editor::new(self, kind, &none);
        scan::edited(json.as_str(), &mut editor);
        editor.values.iter().for_each(|value| into.add_all(value));
    }

    /// As [`Self::collect`], where bytes may be JSON or a form.
    pub(super) fn collect_body(&self, body: &[u8], into: &mut Literals) {
        let Ok(text) = std::str::from_utf8(body) else { return };
        match Json::parse(text) {
            Some(json) => self.collect(Kind::Document, &json, into),
            None => drop(self.parameters(text, &mut |value| into.add_text(value))),
        }
    }

    /// `None` where nothing is hidden.
    pub(super) fn json(&self, kind: Kind, json: &Json, literals: &Literals) -> Option<Json> {
        let mut editor = Editor::new(self, kind, literals);
        let edited = scan::edited(json.as_str(), &mut editor);
        editor.changed.then(|| Json::trusted(edited))
    }

    /// `None` where nothing is hidden.
    pub(super) fn body(&self, body: &[u8], literals: &Literals) -> Option<Vec<u8>> {
        let Ok(text) = std::str::from_utf8(body) else { return literals.replace_bytes(body) };
        if let Some(json) = Json::parse(text) {
            let redacted = self.json(Kind::Document, &json, literals);
            return redacted.map(|json| json.as_str().as_bytes().to_vec());
        }
        let form = self.parameters(text, &mut |_| {});
        let text = form.as_deref().unwrap_or(text);
        literals.replace(text).or_else(|| form.clone()).map(String::into_bytes)
    }

    /// `name=value` pairs joined by `&`, with the values of hidden names replaced; `None` where there are none.
    fn parameters(&self, text: &str, hidden: &mut dyn FnMut(&str)) -> Option<String> {
        let mut any = false;
        let pairs = text.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) if self.fields.contains(&folded(name)) && value != MARK => {
                any = true;
                hidden(value);
                format!("{name}={MARK}")
            }
            _ => pair.to_owned(),
        });
        let pairs = pairs.collect::<Vec<_>>();
        any.then(|| pairs.join("&"))
    }

    fn url(&self, url: &str, hidden: &mut dyn FnMut(&str)) -> Option<String> {
        let (place, query) = url.split_once('?').filter(|_| url.starts_with("http"))?;
        let (query, fragment) = query.split_once('#').map_or((query, None), |(q, f)| (q, Some(f)));
        let query = self.parameters(query, hidden)?;
        let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
        Some(format!("{place}?{query}{fragment}"))
    }
}

fn folded(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

struct Editor<'r> {
    rules: &'r Redactor,
    kind: Kind,
    literals: &'r Literals,
    values: Vec<Value>,
    changed: bool,
}

impl<'r> Editor<'r> {
    fn new(rules: &'r Redactor, kind: Kind, literals: &'r Literals) -> Self {
        Self { rules, kind, literals, values: Vec::new(), changed: false }
    }

    /// Whether the host gave the field its name.
    fn is_protocol(&self, keys: &[String]) -> bool {
        let within = |key: &String| matches!(key.as_str(), "checks" | "writes" | "entries");
        let own = keys.len() == 1 || (keys.len() == 2 && within(&keys[0]));
        self.kind == Kind::Effect && own
    }

    fn hides_field(&self, keys: &[String]) -> bool {
        let Some(key) = keys.last().filter(|_| !self.is_protocol(keys)) else { return false };
        let path = || folded(&keys.join("."));
        let by_path = !self.rules.paths.is_empty() && self.rules.paths.contains(&path());
        by_path || self.rules.fields.contains(&folded(key))
    }
}

impl Edit for Editor<'_> {
    fn hides(&mut self, place: &Place<'_>) -> bool {
        match place.header {
            Some(name) => self.rules.headers.contains(&folded(name)),
            None => self.hides_field(place.keys),
        }
    }

    fn hidden(&mut self, value: &str) {
        let value = serde_json::from_str(value).unwrap_or_default();
        self.changed |= value != *MARK;
        self.values.push(value);
    }

    fn text(&mut self, text: &str) -> Option<String> {
        let values = &mut self.values;
        let url = self.rules.url(text, &mut |value| values.push(Value::from(value)));
        let replaced = self.literals.replace(url.as_deref().unwrap_or(text)).or(url);
        self.changed |= replaced.is_some();
        replaced
    }
}
