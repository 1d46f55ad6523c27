//! What callers put into paths and headers: names of functions, qualifiers, trace contexts.
//!
//! What is accepted and written again reads the same.

#![no_main]

use belay_model::{FunctionRef, Qualifier};
use belay_server::{data::name::FunctionTarget, telemetry::TraceContext};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (name, qualifier) = text.split_once('\n').map_or((text, None), |(a, b)| (a, Some(b)));
    if let Ok(target) = FunctionTarget::parse(name, qualifier) {
        check(&target);
    }
    if let Ok(trace) = text.parse::<TraceContext>() {
        assert_eq!(trace.to_string().parse(), Ok(trace));
    }
});

fn check(target: &FunctionTarget) {
    let name = target.function.to_string();
    assert_eq!(name.parse::<FunctionRef>().as_ref(), Ok(&target.function));
    let qualified = match &target.qualifier {
        Qualifier::Live => name,
        Qualifier::Version(version) => format!("{name}:{version}"),
        Qualifier::Alias(alias) => format!("{name}:{alias}"),
    };
    let arn = format!("arn:aws:lambda:local:000000000000:function:{qualified}");
    assert_eq!(FunctionTarget::parse(&qualified, None).as_ref(), Ok(target));
    assert_eq!(FunctionTarget::parse(&arn, None).as_ref(), Ok(target));
}
