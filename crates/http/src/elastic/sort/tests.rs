use super::*;

fn read(sort: Value) -> Sorted {
    Sorted::read(Some(&sort)).unwrap_or_else(|refusal| panic!("{sort}: {refusal:?}"))
}

fn native(sort: Value) -> (Order, Option<String>) {
    read(sort).native()
}

#[test]
fn one_field_sorts_and_seq_breaks_ties() {
    assert_eq!(Sorted::read(None).unwrap().native(), (Order::Newest, None));
    assert_eq!(native(json!("_doc")), (Order::Oldest, None));
    assert_eq!(native(json!("_doc:desc")), (Order::Newest, None));
    assert_eq!(native(json!([{"seq": "desc"}])), (Order::Newest, None));
    let both =
        json!({"@timestamp": {"order": "desc", "unmapped_type": "boolean"}, "_doc": {"order": "desc"}});
    assert_eq!(native(both).1.as_deref(), Some("@timestamp:desc"));
    let list = json!(["_score", {"actor.id": {"missing": "_last", "mode": "min"}}, "_shard_doc"]);
    assert_eq!(native(list).1.as_deref(), Some("actor.id:asc"));
    assert_eq!(
        native(json!([{"nothing": {"unmapped_type": "long"}}, "_doc"])),
        (Order::Oldest, None)
    );
    let unsaid = json!([{"@timestamp": "desc"}, "_doc"]);
    assert_eq!(native(unsaid).1.as_deref(), Some("@timestamp:desc"));
    for bad in [
        json!(["action", "outcome"]),
        json!([{"action": {"missing": "_first"}}]),
        json!([{"action": {"order": "up"}}]),
        json!([{"action": "asc"}, {"seq": "desc"}]),
        json!([{"@timestamp": "asc"}, {"_doc": "desc"}]),
        json!([{"@timestamp": "desc"}, {"_shard_doc": {"order": "asc"}}]),
        json!(["_doc", "action"]),
        json!([{"_script": {"script": "x"}}]),
        json!(5),
    ] {
        assert!(Sorted::read(Some(&bad)).is_err(), "{bad}");
    }
}

#[test]
fn search_after_goes_on_after_a_hit_or_a_time() {
    let sorted = read(json!([{"@timestamp": "desc"}]));
    assert_eq!(sorted.after(&json!([1000, 7])).unwrap(), After::Seq(7));
    assert_eq!(sorted.after(&json!(["1000", "7"])).unwrap(), After::Seq(7));
    let After::Beyond(Condition::Within { lower, upper, .. }) = sorted.after(&json!([1000])).unwrap() else {
        panic!()
    };
    assert_eq!(lower, Bound::Unbounded);
    assert_eq!(
        upper,
        Bound::Excluded(Edge::Text("1970-01-01T00:00:01.000Z".into()))
    );
    let nanos = read(json!([{"@timestamp": {"order": "asc", "format": "epoch_nanos_int"}}]));
    let After::Beyond(Condition::Within { lower, .. }) = nanos.after(&json!([1_000_000_001_u64])).unwrap()
    else {
        panic!()
    };
    assert_eq!(
        lower,
        Bound::Excluded(Edge::Text("1970-01-01T00:00:01.000000001Z".into()))
    );
    assert_eq!(read(json!("_doc")).after(&json!([7])).unwrap(), After::Seq(7));
    let by_actor = read(json!("actor.id"));
    assert!(by_actor.after(&json!(["ann"])).is_err());
    assert_eq!(by_actor.after(&json!([null, 3])).unwrap(), After::Seq(3));
    assert!(Sorted::read(None).unwrap().after(&json!([7])).is_err());
    assert!(sorted.after(&json!([1, 2, 3])).is_err());
}
