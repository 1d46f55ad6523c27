//! What the tests share: file systems, a fixture format, and diagnostics as text.
//!
//! A fixture is one text file with many files in it. `--- path` starts a file, `--- path -> target`
//! is a symbolic link. Lines before the first one are settings: `root: /app` and `entry: name =
//! path#export`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use belay_model::{AppManifest, Diagnostic, FunctionSpec, Limits, Severity};
use belay_weave::{
    Compiled, EntryPoint, FileKind, GraphResult, Meta, SourceFs, compile, resolve_graph,
};

/// Files and symbolic links by absolute path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(pub(crate) Arc<BTreeMap<PathBuf, Node>>);

#[derive(Debug, Clone)]
pub(crate) enum Node {
    File(Vec<u8>),
    Link(PathBuf),
}

impl Memory {
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let node = |(path, text): &(&str, &str)| {
            (PathBuf::from(path), Node::File(text.as_bytes().to_vec()))
        };
        Self(Arc::new(files.iter().map(node).collect()))
    }

    /// Follows links in every component; the last one only if asked.
    fn follow(&self, path: &Path, last: bool) -> io::Result<PathBuf> {
        let mut out = PathBuf::new();
        let parts: Vec<_> = path.components().collect();
        for (index, part) in parts.iter().enumerate() {
            match part {
                Component::ParentDir => drop(out.pop()),
                Component::CurDir => {}
                part => out.push(part),
            }
            let follow = last || index + 1 < parts.len();
            if let Some(Node::Link(target)) = self.0.get(&out).filter(|_| follow) {
                let base = out.parent().unwrap_or(Path::new("/")).join(target);
                out = self.follow(&base, true)?;
            }
        }
        Ok(out)
    }

    fn kind(&self, path: &Path) -> io::Result<Meta> {
        match self.0.get(path) {
            Some(Node::File(text)) => Ok(Meta { kind: FileKind::File, len: text.len() as u64 }),
            Some(Node::Link(_)) => Ok(Meta { kind: FileKind::Symlink, len: 0 }),
            None if self.0.keys().any(|key| key.starts_with(path)) => {
                Ok(Meta { kind: FileKind::Dir, len: 0 })
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl SourceFs for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.0.get(&self.follow(path, true)?) {
            Some(Node::File(text)) => Ok(text.clone()),
            Some(Node::Link(_)) | None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn metadata(&self, path: &Path) -> io::Result<Meta> {
        self.kind(&self.follow(path, true)?)
    }

    fn symlink_metadata(&self, path: &Path) -> io::Result<Meta> {
        self.kind(&self.follow(path, false)?)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        match self.0.get(&self.follow(path, false)?) {
            Some(Node::Link(target)) => Ok(target.clone()),
            Some(Node::File(_)) | None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let path = self.follow(path, true)?;
        self.kind(&path).map(|_| path)
    }

    fn list(&self, directory: &Path) -> Vec<String> {
        let rest = self.0.keys().filter_map(|key| key.strip_prefix(directory).ok());
        let first = rest.filter_map(|rest| rest.components().next());
        let mut names: Vec<_> =
            first.map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
        names.dedup();
        names
    }
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk;

impl SourceFs for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }
    fn metadata(&self, path: &Path) -> io::Result<Meta> {
        fs::metadata(path).map(|found| disk_meta(&found))
    }
    fn symlink_metadata(&self, path: &Path) -> io::Result<Meta> {
        fs::symlink_metadata(path).map(|found| disk_meta(&found))
    }
    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        fs::read_link(path)
    }
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }
}

fn disk_meta(found: &fs::Metadata) -> Meta {
    let kind = match found.file_type() {
        kind if kind.is_file() => FileKind::File,
        kind if kind.is_dir() => FileKind::Dir,
        kind if kind.is_symlink() => FileKind::Symlink,
        _ => FileKind::Other,
    };
    Meta { kind, len: found.len() }
}

pub(crate) struct Fixture {
    pub(crate) fs: Memory,
    pub(crate) root: PathBuf,
    pub(crate) entries: Vec<EntryPoint>,
}

impl Fixture {
    pub(crate) fn parse(text: &str) -> Self {
        let mut sections = text.split("\n--- ");
        let settings = sections.next().unwrap_or_default();
        let nodes = sections.map(|section| {
            let (head, body) = section.split_once('\n').unwrap_or((section, ""));
            match head.split_once(" -> ") {
                Some((path, target)) => (PathBuf::from(path), Node::Link(PathBuf::from(target))),
                None => (PathBuf::from(head), Node::File(format!("{body}\n").into_bytes())),
            }
        });
        let value = |key: &str| {
            let key = format!("{key}: ");
            settings
                .lines()
                .filter_map(move |line| line.strip_prefix(&key).map(str::to_owned))
                .collect::<Vec<_>>()
        };
        Self {
            fs: Memory(Arc::new(nodes.collect())),
            root: value("root").first().map_or("/app".into(), PathBuf::from),
            entries: value("entry").iter().map(|line| entry(line)).collect(),
        }
    }
}

/// `name = path#export`.
pub(crate) fn entry(line: &str) -> EntryPoint {
    let (name, place) = line.split_once(" = ").unwrap();
    let (module, export) = place.split_once('#').unwrap();
    EntryPoint { function: name.parse().unwrap(), module: module.into(), export: export.to_owned() }
}

/// The manifest that the CLI would upload.
pub(crate) fn manifest(graph: &GraphResult) -> AppManifest {
    let functions = graph.entries.iter().map(|entry| {
        let spec = FunctionSpec {
            module: entry.module.clone(),
            export: entry.export.clone(),
            limits: Limits::default(),
            tags: belay_model::Tags::default(),
        };
        (entry.function.clone(), spec)
    });
    AppManifest {
        app: "test".parse().unwrap(),
        functions: functions.collect(),
        environment: belay_model::EnvironmentName::default(),
        env: BTreeMap::new(),
        egress: belay_model::EgressPolicy::default(),
        databases: BTreeMap::new(),
        transactions: BTreeMap::new(),
        tags: belay_model::AppTags::default(),
        policy: belay_model::Policy::default(),
        modules: graph.modules.clone(),
    }
}

pub(crate) fn compile_graph(graph: &GraphResult) -> Result<Compiled, Vec<Diagnostic>> {
    let source = |hash: &belay_model::Hash| {
        graph.sources.get(hash).map(|bytes| Arc::from(String::from_utf8(bytes.clone()).unwrap()))
    };
    compile(&manifest(graph), &source)
}

/// Resolves files held in memory under `/app`.
pub(crate) fn graph(files: &[(&str, &str)], entries: &[&str]) -> GraphResult {
    let entries: Vec<_> = entries.iter().map(|line| entry(line)).collect();
    resolve_graph(&Memory::of(files), Path::new("/app"), &entries)
}

pub(crate) fn errors(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    diagnostics.iter().filter(|d| d.severity == Severity::Error).collect()
}

/// As a compiler prints them.
pub(crate) fn render(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
        writeln!(out, "{severity}[{}]: {}", diagnostic.code, diagnostic.message).unwrap();
        diagnostic.labels.iter().for_each(|label| render_label(&mut out, label));
        if !diagnostic.chain.is_empty() {
            writeln!(out, "  via {}", diagnostic.chain.join(" → ")).unwrap();
        }
        diagnostic.help.iter().for_each(|help| writeln!(out, "  help: {help}").unwrap());
    }
    out
}

fn render_label(out: &mut String, label: &belay_model::Label) {
    writeln!(out, "  {}:{}:{}", label.path, label.line, label.column).unwrap();
    let (start, end) = (label.span.0 as usize, label.span.1 as usize);
    let mut at = 0;
    for (number, line) in (label.snippet_line..).zip(label.snippet.split_inclusive('\n')) {
        writeln!(out, "  {number:>4} | {}", line.trim_end()).unwrap();
        if (at..at + line.len()).contains(&start) || (start == at && line.is_empty()) {
            let width = (end.min(at + line.trim_end().len()).max(start + 1)) - start;
            writeln!(
                out,
                "       | {}{} {}",
                " ".repeat(start - at),
                "^".repeat(width),
                label.text
            )
            .unwrap();
        }
        at += line.len();
    }
}
