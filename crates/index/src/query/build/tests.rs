use proptest::prelude::*;

use super::*;

fn options() -> ParseOptions {
    ParseOptions {
        personal: true,
        ..ParseOptions::default()
    }
}

fn built(condition: &Condition) -> Node {
    Query::build(condition, &options()).unwrap().node
}

fn parsed(text: &str) -> Node {
    Query::parse(text, &options()).unwrap().node
}

fn text(query: &str, any: bool) -> Condition {
    Condition::Text {
        query: query.to_owned(),
        field: None,
        any,
    }
}

fn is(field: &str, value: &str) -> Condition {
    Condition::Is {
        field: field.to_owned(),
        value: value.to_owned(),
    }
}

fn within(field: &str, lower: Bound<Edge>, upper: Bound<Edge>) -> Condition {
    Condition::Within {
        field: field.to_owned(),
        lower,
        upper,
    }
}

fn edge(text: &str) -> Edge {
    Edge::Typed(text.to_owned())
}

fn matches(field: Option<&str>, words: &str, how: Words) -> Condition {
    Condition::Match {
        field: field.map(str::to_owned),
        text: words.to_owned(),
        how,
    }
}

/// In quotation marks.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[test]
fn values_are_what_a_query_string_says() {
    let among = Condition::Among {
        field: "outcome".to_owned(),
        values: vec!["Denied".to_owned(), "failure".to_owned()],
    };
    let starts = Condition::Starts {
        field: "action".to_owned(),
        start: "s3.".to_owned(),
    };
    let pieces = ["s3", "."].map(|text| Part::Text(text.to_owned()));
    let like = Condition::Like {
        field: "action".to_owned(),
        form: pieces
            .into_iter()
            .chain([Part::Many, Part::Many, Part::One])
            .collect(),
    };
    let has = Condition::Has {
        field: "metadata".to_owned(),
    };
    for (condition, said) in [
        (is("user.id", "u 1"), "actor.id:\"u 1\""),
        (is("ip", "10.0.0.0/8"), "ip:10.0.0.0/8"),
        (is("message", "wrong code"), "text:\"wrong code\""),
        (among, "outcome:IN [denied failure]"),
        (starts, "action:s3.*"),
        (like, "action:s3.*?"),
        (has, "metadata:*"),
        (Condition::And(vec![is("kind", "event")]), "kind:event"),
    ] {
        assert_eq!(built(&condition), parsed(said), "{said}");
    }
}

#[test]
fn ranges_are_what_a_query_string_says() {
    let open = || Bound::Unbounded;
    let text = |text: &str| Bound::Included(Edge::Text(text.to_owned()));
    for (condition, said) in [
        (
            within("seq", Bound::Included(edge("10")), Bound::Excluded(edge("20"))),
            "seq:[10 TO 20}",
        ),
        (
            within("@timestamp", Bound::Excluded(edge("2026-11-22")), open()),
            "occurred_at:>2026-11-22",
        ),
        (
            within("metadata.total", Bound::Included(edge("5")), open()),
            "metadata.total:>=5",
        ),
        (
            within("metadata.total", text("5"), open()),
            "metadata.total:>=\"5\"",
        ),
        (
            within("context.http.status", open(), Bound::Included(edge("404"))),
            "context.http.status:<=404",
        ),
        (within("ip", text("10.0.0.0"), open()), "ip:>=10.0.0.0"),
    ] {
        assert_eq!(built(&condition), parsed(said), "{said}");
    }
    // Quotation marks of a value are its own.
    let lower = Bound::Included("\"a\"".to_owned());
    let own = Node::Clause(super::super::ast::Clause::Texts {
        key: super::super::ast::Key::Label(crate::schema::Label::ActorId),
        bounds: super::super::ast::Bounds {
            lower,
            upper: Bound::Unbounded,
        },
    });
    assert_eq!(built(&within("actor.id", text("\"a\""), open())), own);
}

