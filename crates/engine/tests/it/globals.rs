//! The globals of the runtime. Each file of `tests/globals/` is a module whose handler checks a table of cases inside
//! the engine; here it is deployed, its host calls are answered, and what it logged is compared with a snapshot.

mod host;

use std::{
    fs,
    path::{Path, PathBuf},
};

use belay_engine::{Instance, Program, Start, Step};
use belay_model::{Failure, Limits};

use crate::support::{build, deep, module, program};
use host::Host;

const CONTEXT: &str = r#"{"awsRequestId":"r-1","functionName":"f","functionVersion":"3","invokedFunctionArn":"arn",
    "memoryLimitInMB":128,"deadlineMs":9e15,"traceparent":"00-a-b-01"}"#;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/globals")
}

fn fixture(path: &Path) -> Program {
    let code = fs::read_to_string(path).expect("the fixture");
    let shared = fs::read_to_string(folder().join("assert.mjs")).expect("what fixtures share");
    let mut program = program(&code, &["handler"]);
    program.modules[0] =
        module("main.js", &code, &[("belay", "belay"), ("./assert.mjs", "assert.mjs")]);
    program.modules.push(module("assert.mjs", &shared, &[]));
    program
}

fn run(instance: &mut Instance) -> Result<String, Failure> {
    let mut host = Host::default();
    loop {
        match instance.step() {
            Step::Done(result) => return Ok(result),
            Step::Failed(failure) => return Err(failure),
            Step::Pending { calls, cancelled } => {
                calls.into_iter().for_each(|call| host.take(call));
                host.drop(&cancelled);
                let (call, outcome) = host.answer().expect("something to answer");
                instance.resolve(call, outcome);
            }
        }
    }
}

fn check(path: &Path) -> (Result<String, Failure>, String) {
    let image = match build(&fixture(path)) {
        Ok(built) => built.image,
        Err(error) => panic!("{}: {error}: {error:?}", path.display()),
    };
    deep(|| {
        let limits = Limits::default();
        let request =
            Start { entry: 0, event: "{}", context: CONTEXT, limits, seed: [7; 32], arms: &[] };
        let mut instance = image.start(request).expect("an instance");
        let result = run(&mut instance);
        let lines = instance.take_logs().into_iter().map(|l| format!("{:?} {}", l.level, l.text));
        (result, lines.collect::<Vec<_>>().join("\n"))
    })
}

#[test]
fn every_global_does_what_its_standard_says() {
    insta::glob!("../globals", "*.js", |path| {
        let (result, log) = check(path);
        assert_eq!(result.map_err(|f| f.message), Ok(r#""ok""#.to_owned()), "{}", path.display());
        if !log.is_empty() {
            insta::assert_snapshot!(log);
        }
    });
}
