use crate::testing::World;

#[test]
fn a_closed_engine_that_is_let_go_of_later_touches_nothing_that_was_opened_since() {
    let world = World::new(77);
    let event = |n: u32| format!(r#"{{"action":"a{n}","actor":{{"type":"user","id":"u{n}"}}}}"#);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(0)]);
    engine.close().unwrap();
    let next = world.open(false);
    world.append(&next, "acme", &[event(1)]);
    next.flush().unwrap();
    assert!(engine.create_tenant("late", &world.by).is_err());
    drop(engine);
    world.append(&next, "acme", &[event(2)]);
    next.flush().unwrap();
    next.close().unwrap();
    let last = world.open(false);
    assert_eq!(last.tenant("acme").unwrap().size, 3);
    assert_eq!(last.verify("acme", &mut |_, _| {}).unwrap().problems, []);
}
