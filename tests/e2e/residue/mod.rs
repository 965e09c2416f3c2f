//! Looks for what is left of people who were erased, in every place that a real server has, before and after.
//!
//! `ATTESTORE_RESIDUE_EVENTS` and `ATTESTORE_RESIDUE_SUBJECTS` say how much there is; a tenth of the people are erased.

mod people;
mod places;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Client, Server, copy, escape, scale};
use crate::watch::receiver::{Answer, Receiver};
use people::Person;
use places::{find, in_memory, look, names_nobody, values};

const TENANT: &str = "/v1/tenants/default";

/// A server that writes everything to its standard error, and whose files are small.
fn server(events: u64) -> Server {
    let bytes = (events * 40).clamp(100_000, 8 << 20).to_string();
    Server::start_with(
        &[],
        &[
            ("ATTESTORE_LOG__LEVEL", "trace"),
            ("ATTESTORE_ENGINE__FLUSH_AGE_MS", "1500"),
            ("ATTESTORE_ENGINE__FLUSH_TAIL_BYTES", &bytes),
            ("ATTESTORE_ENGINE__WAL_FILE_BYTES", "8388608"),
            ("ATTESTORE_WEBHOOK__ALLOW", "127.0.0.1"),
            ("ATTESTORE_WEBHOOK__ALLOW_HTTP", "true"),
        ],
    )
}

