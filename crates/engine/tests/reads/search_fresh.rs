//! Freshness with threads: what was acknowledged is found by the very next search.

use std::sync::Arc;

use attestore_engine::{Engine, search::SearchRequest};

use crate::world::{World, append, everything, settings};

#[test]
fn every_writer_finds_its_last_event_at_once() {
    let world = World::new(80);
    let engine = Engine::create_or_open(world.parts().unwrap(), settings())
        .unwrap()
        .0;
    engine.create_tenant("acme", &everything()).unwrap();
    let engine = Arc::new(engine);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let engine = Arc::clone(&engine);
            std::thread::spawn(move || {
                for n in 0..ROUNDS {
                    let event = format!(
                        r#"{{"action":"note.add","actor":{{"type":"service","id":"noter"}},"justification":"word{writer}x{n} of many","metadata":{{"own":"{writer}-{n}"}}}}"#
                    );
                    let receipt = append(&engine, "acme", &[event])[0];
                    for q in [format!("metadata.own:{writer}-{n}"), format!("word{writer}x{n}")] {
                        let request = SearchRequest { q, limit: 2, ..SearchRequest::default() };
                        let page = engine.search("acme", &everything(), &request).unwrap();
                        let found: Vec<u64> = page.items.iter().map(|item| item.seq).collect();
                        assert_eq!(found, [receipt.seq], "{:?}", request.q);
                    }
                    if n % 7 == writer % 7 && writer % 8 == 0 {
                        engine.flush_tenant("acme").unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let status = engine.index_status("acme", &everything()).unwrap();
    assert_eq!(status.tail_records + flushed(&engine), WRITERS * ROUNDS);
    engine.close().unwrap();
}

fn flushed(engine: &Engine) -> u64 {
    let info = engine.tenant("acme").unwrap();
    info.size - engine.index_status("acme", &everything()).unwrap().tail_records
}

const WRITERS: u64 = 16;
const ROUNDS: u64 = 12;
