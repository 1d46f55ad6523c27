//! Which tapes are kept.

use belay_host::{
    Tape,
    tape::{End, Json, KeepOptions, Sampler, Shape, Shelf, encode},
};
use belay_model::{Category, Failure};
use proptest::prelude::*;

use super::{body, tape_of};
use crate::world::World;

/// Tapes that differ by their number only, and are of equal length.
fn numbered(template: &Tape, number: u64) -> Tape {
    Tape { start_us: 1_000_000 + number, ..template.clone() }
}

fn failed(tape: Tape, category: Category) -> Tape {
    Tape { end: End::Failure(Failure::new(category, "Error", "x")), ..tape }
}

/// Of another shape.
fn rare(tape: Tape, part: u8) -> Tape {
    Tape { reached: vec![(part, belay_model::Arm::After)], ..tape }
}

fn numbers(shelf: &Shelf) -> Vec<u64> {
    shelf.tapes().map(|tape| tape.start_us - 1_000_000).collect()
}

async fn template() -> Tape {
    let tape = tape_of(&World::new(), &body("return null"), "{}").await;
    Tape { usage: belay_host::tape::TapeUsage::default(), readings: Vec::new(), ..tape }
}

fn shelf(template: &Tape, tapes: usize, newest: usize, failures: usize) -> Shelf {
    // Room for the longest kind.
    let longest = failed(rare(template.clone(), 200), Category::OutOfMemory);
    let bytes_max = tapes * encode(&longest).len();
    Shelf::new(KeepOptions { bytes_max, newest, failures })
}

#[tokio::test]
async fn the_newest_the_rarest_and_failures_stay() {
    let template = template().await;
    let mut shelf = shelf(&template, 6, 2, 2);
    for number in 0..40 {
        let tape = numbered(&template, number);
        let gone = shelf.put(match number {
            3 => rare(tape, 7),
            5..=7 => failed(tape, Category::Exception),
            _ => tape,
        });
        assert!(gone.len() <= 2);
    }
    let kept = numbers(&shelf);
    assert!(kept.contains(&3), "the rarest: {kept:?}");
    assert!(kept.contains(&6) && kept.contains(&7), "failures: {kept:?}");
    assert!(kept.contains(&38) && kept.contains(&39), "the newest: {kept:?}");
}

#[tokio::test]
async fn a_tape_that_is_too_large_is_given_back() {
    let template = template().await;
    let mut shelf = shelf(&template, 2, 1, 1);
    assert!(shelf.put(numbered(&template, 1)).is_empty());
    let event = Json::parse(&format!("{:?}", "x".repeat(9_000))).unwrap();
    let large = Tape { event, ..numbered(&template, 2) };
    assert_eq!(shelf.put(large.clone()), [large]);
    assert_eq!(numbers(&shelf), [1]);
}

#[tokio::test]
async fn the_callers_fault_is_no_failure() {
    let template = template().await;
    let invalid = Json::parse(r#"{"statusCode":404}"#).unwrap();
    let tape = Tape { end: End::Result(invalid), ..template.clone() };
    assert_eq!(Shape::of(&tape).category, Some(Category::InvalidInput));
    let mut shelf = shelf(&template, 2, 1, 5);
    for number in 0..9 {
        shelf.put(numbered(&tape, number));
    }
    assert!(numbers(&shelf).contains(&8) && shelf.len() < 4);
}

#[test]
fn samples_are_taken_by_the_number_given() {
    let taken = |rate: f64| {
        let draws = (0..1_000_u64).map(|n| n * (u64::MAX / 1_000));
        draws.filter(|draw| Sampler { rate }.takes(*draw)).count()
    };
    assert_eq!((taken(0.0), taken(0.25), taken(1.0)), (0, 250, 1_000));
    assert!(Sampler { rate: 1.0 }.takes(u64::MAX) && !Sampler { rate: 0.0 }.takes(0));
}

#[test]
fn the_bound_holds_whatever_comes_and_the_same_comes_of_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let template = runtime.block_on(template());
    let kinds = prop::collection::vec((0..4_u8, 0..3_u8), 1..60);
    proptest!(ProptestConfig::with_cases(64), |(kinds in kinds, room in 1..8_usize, newest in 0..5_usize)| {
        let fill = || {
            let mut shelf = shelf(&template, room, newest, 3);
            let bytes_max = room * encode(&failed(rare(template.clone(), 200), Category::OutOfMemory)).len();
            for (number, (kind, part)) in kinds.iter().enumerate() {
                let tape = rare(numbered(&template, number as u64), *part);
                let tape = if *kind == 0 { failed(tape, Category::Timeout) } else { tape };
                shelf.put(tape);
                assert!(shelf.bytes() <= bytes_max);
            }
            assert_eq!(shelf.tapes().map(|tape| encode(tape).len()).sum::<usize>(), shelf.bytes());
            numbers(&shelf)
        };
        let kept = fill();
        prop_assert_eq!(kept.last(), Some(&(kinds.len() as u64 - 1)), "the newest");
        prop_assert_eq!(kept, fill());
    });
}
