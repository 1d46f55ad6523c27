//! Exports that have two values, and those who import them: every directory of `fixtures/importers/`.
//!
//! The modules of both versions are woven and run in Node beside the plain ones: with all arms at one version, `main`
//! must answer what that version answers.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use belay_model::{Arm, HunkKind, ModuleKind};
use belay_weave::{Loose, Sources, Tying, Weave, same_code};

const DRIVER: &str = r#"
const { join } = require("path");
globalThis.$belay = new Uint8Array(256);
globalThis.$belay_arm = () => 0;
globalThis.$belay_settable = globalThis.$belay_enter = globalThis.$belay_leave = () => {};
(async () => {
  for (const program of process.argv.slice(1)) {
    const [directory, arms] = program.split("=");
    $belay.fill(0).set(arms.split("").map(Number));
    const { main } = await import(join(directory, "main.mjs"));
    console.log(JSON.stringify(await main()));
  }
})();
"#;

fn read(directory: &Path) -> Sources {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), fs::read_to_string(&path).unwrap().into())).collect()
}

fn woven(directory: &Path) -> (Sources, Sources, Weave) {
    let (before, after) = (read(&directory.join("before")), read(&directory.join("after")));
    let weave = Loose::read(&before, &after).weave(Tying::Default);
    let wrong: Vec<_> = weave.mismatches().collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    (before, after, weave)
}

/// What `main` of each program answers, one after the other. The arm of each part is a digit, `1` for after.
fn answers(programs: &[(Sources, String)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let mut node = Command::new("node");
    node.args(["-e", DRIVER, "--"]);
    for (number, (sources, arms)) in programs.iter().enumerate() {
        let own = directory.path().join(number.to_string());
        fs::create_dir(&own).unwrap();
        for (name, text) in sources {
            fs::write(own.join(name), text.as_bytes()).unwrap();
        }
        node.arg(format!("{}={arms}", own.display()));
    }
    let output = node.output().expect("node is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    answers.lines().map(str::to_owned).collect()
}

/// With each part alone the other way round: what runs, and the sources that it comes to.
fn mixtures(weave: &Weave) -> Vec<[(Sources, String); 2]> {
    let parts = weave.parts();
    let mixture = |(of, alone): (usize, bool)| {
        let arm = |part: usize| if (part == of) == alone { Arm::After } else { Arm::Before };
        let image = parts.iter().position(|part| part.image).map_or(Arm::After, arm);
        let told = |part: usize| if arm(part) == Arm::After { "1" } else { "0" };
        let arms: String = (0..parts.len()).map(told).collect();
        let resolved = weave.resolve(&|part| arm(usize::from(part.0))).unwrap().1;
        [(weave.sources(image), arms), (resolved, String::new())]
    };
    (0..parts.len()).flat_map(|of| [(of, true), (of, false)]).map(mixture).collect()
}

#[test]
fn importers() {
    insta::glob!("fixtures/importers/*", |directory| {
        let (before, after, weave) = woven(directory);
        let mut out = String::new();
        let mut programs = Vec::new();
        for (plain, arm) in [(&before, Arm::Before), (&after, Arm::After)] {
            let arms = if arm == Arm::After { "1" } else { "0" }.repeat(weave.parts_len());
            programs.extend([(plain.clone(), String::new()), (weave.sources(arm), arms)]);
            let resolved = weave.resolve(&|_| arm).unwrap().1;
            assert_eq!(resolved.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
            for (path, text) in plain {
                let kind =
                    if path.ends_with(".cjs") { ModuleKind::CommonJs } else { ModuleKind::Esm };
                assert!(same_code(path, kind, &resolved[path], text), "{path}: {}", resolved[path]);
            }
        }
        programs.extend(mixtures(&weave).into_iter().flatten());
        let answers = answers(&programs);
        assert_eq!(answers.len(), programs.len());
        for (pair, programs) in answers.chunks(2).zip(programs.chunks(2)) {
            assert_eq!(pair[0], pair[1], "{programs:#?}");
        }
        writeln!(out, "{}\n{}", answers[0], answers[2]).unwrap();
        for part in weave.parts() {
            writeln!(out, "{:?}{}", part.id, if part.image { " image" } else { "" }).unwrap();
            for hunk in part.hunks {
                let reason = hunk.reason.map_or(String::new(), |reason| reason.message);
                writeln!(out, "  {:?} {} {reason}", hunk.kind, hunk.edit.module).unwrap();
            }
        }
        for (path, text) in weave.sources(Arm::After) {
            writeln!(out, "--- {path}\n{text}").unwrap();
        }
        insta::assert_snapshot!(out);
    });
}

/// Names are parts of their own, and none of them needs a second image.
#[test]
fn names_are_chosen_one_by_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/importers");
    let (_, _, weave) = woven(&root.join("named"));
    assert!(weave.parts_len() > 1, "{:?}", weave.parts());
    for directory in ["named", "further", "namespace", "changed", "cycle"] {
        let (_, _, weave) = woven(&root.join(directory));
        let parts = weave.parts();
        let mut hunks = parts.iter().flat_map(|part| &part.hunks);
        assert!(hunks.all(|hunk| hunk.kind != HunkKind::Image), "{directory}: {parts:?}");
    }
}
