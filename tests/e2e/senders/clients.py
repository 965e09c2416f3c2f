"""Sends audit records with the clients that people use, each as its documentation says.

Usage: clients.py CLIENT COUNT, with ADDRESS (http://host:port) and CREDENTIAL in the environment. Every record has an id
that no other has: `CLIENT-0` to `CLIENT-<COUNT - 1>`.
"""

import os
import sys
import time

ADDRESS = os.environ["ADDRESS"]
CREDENTIAL = os.environ["CREDENTIAL"]
TIME = "2026-11-22T02:06:14.123456+00:00"


def repeated(send):
    """Does it again, as senders do, until the server could be asked: it may be restarted meanwhile."""
    for _ in range(100):
        try:
            return send()
        except Exception as error:
            if type(error).__name__ not in ("ConnectionError", "ConnectionTimeout", "ConnectionResetError"):
                raise
            time.sleep(0.1)
    raise SystemExit("the server did not come back")


def documents(kind, count):
    for n in range(count):
        yield {
            "_index": "default",
            "_id": f"{kind}-{n}",
            "@timestamp": TIME,
            "event": {"action": "user-login", "outcome": "failure"},
            "user": {"name": f"{kind}-{n}"},
            "source": {"ip": "203.0.113.9"},
        }


def otel(count):
    import logging

    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource

    provider = LoggerProvider(resource=Resource.create({"service.name": "portal"}))
    exporter = OTLPLogExporter(
        endpoint=f"{ADDRESS}/v1/logs",
        headers={"authorization": f"Bearer {CREDENTIAL}"},
        timeout=60,
    )
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    try:
        from opentelemetry.sdk._logs import LoggingHandler
    except ImportError:
        from opentelemetry.instrumentation.logging.handler import LoggingHandler
    logger = logging.getLogger("audit")
    logger.setLevel(logging.INFO)
    logger.addHandler(LoggingHandler(logger_provider=provider))
    for n in range(count):
        logger.info("login", extra={"action": "user.login", "user.id": f"otel-{n}", "outcome": "failure"})
    assert provider.force_flush(120_000)
    provider.shutdown()


def elasticsearch(count):
    from elasticsearch import Elasticsearch, helpers

    client = Elasticsearch(
        f"{ADDRESS}/es",
        basic_auth=("attestore", CREDENTIAL),
        request_timeout=60,
        retry_on_timeout=True,
        max_retries=20,
    )
    assert repeated(client.info)["version"]["number"]
    done, errors = repeated(lambda: helpers.bulk(client, documents("elasticsearch", count), chunk_size=100))
    assert (done, errors) == (count, []), (done, errors)
    again, errors = repeated(lambda: helpers.bulk(client, documents("elasticsearch", count), chunk_size=100))
    assert (again, errors) == (count, []), (again, errors)
    change = {"_op_type": "delete", "_index": "default", "_id": "x"}
    done, errors = repeated(lambda: helpers.bulk(client, [change], raise_on_error=False))
    assert done == 0 and errors[0]["delete"]["status"] == 405, errors


def opensearch(count):
    from opensearchpy import OpenSearch, helpers

    client = OpenSearch(
        f"{ADDRESS}/es",
        http_auth=("attestore", CREDENTIAL),
        timeout=60,
        retry_on_timeout=True,
        max_retries=20,
    )
    done, errors = repeated(lambda: helpers.bulk(client, documents("opensearch", count), chunk_size=100))
    assert (done, errors) == (count, []), (done, errors)


def cloudevents(count):
    import requests

    try:
        from cloudevents.v1.conversion import to_binary, to_structured
        from cloudevents.v1.http import CloudEvent
    except ImportError:
        from cloudevents.conversion import to_binary, to_structured
        from cloudevents.http import CloudEvent

    for n in range(count):
        event = CloudEvent(
            {"type": "com.example.user.login", "source": "/portal", "id": f"cloudevents-{n}", "actor": f"cloudevents-{n}"},
            {"outcome": "failure"},
        )
        headers, body = (to_binary if n % 2 else to_structured)(event)
        headers["authorization"] = f"Bearer {CREDENTIAL}"
        for _ in range(2):  # a sender that did not get the answer sends again
            answer = repeated(
                lambda: requests.post(
                    f"{ADDRESS}/v1/tenants/default/ingest/cloudevents", data=body, headers=headers, timeout=60
                )
            )
            assert answer.status_code in (200, 201), (answer.status_code, answer.text)


if __name__ == "__main__":
    {"otel": otel, "elasticsearch": elasticsearch, "opensearch": opensearch, "cloudevents": cloudevents}[sys.argv[1]](
        int(sys.argv[2])
    )
