//! Holds that every promise of docs/security.md names tests, and that those exist.

#[expect(clippy::disallowed_methods, reason = "a test reads its own repository")]
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).ok()
}

#[test]
fn every_promise_names_tests_that_exist() {
    let page = read("docs/security.md").expect("docs/security.md");
    let promised = page.split_once("## Promised").expect("what is promised").1;
    let promised = promised.split_once("## Not promised").expect("what is not").0;
    let rows = promised
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let (mut promises, mut wrong) = (0, Vec::new());
    for row in rows {
        promises += 1;
        let tests = row
            .trim_end_matches(['|', ' '])
            .rsplit(" | ")
            .next()
            .unwrap_or("");
        let (mut file, mut named) = (None, 0);
        // What stands between backticks: a file, then what is to be found in it.
        for (at, quoted) in tests.split('`').enumerate().filter(|(at, _)| at % 2 == 1) {
            let _ = at;
            if quoted.contains('/') {
                named += 1;
                file = read(quoted);
                if file.is_none() {
                    wrong.push(format!("there is no {quoted}"));
                }
            } else if !file.as_ref().is_some_and(|text| has(text, quoted)) {
                wrong.push(format!("no test `{quoted}` where {row:?} says"));
            }
        }
        if named == 0 {
            wrong.push(format!("a promise without a test: {row}"));
        }
    }
    assert!(promises >= 15, "{promises} promises were read");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn has(text: &str, name: &str) -> bool {
    text.contains(&format!("fn {name}(")) || text.contains(&format!("def {name}("))
}
