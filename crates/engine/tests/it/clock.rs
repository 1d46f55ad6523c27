//! Recorded and virtual clocks.

use belay_engine::{FunctionImage, Readings, Step, VirtualTime};
use belay_model::{Category, Limits, Outcome};

use crate::support::{deep, image, start};

const READS: &str = "export async function handler() {
    const first = [Date.now(), performance.now()];
    await null;
    await new Promise((resolve) => setTimeout(resolve, 5));
    return [first, [new Date().getTime(), performance.now(), Date.now()]];
}";

/// The result, and what each step has read.
fn recorded(image: &FunctionImage) -> (String, Vec<Readings>) {
    let mut instance = start(image, "{}", Limits::default());
    instance.record_clock(100);
    let mut readings = Vec::new();
    loop {
        let step = deep(|| instance.step());
        let (read, full) = instance.take_readings();
        assert!(!full);
        readings.push(read);
        match step {
            Step::Pending { calls, .. } => instance.resolve(calls[0].id, Outcome::json("null")),
            Step::Done(result) => return (result, readings),
            Step::Failed(failure) => panic!("{failure}"),
        }
    }
}

fn replayed(image: &FunctionImage, times: Vec<VirtualTime>) -> String {
    let mut instance = start(image, "{}", Limits::default());
    for time in times {
        instance.set_time(time);
        match deep(|| instance.step()) {
            Step::Pending { calls, .. } => instance.resolve(calls[0].id, Outcome::json("null")),
            Step::Done(result) => return result,
            Step::Failed(failure) => panic!("{failure}"),
        }
    }
    panic!("it goes on")
}

#[test]
fn readings_that_are_told_again_give_the_same_result() {
    let image = image(READS);
    let (result, readings) = recorded(&image);
    assert_eq!(readings.len(), 2);
    assert_eq!(readings[0].wall_us.len(), 1);
    let times = readings.into_iter();
    let times = times.map(|readings| VirtualTime { readings, ..VirtualTime::default() });
    assert_eq!(replayed(&image, times.collect()), result);
}

#[test]
fn what_was_not_read_before_is_a_microsecond_later_each_time() {
    let time = |wall_us, monotonic_us| VirtualTime {
        wall_us,
        monotonic_us,
        readings: Readings::default(),
    };
    let code = "export function handler() {
        return [performance.now(), performance.now(), Date.now()];
    }";
    let told = replayed(&image(code), vec![time(7_000_000, 4_000)]);
    assert_eq!(told, "[4.001,4.002,7000]");
    let waits = "export function handler() {
        while (performance.now() < 10) {}
        return performance.now();
    }";
    assert_eq!(replayed(&image(waits), vec![time(0, 0)]), "10.001");
}

#[test]
fn virtual_time_counts_against_the_time_limit() {
    let image = image("export function handler() { for (;;) {} }");
    let mut instance = start(&image, "{}", Limits { timeout_ms: 60_000, ..Limits::default() });
    instance.set_time(VirtualTime { monotonic_us: 59_990_000, ..VirtualTime::default() });
    let Step::Failed(failure) = deep(|| instance.step()) else { panic!("it ended") };
    assert_eq!(failure.category, Category::Timeout);
    assert!(failure.message.contains("its time limit"), "{failure}");
}
