//! A mirror that crashes, hangs, or comes to something else is no matter of the transaction that it runs ahead of.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use belay_engine::{Instance, Step};
use belay_host::Runner;
use belay_model::Limits;
use serde_json::json;

use crate::world::{Threads, World, spec};

/// What becomes of the first step of the mirror: the third one of all, after those to the transaction's begin and beyond.
#[derive(Clone, Copy)]
enum Fault {
    Crashes,
    Hangs,
}

struct Faulty {
    fault: Fault,
    steps: AtomicUsize,
}

const MIRRORS_FIRST: usize = 2;

impl Runner for Faulty {
    fn run(&self, instance: Instance) -> impl Future<Output = (Instance, Step)> + Send {
        let faulty = self.steps.fetch_add(1, Relaxed) == MIRRORS_FIRST;
        let fault = faulty.then_some(self.fault);
        async move {
            match fault {
                Some(Fault::Crashes) => panic!("a fault of the test"),
                Some(Fault::Hangs) => std::future::pending().await,
                None => Threads.run(instance).await,
            }
        }
    }
}

#[tokio::test]
async fn a_mirror_that_crashes_or_hangs_is_no_matter_of_its_original() {
    for fault in [Fault::Crashes, Fault::Hangs] {
        let (world, steps) = (World::new(), AtomicUsize::new(0));
        let spec = spec(&json!({ "ways": ["transfer"], "predict": true, "retries": 0 }));
        let body = format!(
            "return transaction({spec}, [async () => {{ await kv.put('n', 1); await kv.put('m', await kv.get('n')); return 'done'; }}], []);"
        );
        let runner = Faulty { fault, steps };
        let image = world.image(&body);
        let finished = world.start_on(&runner, &image, (Limits::default(), None)).await;
        assert_eq!(finished.result.as_deref(), Ok("\"done\""));
        assert_eq!((world.get("n").await, world.get("m").await), (json!(1), json!(1)));
        assert!(runner.steps.load(Relaxed) > MIRRORS_FIRST, "there was a mirror");
        let mirror = world.book.stories(|_| true, 1).remove(0).mirror.clone().unwrap();
        assert_eq!(mirror.ended, None);
        assert_eq!(mirror.unmodelled.is_some(), matches!(fault, Fault::Crashes), "{mirror:?}");
    }
}