#[test]
fn words_are_what_a_query_string_says() {
    for (condition, said) in [
        (matches(None, "wrong code", Words::Phrase), "\"wrong code\""),
        (
            matches(Some("text"), "wrong code", Words::All),
            "text:wrong text:code",
        ),
        (
            matches(Some("text"), "wrong, code", Words::Any),
            "text:wrong OR text:code",
        ),
        (
            matches(Some("text"), "wrong co", Words::PhraseStart),
            "text:\"wrong co\"*",
        ),
        (matches(Some("actor.id"), "a b", Words::Any), "actor.id:\"a b\""),
        (
            matches(Some("actor.id"), "a b", Words::PhraseStart),
            "actor.id:\"a b\"*",
        ),
    ] {
        assert_eq!(built(&condition), parsed(said), "{said}");
    }
}

#[test]
fn one_of_conditions_side_by_side_is_enough_if_asked_for() {
    for (any, all) in [
        ("kind:a kind:b", "kind:a OR kind:b"),
        ("kind:a -kind:b kind:c", "(kind:a OR kind:c) -kind:b"),
        ("kind:a +kind:b -kind:c", "kind:b -kind:c"),
        ("kind:a AND kind:b kind:c", "(kind:a AND kind:b) OR kind:c"),
        ("-kind:a", "-kind:a"),
        ("kind:(a b) AND seq:1", "kind:(a OR b) AND seq:1"),
        ("", ""),
    ] {
        assert_eq!(built(&text(any, true)), parsed(all), "{any}");
    }
}

#[test]
fn a_field_goes_for_values_without_one() {
    let condition = Condition::Text {
        query: "a kind:b".to_owned(),
        field: Some("actor.id".to_owned()),
        any: true,
    };
    assert_eq!(built(&condition), parsed("actor.id:a OR kind:b"));
}

#[test]
fn mistakes_and_limits_are_told() {
    let fails = |condition: &Condition| Query::build(condition, &options()).unwrap_err();
    assert_eq!(fails(&is("actr.id", "x")).suggestion.as_deref(), Some("actor.id"));
    assert_eq!(fails(&is("seq", "x")).column, None);
    assert!(fails(&text("actor.id:(", false)).column.is_some());
    let mut deep = Condition::All;
    for _ in 0..16 {
        deep = Condition::Not(Box::new(deep));
    }
    assert!(fails(&deep).message.contains("deeper"));
    let wide = Condition::Or(vec![is("kind", "a"); 65]);
    assert!(fails(&wide).message.contains("clauses"));
    let texts = Condition::Or(vec![text("kind:a OR kind:b OR kind:c", false); 17]);
    assert!(fails(&texts).message.contains("clauses"));
    let lists = Condition::Among {
        field: "kind".to_owned(),
        values: vec![String::new(); AMONG_MAX],
    };
    assert!(fails(&Condition::Or(vec![lists; 5])).message.contains("together"));
    let long = Condition::Among {
        field: "kind".to_owned(),
        values: vec![String::new(); AMONG_MAX + 1],
    };
    assert!(fails(&long).message.contains("512"));
    let unknown = Condition::Among {
        field: "nothing".to_owned(),
        values: Vec::new(),
    };
    assert!(fails(&unknown).message.contains("unknown field"));
}

proptest! {
    /// Whatever a value holds, it is that value: the same as in quotation marks with its escapes.
    #[test]
    fn values_are_never_syntax(value in "[ -~äß\n]{1,24}") {
        for field in ["actor.id", "metadata.x", "action"] {
            prop_assert_eq!(built(&is(field, &value)), parsed(&format!("{field}:{}", quoted(&value))));
            let starts = Condition::Starts { field: field.to_owned(), start: value.clone() };
            prop_assert_eq!(built(&starts), parsed(&format!("{field}:{}*", quoted(&value))));
        }
    }
}
