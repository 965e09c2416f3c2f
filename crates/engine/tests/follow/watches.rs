//! A watch across crashes at random moments: every match is in exactly one message, whatever was heard of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestore_engine::search::SearchRequest;
use attestore_engine::searches::watch::{Message, Retry, WATCHES_MAX, WatchSpec, WatchState, Watcher};
use attestore_engine::searches::{Saving, SearchSpec};
use attestore_engine::{Engine, Error, Role};

use crate::world::{TENANT, World, append, everything, principal, searched};

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
    engine.delete_search(TENANT, &by, &id, Saving::Any).unwrap();
    assert!(matches!(engine.watch(TENANT, &by, &id), Err(Error::NotFound(_))));
}

fn named(name: &str, query: &str) -> SearchSpec {
    SearchSpec {
        name: name.into(),
        description: String::new(),
        query: query.into(),
        from: None,
        to: None,
        sort: None,
        fields: None,
        aggs: None,
        limit: None,
    }
}

fn replace(engine: &Engine, id: &str, spec: SearchSpec) -> Result<(), Error> {
    engine
        .replace_search(TENANT, &everything(), id, spec, Saving::Any)
        .map(drop)
}

/// What a watch tells until nothing more comes, each message taken.
async fn told(engine: &Engine) -> Vec<u64> {
    let mut watcher = watcher(engine);
    let mut seqs = Vec::new();
    while let Some(message) = next(&mut watcher).await {
        seqs.extend(message.records.iter().map(|(seq, _)| *seq));
        watcher.taken(&message.id).await.unwrap();
    }
    seqs
}

#[test]
fn a_change_of_the_query_counts_for_what_is_appended_after_it_and_for_nothing_before() {
    let mut world = World::new(5);
    let id = saved(world.engine());
    world
        .engine()
        .set_watch(TENANT, &everything(), &id, spec(true))
        .unwrap();
    append(world.engine(), TENANT, 0..7);
    // 0, 3 and 6 fail and were not told yet; 1, 2, 4 and 5 were there before anybody asked for them.
    replace(world.engine(), &id, named("others", "outcome:success")).unwrap();
    replace(world.engine(), &id, named("others again", "outcome:success")).unwrap();
    append(world.engine(), TENANT, 7..11);
    replace(world.engine(), &id, named("failures", Q)).unwrap();
    append(world.engine(), TENANT, 11..14);
    world.restart();
    let seqs = ticking(&world, |runtime| runtime.block_on(told(world.engine())));
    assert_eq!(seqs, [0, 3, 6, 7, 8, 10, 12]);
    let engine = world.engine();
    let shown = engine.watch(TENANT, &everything(), &id).unwrap();
    assert_eq!((shown.state, shown.next), (WatchState::Active, 14));
    // One that does not get on keeps a bounded number of them.
    let turns = (0..40).map(|n: u64| {
        append(engine, TENANT, n..n + 1);
        replace(
            engine,
            &id,
            named(
                "failures",
                if n.is_multiple_of(2) { "outcome:success" } else { Q },
            ),
        )
    });
    let refused = turns.filter(|turn| {
        matches!(
            turn,
            Err(Error::TooMany {
                code: "watch_behind",
                ..
            })
        )
    });
    assert!(refused.count() > 10);
    ticking(&world, |runtime| runtime.block_on(told(engine)));
    replace(engine, &id, named("failures", Q)).unwrap();
}

#[test]
fn who_works_for_a_search_of_before_a_change_writes_nothing() {
    let world = World::new(6);
    let engine = world.engine();
    let id = saved(engine);
    engine.set_watch(TENANT, &everything(), &id, spec(true)).unwrap();
    append(engine, TENANT, 0..1);
    ticking(&world, |runtime| {
        runtime.block_on(async {
            let mut old = watcher(engine);
            let stale = engine.watches().unwrap();
            let message = next(&mut old).await.unwrap();
            replace(engine, &id, named("renamed", Q)).unwrap();
            assert!(matches!(old.taken(&message.id).await, Err(Error::Changed(_))));
            assert!(matches!(engine.watcher(&stale[0]), Err(Error::Changed(_))));
            // The same id says the same.
            let mut new = watcher(engine);
            let again = next(&mut new).await.unwrap();
            assert_eq!((&again.id, again.search_name.as_str()), (&message.id, "failures"));
            assert!(again.views.is_some());
            // Contents that are no longer to be sent are in no message, and what is sent instead is another one.
            let bare = WatchSpec {
                records: false,
                ..spec(true)
            };
            engine.set_watch(TENANT, &everything(), &id, bare).unwrap();
            let bare = next(&mut watcher(engine)).await.unwrap();
            assert_ne!(bare.id, message.id);
            assert!(bare.views.is_none());
            assert_eq!(bare.records, message.records);
        });
    });
}