/// A client with the rights of a privacy officer.
fn officer(server: &Server) -> Client {
    let made = server.client().post_json(
        "/v1/tenants/default/credentials",
        &json!({"name": "officer", "roles": ["privacy_officer"]}),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    Client::new(server.base(), made.json()["secret"].as_str().unwrap())
}

/// Makes one more field personal than are by themselves.
fn set_policy(officer: &Client) {
    let path = format!("{TENANT}/privacy");
    let first = officer.get(&path).json();
    let mut rules = first["rules"].as_array().unwrap().clone();
    rules.push(json!({"path": "/metadata/contact/email", "subject": "actor"}));
    let wanted =
        json!({"version": 1, "human_types": first["human_types"], "rules": rules, "reason": "canaries"});
    let headers = [("content-type", "application/json")];
    let set = officer.request("PUT", &path, &headers, wanted.to_string().as_bytes());
    assert_eq!(set.status, 200, "{}", set.text());
}

fn append(client: &Client, events: impl Iterator<Item = Value>) {
    let events: Vec<String> = events.map(|event| format!("{event}\n")).collect();
    for some in events.chunks(200) {
        loop {
            let answer = client.post_ndjson(&format!("{TENANT}/events"), &some.concat());
            if answer.status == 201 {
                break;
            }
            assert!([429, 503].contains(&answer.status), "{}", answer.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What is asked about somebody, again and again.
fn ask(client: &Client, person: Person) -> (u64, String) {
    let body = json!({
        "query": format!("actor.id:\"{}\"", person.id()), "count": true, "limit": 5, "highlight": true,
        "aggs": {"who": {"terms": {"field": "actor.id", "size": 10}}},
    });
    let answer = client.post_json(&format!("{TENANT}/search"), &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut text = answer.text();
    // The answer says which query it is an answer to.
    let said = answer.json();
    if let Some(query) = said["query"].as_str() {
        text = text.replace(&Value::from(query).to_string(), "");
    }
    (said["count"].as_u64().unwrap(), text)
}

/// An export that stays on disk, of everything with its personal fields.
fn export(client: &Client, spec: &Value) -> String {
    let id = crate::exports::make(client, spec);
    crate::exports::done(client, &id);
    id
}

/// Asks for an erasure of each and waits until all are done; seconds until the last answer, and until the last is done.
fn erase(officer: &Client, people: &[Person]) -> (f64, f64, Vec<Value>) {
    let begin = Instant::now();
    let places: Vec<String> = people
        .iter()
        .map(|person| {
            let body = json!({"subjects": person.subjects(), "basis": "Art. 17 GDPR"});
            let asked = officer.post_json(&format!("{TENANT}/erasures"), &body);
            assert_eq!(asked.status, 202, "{}", asked.text());
            asked.header("location").unwrap().to_owned()
        })
        .collect();
    let answered = begin.elapsed().as_secs_f64();
    let mut done = Vec::new();
    for place in places {
        loop {
            let erasure = officer.get(&place).json();
            if erasure["state"] == "done" {
                done.push(erasure);
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(900), "{erasure}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    (answered, begin.elapsed().as_secs_f64(), done)
}

#[test]
fn nothing_is_left_of_people_who_were_erased_but_what_is_said_to_stay() {
    let events = scale("ATTESTORE_RESIDUE_EVENTS", 4000);
    let subjects = scale("ATTESTORE_RESIDUE_SUBJECTS", 40);
    let people: Vec<Person> = (0..subjects).map(Person).collect();
    let leaving: Vec<Person> = people
        .iter()
        .copied()
        .filter(|person| person.0 % 10 == 3)
        .collect();
    let [searched, saved, quiet @ ..] = leaving.as_slice() else {
        panic!("too few people")
    };
    let (searched, saved) = (*searched, *saved);
    let begin = Instant::now();
    let mut server = server(events);
    server.stay();
    let client = server.client();
    let officer = officer(&server);
    set_policy(&officer);
    let receiver = Receiver::start(Answer::Status(204));
    let denials = json!({"name": "denials", "query": "outcome:denied"});
    let denials = client.post_json(&format!("{TENANT}/searches"), &denials).json();
    let watch = format!("{TENANT}/searches/{}/watch", denials["id"].as_str().unwrap());
    let body = json!({"url": receiver.url, "records": true}).to_string();
    let headers = [("content-type", "application/json")];
    assert_eq!(
        client.request("PUT", &watch, &headers, body.as_bytes()).status,
        200
    );
    let event = |n: u64| Person(n % subjects).event(n, Person((n + 1) % subjects));
    let most = events * 9 / 10;
    append(&client, (0..most).map(event));
    // A few at a time, so that there are parts of shared files too.
    for n in 0..3 {
        std::thread::sleep(Duration::from_millis(1700));
        append(
            &client,
            leaving.iter().map(|person| person.event(events + n, Person(0))),
        );
    }
    let naming = json!({"name": "a name in it", "query": format!("actor.id:\"{}\"", saved.id())});
    let naming = client.post_json(&format!("{TENANT}/searches"), &naming);
    assert_eq!(naming.status, 201, "{}", naming.text());
    let naming = format!("{TENANT}/searches/{}", naming.json()["id"].as_str().unwrap());
    let ndjson = export(&client, &json!({"format": "ndjson", "query": ""}));
    let bundle = export(&client, &json!({"format": "evidence", "query": "outcome:denied"}));
    append(&client, (most..events).map(event));
    let (before, text) = ask(&client, searched);
    assert!(before > 0 && text.contains(&searched.canary()), "{text}");
    assert_eq!(ask(&client, searched).0, before);
    let filled_s = begin.elapsed().as_secs_f64();

    // Positive control: whatever can hold something is found to.
    server.kill();
    let home = tempfile::tempdir().unwrap();
    let old = home.path().join("old");
    copy(&server.data(), &old);
    let all = values(&leaving);
    let found = find(&server.data(), None, &all);
    println!("before: {:?}", found.places);
    for place in ["wal", "personal", "index", "record", "export"] {
        assert!(found.places[place] > 0, "{place} is not looked through");
    }
    for place in ["raw", "public"] {
        assert_eq!(found.places[place], 0, "{place}: {:?}", found.hits);
    }
    let named = values(&[saved]);
    let in_catalog = found.hits.iter().filter(|(place, ..)| place == "catalog");
    for (.., at) in in_catalog {
        assert!(named.contains(&all[*at]), "the catalog has {}", all[*at]);
    }
    for (at, value) in all.iter().enumerate() {
        assert!(
            found.hits.len() >= 1000 || found.hits.iter().any(|(.., of)| *of == at),
            "{value} is nowhere"
        );
    }
    let copied = find(&old, Some(&server.data()), &values(quiet));
    assert!(
        copied.places["personal"] > 0,
        "the copy opens with the keys of today"
    );

    server.run();
    let (client, begin) = (server.client(), Instant::now());
    // Everybody's records are read, and nobody is named.
    assert!(client.count("default", "action:file.read") >= events);
    client.get(&format!("{TENANT}/events?limit=1000"));
    let in_memory_before = in_memory(server.pid(), quiet);
    assert!(in_memory_before > 0, "the reader of memory is blind");
    let (answered_s, done_s, done) = erase(&officer, &leaving);
    let shown = ask(&client, searched);
    assert_eq!(shown.0, 0);
    names_nobody("a search that was cached", &shown.1, &leaving);
    let dates = |key: &str| done.iter().filter(|one| one[key].is_string()).count();
    for date in ["unreadable_since", "terms_gone_since", "bytes_gone_since"] {
        assert_eq!(dates(date), leaving.len(), "{date}");
    }
    for id in [&ndjson, &bundle] {
        let state = client.get(&format!("{}/{id}", crate::exports::EXPORTS)).json()["state"].clone();
        assert_ne!(state, "done", "an export with personal fields is left");
    }
    // What a server gives out without being asked for it, and what it says when it refuses.
    let refused = client.get(&format!(
        "{TENANT}/events?q=actor.id:{}%3A%3A(",
        escape(&searched.canary())
    ));
    assert_eq!(refused.status, 400);
    names_nobody("a problem document", &refused.text(), &people);
    names_nobody("metrics", &client.get("/metrics").text(), &people);
    let mut letters = 0;
    while let Some(letter) = receiver.try_next() {
        letters += 1;
        let text = format!("{:?} {}", letter.headers, String::from_utf8_lossy(&letter.body));
        names_nobody("a letter", &text, &people);
    }
    assert!(letters > 0, "no letter was looked through");
    // It is kept, and the documents say so.
    assert!(client.get(&naming).text().contains(&saved.canary()));
    let system = client.get("/v1/tenants/_system").json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let in_memory_after = in_memory(server.pid(), quiet);
    server.stop();
    let log = server.log_text();
    assert!(
        log.contains("serving") && log.contains("DEBUG"),
        "the log is empty"
    );
    names_nobody("the log", &log, &people);

    let looked = Instant::now();
    let left = find(&server.data(), None, &values(quiet));
    assert!(left.hits.is_empty(), "{:?}", left.hits);
    let look_s = looked.elapsed().as_secs_f64();
    // Words that somebody typed who looked for the person are kept in `_system`, and nowhere else.
    let left = find(&server.data(), None, &values(&[searched]));
    let of_system = |path: &str| {
        let shared = ["l0/", "wal/"].iter().any(|folder| path.starts_with(folder));
        shared || path.contains(&system) || path == "tail"
    };
    assert!(
        !left.hits.is_empty(),
        "docs/forgetting.md says that they are kept"
    );
    assert!(
        left.hits.iter().all(|(_, path, _)| of_system(path)),
        "{:?}",
        left.hits
    );
    let left = find(&server.data(), None, &values(&[saved]));
    let kinds: BTreeSet<&str> = left.hits.iter().map(|(place, ..)| place.as_str()).collect();
    println!("of a person whom a saved search names: {kinds:?} {:?}", left.hits);
    let allowed = |(place, path, _): &(String, String, usize)| place == "catalog" || of_system(path);
    assert!(left.hits.iter().all(allowed), "{:?}", left.hits);

    // What was there before is out of reach, copies and all.
    let refused = look(&old, Some(&server.data()), &all);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(
        refused.status.code(),
        Some(4),
        "an old copy opens with the keys of today: {said}"
    );
    let fsck = server.cli_ok(&["fsck", "--data", server.data().to_str().unwrap()]);
    assert!(!fsck.contains("DAMAGE"), "{fsck}");
    println!(
        "{events} events, {subjects} subjects, {} erased: filled in {filled_s:.1} s, answered in {answered_s:.1} s, done in \
         {done_s:.1} s, looked through in {look_s:.1} s, all in {:.1} s; canaries in memory: {in_memory_before} before, {in_memory_after} after",
        leaving.len(),
        begin.elapsed().as_secs_f64() + filled_s,
    );
}
