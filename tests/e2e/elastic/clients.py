"""Reads what was appended with the clients that people use, each as its documentation says.

Usage: clients.py CLIENT, with ADDRESS (http://host:port), CREDENTIAL and READER in the environment. The index `default` holds
2,500 records, `default-0` to `default-2499` by key, one a second, by 10 services in turn, every tenth denied; and two about people.
"""

import os
import sys

ADDRESS = os.environ["ADDRESS"]
CREDENTIAL = os.environ["CREDENTIAL"]
READER = os.environ["READER"]
COUNT = 2500


def fails(error, status, call, kind=None):
    try:
        call()
    except error as refusal:
        assert getattr(refusal, "status_code", None) == status, refusal
        if kind:
            assert kind in str(refusal), refusal
        return
    raise SystemExit("this should have been refused")


def common(client, helpers, search, mapping_of):
    """What both clients do alike. `search` takes a body."""
    # count, search, sort, projection
    assert client.count(index="default")["count"] >= COUNT
    denied = {"term": {"outcome": "denied"}}
    page = search({"query": denied, "size": 5, "sort": [{"@timestamp": "desc"}], "_source": ["actor.id", "seq"]})
    assert page["hits"]["total"] == {"value": COUNT // 10, "relation": "eq"}, page["hits"]["total"]
    assert page["timed_out"] is False and page["_shards"]["failed"] == 0
    first = page["hits"]["hits"][0]
    assert first["_index"] == "default" and first["_score"] is None
    assert set(first["_source"]) == {"actor", "seq"} and set(first["_source"]["actor"]) == {"id"}, first
    times = [hit["sort"][0] for hit in page["hits"]["hits"]]
    assert times == sorted(times, reverse=True)

    # every hit once: from and size, search_after, helpers.scan
    pages = [search({"query": denied, "from": at, "size": 100})["hits"]["hits"] for at in (0, 100, 200, 300)]
    assert [len(page) for page in pages] == [100, 100, 50, 0]
    assert len({hit["_id"] for page in pages for hit in page}) == COUNT // 10
    seen, after = [], None
    while True:
        body = {"query": denied, "size": 40, "sort": [{"actor.id": "asc"}, {"_doc": "asc"}]}
        hits = search(body | ({"search_after": after} if after else {}))["hits"]["hits"]
        if not hits:
            break
        seen += [(hit["sort"], hit["_id"]) for hit in hits]
        after = hits[-1]["sort"]
    assert len(seen) == COUNT // 10 == len({id for _, id in seen})
    assert [sort for sort, _ in seen] == sorted(sort for sort, _ in seen)
    event = {"query": {"prefix": {"actor.id": "svc_"}}}
    scanned = list(helpers.scan(client, index="default", query=event, size=700))
    assert len(scanned) == COUNT == len({hit["_id"] for hit in scanned})
    large = search(event | {"size": 2400})["hits"]["hits"]
    assert len(large) == 2400 == len({hit["_id"] for hit in large})
    assert [hit["_id"] for hit in large] == [hit["_id"] for hit in reversed(scanned)][:2400]

    # by id: ours, and the key of the event
    by_id = client.get(index="default", id=first["_id"])
    assert by_id["found"] and by_id["_source"]["seq"] == first["_source"]["seq"]
    sent = client.get(index="default", id="default-7")
    assert sent["_id"] == "default-7" and sent["_source"]["actor"]["id"] == "svc_7", sent
    assert client.exists(index="default", id="default-8") and not client.exists(index="default", id="nothing")
    assert search({"query": {"ids": {"values": [first["_id"], "default-7"]}}})["hits"]["total"]["value"] == 2

    # aggregations
    aggs = {
        "by_actor": {
            "terms": {"field": "user.id", "size": 3, "order": {"_key": "asc"}},
            "aggs": {"n": {"stats": {"field": "seq"}}, "hours": {"date_histogram": {
                "field": "@timestamp", "calendar_interval": "hour", "min_doc_count": 1}}},
        },
        "outcomes": {"filters": {"filters": {"no": denied, "yes": {"match": {"outcome": "success"}}}}},
        "actors": {"cardinality": {"field": "actor.id"}},
    }
    found = search({"size": 0, **event, "aggs": aggs})["aggregations"]
    buckets = found["by_actor"]["buckets"]
    assert [(b["key"], b["doc_count"]) for b in buckets] == [("svc_0", 250), ("svc_1", 250), ("svc_2", 250)], buckets
    assert found["by_actor"]["sum_other_doc_count"] == COUNT - 750
    assert buckets[0]["n"]["count"] == 250 and sum(b["doc_count"] for b in buckets[0]["hours"]["buckets"]) == 250
    assert buckets[0]["hours"]["buckets"][0]["key_as_string"].endswith(":00:00.000Z")
    assert found["outcomes"]["buckets"]["no"]["doc_count"] == 250
    assert found["outcomes"]["buckets"]["yes"]["doc_count"] == 2250
    assert found["actors"] == {"value": 10}, found["actors"]

    # fields
    properties = mapping_of(client.indices.get_mapping(index="default"))
    assert properties["@timestamp"] == {"type": "date"} and properties["seq"] == {"type": "long"}
    assert properties["actor"]["properties"]["id"] == {"type": "keyword"}
    caps = client.field_caps(index="default", fields=["*"])["fields"]
    assert caps["@timestamp"]["date"]["aggregatable"] and not caps["message"]["text"]["aggregatable"]
    assert caps["source.ip"]["ip"]["searchable"]

    # indices
    assert client.indices.exists(index="default") and not client.indices.exists(index="nothing")
    listed = client.cat.indices(format="json", h="index,docs.count")
    assert [row["index"] for row in listed] == ["default"], listed
    assert int(listed[0]["docs.count"]) >= COUNT
    assert client.cluster.health()["status"] == "green"
    assert list(client.indices.get(index="def*")) == ["default"]

    # several searches at once, of which one is refused
    lines = [{"index": "default"}, {"size": 0}, {"index": "nothing"}, {"size": 0}, {}, {"query": {"fuzzy": {"kind": "x"}}}]
    several = (client.msearch(searches=lines) if "elasticsearch" in sys.argv else client.msearch(body=lines))["responses"]
    assert [one["status"] for one in several] == [200, 404, 400], several
    assert several[1]["error"]["type"] == "index_not_found_exception"


def personal(client, search):
    """A reader sees nobody, in no clause."""
    everybody = {"query": {"exists": {"field": "actor.name"}}}
    assert search(everybody)["hits"]["total"]["value"] == 0
    assert search({"query": {"match": {"actor.name": "Ann"}}})["hits"]["total"]["value"] == 0
    assert search({"query": {"term": {"actor.id": "u_ann"}}})["hits"]["total"]["value"] == 0
    text = str(search({"query": {"term": {"action": "people.login"}}, "size": 10, "fields": ["*"],
                       "sort": [{"actor.id": "asc"}], "highlight": {"fields": {"*": {}}},
                       "aggs": {"who": {"terms": {"field": "actor.id"}}}}))
    assert "[personal]" in text and "people.login" in text and "Ann" not in text and "u_ann" not in text, text
    caps = client.field_caps(index="default", fields="*")["fields"]
    assert "actor.name" not in caps and "source.ip" not in caps and "user.email" not in caps and "actor.id" in caps


def elasticsearch():
    from elasticsearch import ApiError, Elasticsearch, helpers

    def connect(credential):
        return Elasticsearch(f"{ADDRESS}/es", basic_auth=("x", credential), request_timeout=60, max_retries=0)

    client = connect(CREDENTIAL)
    assert client.info()["version"]["number"].startswith("8.")
    assert client.ping()

    def search(body, client=client):
        return client.search(index="default", **{{"from": "from_", "_source": "source"}.get(k, k): v for k, v in body.items()})

    common(client, helpers, search, lambda answer: answer["default"]["mappings"]["properties"])
    assert client.options(headers={"accept": "text/plain"}).cat.indices(h="i").body.strip() == "default"

    # a point in time stays as it is
    pit = client.open_point_in_time(index="default", keep_alive="1m")["id"]
    before = client.search(pit={"id": pit}, size=0)["hits"]["total"]["value"]
    helpers.bulk(client, [{"_index": "default", "action": "later", "actor": {"type": "service", "id": "later"}}])
    assert client.search(pit={"id": pit}, size=0)["hits"]["total"]["value"] == before
    assert client.count(index="default")["count"] == before + 1
    seen, after = set(), None
    while True:
        page = client.search(pit={"id": pit}, size=1000, sort=[{"@timestamp": "asc"}], **({"search_after": after} if after else {}))
        hits = page["hits"]["hits"]
        if not hits:
            break
        assert not seen & {hit["_id"] for hit in hits}
        seen |= {hit["_id"] for hit in hits}
        after = hits[-1]["sort"]
    assert len(seen) == before
    client.close_point_in_time(id=pit)

    fails(ApiError, 404, lambda: client.search(index="nothing"), "index_not_found_exception")
    fails(ApiError, 400, lambda: client.search(index="default", query={"fuzzy": {"kind": "x"}}), "fuzzy")
    fails(ApiError, 405, lambda: client.index(index="default", document={}))
    fails(ApiError, 405, lambda: client.indices.create(index="more"))
    fails(ApiError, 405, lambda: client.indices.delete(index="default"))
    fails(ApiError, 405, lambda: client.delete_by_query(index="default", query={"match_all": {}}))
    fails(ApiError, 401, lambda: connect("nobody").info(), "security_exception")
    reader = connect(READER)
    personal(reader, lambda body: search(body, reader))


def opensearch():
    from opensearchpy import OpenSearch, helpers
    from opensearchpy.exceptions import TransportError

    def connect(credential):
        return OpenSearch(f"{ADDRESS}/es", http_auth=("x", credential), timeout=60, max_retries=0)

    client = connect(CREDENTIAL)
    assert client.info()["version"]["number"]

    def search(body, client=client):
        return client.search(index="default", body=body)

    common(client, helpers, search, lambda answer: answer["default"]["mappings"]["properties"])
    assert client.cat.indices(h="i").strip() == "default"
    pit = client.create_pit(index="default", params={"keep_alive": "1m"})["pit_id"]
    assert client.search(body={"pit": {"id": pit}, "size": 0})["hits"]["total"]["value"] >= COUNT
    fails(TransportError, 404, lambda: client.search(index="nothing"), "index_not_found_exception")
    fails(TransportError, 405, lambda: client.index(index="default", body={}))
    reader = connect(READER)
    personal(reader, lambda body: search(body, reader))


if __name__ == "__main__":
    {"elasticsearch": elasticsearch, "opensearch": opensearch}[sys.argv[1]]()
    print("read")
