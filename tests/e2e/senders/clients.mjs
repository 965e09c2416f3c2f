// Sends audit records with the JavaScript clients that people use. See clients.py.
// Usage: node clients.mjs CLIENT COUNT, with ADDRESS, CREDENTIAL, and MODULES (the folder that has node_modules).
import { createRequire } from "node:module";

const require = createRequire(`${process.env.MODULES}/`);
const { ADDRESS, CREDENTIAL } = process.env;
const [client, count] = [process.argv[2], Number(process.argv[3])];

async function otel() {
  const { LoggerProvider, BatchLogRecordProcessor } = require("@opentelemetry/sdk-logs");
  const { OTLPLogExporter } = require("@opentelemetry/exporter-logs-otlp-http");
  const exporter = new OTLPLogExporter({
    url: `${ADDRESS}/v1/tenants/default/v1/logs`,
    headers: { authorization: `Bearer ${CREDENTIAL}` },
  });
  const processor = new BatchLogRecordProcessor({ exporter, maxQueueSize: 100_000 });
  const provider = new LoggerProvider({ processors: [processor] });
  const logger = provider.getLogger("audit");
  for (let n = 0; n < count; n++) {
    logger.emit({
      eventName: "user.login",
      severityNumber: 9,
      body: "login",
      attributes: { "user.id": `otel-js-${n}`, outcome: "failure", "client.address": "203.0.113.9" },
    });
  }
  await provider.forceFlush();
  await provider.shutdown();
}

async function cloudevents() {
  const { CloudEvent, HTTP, emitterFor, httpTransport } = require("cloudevents");
  for (let n = 0; n < count; n++) {
    const event = new CloudEvent({
      type: "com.example.user.login",
      source: "/portal-js",
      id: `cloudevents-js-${n}`,
      actor: `cloudevents-js-${n}`,
      data: { outcome: "failure" },
    });
    const { headers, body } = HTTP.binary(event);
    const answer = await fetch(`${ADDRESS}/v1/tenants/default/ingest/cloudevents`, {
      method: "POST",
      body,
      headers: { ...headers, authorization: `Bearer ${CREDENTIAL}` },
    });
    if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  }
}

await { otel, cloudevents }[client]();
