//! A watch across crashes at random moments: every match is in exactly one message, whatever was heard of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestore_engine::searches::SearchSpec;
use attestore_engine::searches::watch::{Message, Retry, WatchSpec, WatchState, Watcher};
use attestore_engine::{Engine, Error};

use crate::world::{TENANT, World, append, everything, searched};

const Q: &str = "outcome:failure";

fn saved(engine: &Engine) -> String {
    let spec = SearchSpec {
        name: "failures".into(),
        description: String::new(),
        query: Q.into(),
        from: None,
        to: None,
        sort: None,
        fields: None,
        aggs: None,
        limit: None,
    };
    engine.save_search(TENANT, &everything(), spec).unwrap().id
}

fn spec(enabled: bool) -> WatchSpec {
    WatchSpec {
        url: "https://hooks.example.com/".into(),
        secret: None,
        enabled,
        records: true,
    }
}

fn watcher(engine: &Engine) -> Watcher {
    let on = engine.watches().unwrap();
    assert_eq!(on.len(), 1);
    engine.watcher(&on[0]).unwrap()
}

/// The next message, or none if none comes soon.
async fn next(watcher: &mut Watcher) -> Option<Message> {
    let next = tokio::time::timeout(Duration::from_millis(1500), watcher.next()).await;
    next.ok().map(|delivery| delivery.unwrap().message)
}

/// Runs with a clock that goes on.
fn ticking<T>(world: &World, run: impl FnOnce(&tokio::runtime::Runtime) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (over, clock) = (AtomicBool::new(false), world.clock.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                clock.advance_ms(20);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let done = run(&runtime);
        over.store(true, Ordering::SeqCst);
        done
    })
}

#[test]
fn every_match_is_in_exactly_one_message_whatever_is_heard_of_it_and_whenever_it_crashes() {
    let seed = std::env::var("ATTESTORE_SEED").map_or(20_261_122, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut world = World::new(seed);
    append(world.engine(), TENANT, 0..7);
    let id = saved(world.engine());
    let (_, secret) = world
        .engine()
        .set_watch(TENANT, &everything(), &id, spec(true))
        .unwrap();
    let secret = secret.unwrap().0.to_vec();
    let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut appended = 7;
    let retry = Retry {
        first_ms: 1,
        last_ms: 1,
        attempts_max: 2,
        ..Retry::default()
    };
    let mut note = |message: &Message| {
        let seqs: Vec<u64> = message.records.iter().map(|(seq, _)| *seq).collect();
        let views = message.views.as_ref().unwrap();
        assert_eq!(views.iter().map(|view| view.seq).collect::<Vec<_>>(), seqs);
        assert!(
            views
                .iter()
                .all(|view| view.event.contains("[personal]") && !view.event.contains("Person"))
        );
        if let Some(before) = told.insert(message.id.clone(), seqs.clone()) {
            assert_eq!(before, seqs, "the same id says the same");
        }
    };
    for round in 0..14u64 {
        append(world.engine(), TENANT, appended..appended + 3 + round % 5);
        appended += 3 + round % 5;
        if round % 3 == 0 {
            world.engine().flush().unwrap();
        }
        ticking(&world, |runtime| {
            runtime.block_on(async {
                let mut watcher = watcher(world.engine());
                let Some(message) = next(&mut watcher).await else {
                    return;
                };
                note(&message);
                match round % 4 {
                    0 => watcher.taken(&message.id).await.unwrap(),
                    1 => {
                        // Twice, and it is a dead letter.
                        assert!(
                            !watcher
                                .refused(&message.id, "no".into(), None, retry)
                                .await
                                .unwrap()
                        );
                        let again = next(&mut watcher).await.unwrap();
                        assert_eq!(again.id, message.id);
                        assert!(
                            watcher
                                .refused(&again.id, "no".into(), None, retry)
                                .await
                                .unwrap()
                        );
                    }
                    // Nothing is heard of it.
                    _ => {}
                }
            });
        });
        match round % 4 {
            2 => world.crash(),
            3 => world.restart(),
            _ => {}
        }
    }
    // Dead letters are wanted again, and everything is heard of.
    let by = everything();
    let dead = world.engine().dead_letters(TENANT, &by, &id).unwrap();
    assert!(!dead.is_empty());
    for letter in &dead {
        world.engine().redeliver(TENANT, &by, &id, letter.number).unwrap();
    }
    ticking(&world, |runtime| {
        runtime.block_on(async {
            let mut watcher = watcher(world.engine());
            let mut redelivered = Vec::new();
            while let Some(message) = next(&mut watcher).await {
                note(&message);
                redelivered.push(message.id.clone());
                watcher.taken(&message.id).await.unwrap();
            }
            for letter in &dead {
                assert!(redelivered.contains(&letter.id), "under its id");
            }
        });
    });
    let shown = world.engine().watch(TENANT, &by, &id).unwrap();
    assert_eq!(
        (shown.state, shown.dead, shown.pending),
        (WatchState::Active, 0, None)
    );
    let mut seqs: Vec<u64> = told.into_values().flatten().collect();
    seqs.sort_unstable();
    assert_eq!(seqs, searched(world.engine(), &by, Q, 7), "each once");
    // The secret is kept, and shown to the sender only.
    let kept = ticking(&world, |runtime| {
        append(world.engine(), TENANT, appended..appended + 3);
        runtime.block_on(async {
            let mut watcher = watcher(world.engine());
            watcher.next().await.unwrap().to.secret.0.to_vec()
        })
    });
    assert_eq!(kept, secret);
}

#[test]
fn who_works_for_a_watch_that_was_set_anew_or_removed_stops() {
    let world = World::new(3);
    let engine = world.engine();
    let by = everything();
    let id = saved(engine);
    engine.set_watch(TENANT, &by, &id, spec(true)).unwrap();
    append(engine, TENANT, 0..1);
    ticking(&world, |runtime| {
        runtime.block_on(async {
            let mut old = watcher(engine);
            let message = next(&mut old).await.unwrap();
            engine.set_watch(TENANT, &by, &id, spec(true)).unwrap();
            assert!(matches!(old.taken(&message.id).await, Err(Error::Changed(_))));
            let mut new = watcher(engine);
            assert_eq!(
                next(&mut new).await.unwrap().id,
                message.id,
                "what is under way stays"
            );
            new.taken(&message.id).await.unwrap();
            assert!(
                matches!(new.taken(&message.id).await, Err(Error::Changed(_))),
                "once"
            );
            engine.remove_watch(TENANT, &by, &id).unwrap();
            assert!(matches!(new.next().await, Err(Error::Changed(_))));
        });
    });
    assert!(engine.watches().unwrap().is_empty());
    engine.set_watch(TENANT, &by, &id, spec(false)).unwrap();
    assert!(engine.watches().unwrap().is_empty(), "it is off");
    engine
        .delete_search(TENANT, &by, &id, attestore_engine::searches::Saving::Any)
        .unwrap();
    assert!(matches!(engine.watch(TENANT, &by, &id), Err(Error::NotFound(_))));
}