#[test]
fn the_log_tells_of_every_change_of_a_watch_and_of_none_that_was_refused() {
    let world = World::new(7);
    let engine = world.engine();
    let by = everything();
    let logged = |q: &str| {
        let request = SearchRequest {
            q: q.into(),
            limit: 1000,
            ..SearchRequest::default()
        };
        engine.search("_system", &by, &request).unwrap().items.len()
    };
    let ids: Vec<String> = (0..=WATCHES_MAX)
        .map(|n| {
            let spec = named(&format!("s{n}"), Q);
            engine.save_search(TENANT, &by, spec).unwrap().id
        })
        .collect();
    let (last, all) = ids.split_last().unwrap();
    for id in all {
        engine.set_watch(TENANT, &by, id, spec(true)).unwrap();
    }
    let refused = engine.set_watch(TENANT, &by, last, spec(true));
    assert!(matches!(refused.err(), Some(Error::TooMany { .. })));
    assert_eq!(logged("action:watch.set"), WATCHES_MAX);
    engine.set_watch(TENANT, &by, &all[0], spec(true)).unwrap();
    assert_eq!(logged("action:watch.set"), WATCHES_MAX + 1);

    replace(engine, &all[0], named("s0", "outcome:success")).unwrap();
    replace(engine, last, named("sx", "outcome:success")).unwrap();
    assert_eq!(logged("action:watch.change"), 1);
    let taken = engine.replace_search(TENANT, &by, &all[0], named("s1", Q), Saving::Any);
    assert!(matches!(taken, Err(Error::Exists(_))));
    assert_eq!(logged("action:watch.change"), 1);

    let other = engine.delete_search(TENANT, &by, &all[1], Saving::Version(7));
    assert!(matches!(other, Err(Error::Changed(_))));
    assert_eq!(logged("action:watch.remove"), 0);
    engine.delete_search(TENANT, &by, &all[1], Saving::Any).unwrap();
    engine.delete_search(TENANT, &by, last, Saving::Any).unwrap();
    engine.remove_watch(TENANT, &by, &all[2]).unwrap();
    assert_eq!(logged("action:watch.remove"), 2);
    assert!(engine.remove_watch(TENANT, &by, &all[2]).is_err());
    assert_eq!(logged("action:watch.remove"), 2);
}

#[test]
fn names_of_aggregations_that_may_tell_of_people_are_not_run_for_who_may_not_see_them() {
    let world = World::new(8);
    let engine = world.engine();
    let mut spec = named("counts", Q);
    spec.aggs = Some(r#"{"Ann Example":{"value_count":{"field":"seq"}}}"#.into());
    let id = engine
        .save_search(TENANT, &everything(), spec.clone())
        .unwrap()
        .id;
    let reader = principal(&[Role::Reader]);
    assert_eq!(engine.saved_spec(TENANT, &reader, &id).unwrap().aggs, None);
    assert_eq!(
        engine.saved_spec(TENANT, &everything(), &id).unwrap().aggs,
        spec.aggs
    );
    let own = engine.save_search(TENANT, &reader, named("own", Q)).unwrap().id;
    spec.name = "own".into();
    engine
        .replace_search(TENANT, &reader, &own, spec.clone(), Saving::Any)
        .unwrap();
    assert_eq!(engine.saved_spec(TENANT, &reader, &own).unwrap().aggs, spec.aggs);
}

#[test]
fn who_does_not_search_sets_no_watch_and_gives_none_another_query() {
    let world = World::new(31);
    let engine = world.engine();
    let manager = principal(&[Role::TenantAdmin]);
    let both = principal(&[Role::TenantAdmin, Role::Reader]);
    let id = engine
        .save_search(TENANT, &both, named("failures", Q))
        .unwrap()
        .id;
    let bare = || WatchSpec {
        records: false,
        ..spec(true)
    };
    let refused = engine.set_watch(TENANT, &manager, &id, bare());
    assert!(matches!(refused.err(), Some(Error::Forbidden)));
    engine.set_watch(TENANT, &both, &id, bare()).unwrap();
    let other = engine.replace_search(TENANT, &manager, &id, named("s", "actor.id:u_1"), Saving::Any);
    assert!(matches!(other.err(), Some(Error::Forbidden)));
    let renamed = named(
        "another name",
        &engine.saved_search(TENANT, &both, &id).unwrap().spec.query,
    );
    assert!(
        engine
            .replace_search(TENANT, &manager, &id, renamed, Saving::Any)
            .is_ok()
    );
    assert!(
        engine
            .replace_search(TENANT, &both, &id, named("s", "actor.id:u_1"), Saving::Any)
            .is_ok()
    );
    assert!(
        engine.remove_watch(TENANT, &manager, &id).is_ok(),
        "it ends what is sent"
    );
}
