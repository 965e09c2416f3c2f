//! Somebody who listens to server-sent events.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

use crate::harness::Client;

/// Longer than anything that is waited for takes, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// An event as it arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: String,
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }

    pub fn seq(&self) -> u64 {
        self.json()["seq"].as_u64().unwrap()
    }
}

/// A stream under way.
pub struct Listener {
    events: Receiver<Event>,
    /// Headers of the answer, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The id of the last event that came.
    pub last: Option<String>,
    over: bool,
}

/// What a request for a stream was answered with.
pub enum Listened {
    Open(Listener),
    Refused(u16, Value, Option<String>),
}

/// Asks for a stream. `Err` when nobody answers.
pub fn try_listen(base: &str, secret: &str, path: &str, last: Option<&str>) -> Result<Listened, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(5)))
        .build()
        .into();
    let mut request = agent
        .get(format!("{base}{path}"))
        .header("authorization", format!("Bearer {secret}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut response = request.call()?;
    let headers: Vec<(String, String)> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    if response.status() != 200 {
        let after = headers.iter().find(|(name, _)| name == "retry-after");
        let after = after.map(|(_, value)| value.clone());
        let problem = serde_json::from_slice(&response.body_mut().read_to_vec()?).unwrap_or_default();
        return Ok(Listened::Refused(response.status().as_u16(), problem, after));
    }
    let (sender, events) = channel();
    let reader = BufReader::new(response.into_body().into_reader());
    std::thread::spawn(move || {
        let mut event = Event::default();
        for line in reader.lines() {
            let Ok(line) = line else { return };
            if line.is_empty() {
                if sender.send(std::mem::take(&mut event)).is_err() {
                    return;
                }
                continue;
            }
            let (field, value) = line.split_once(": ").unwrap();
            match field {
                "event" => event.name = value.to_owned(),
                "id" => event.id = Some(value.to_owned()),
                "data" => event.data.push_str(value),
                "retry" | "" => {}
                other => panic!("unknown field {other:?}"),
            }
        }
    });
    Ok(Listened::Open(Listener {
        events,
        headers,
        last: last.map(str::to_owned),
        over: false,
    }))
}

/// Asks for a stream that must open.
pub fn listen(base: &str, secret: &str, path: &str, last: Option<&str>) -> Listener {
    match try_listen(base, secret, path, last).unwrap() {
        Listened::Open(listener) => listener,
        Listened::Refused(status, problem, _) => panic!("{path}: {status} {problem}"),
    }
}

impl Listener {
    /// The next event; `None` when the stream has ended, or nothing came for so long.
    pub fn next_within(&mut self, patience: Duration) -> Option<Event> {
        let event = match self.events.recv_timeout(patience) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => {
                self.over = true;
                return None;
            }
        };
        if event.id.is_some() {
            self.last.clone_from(&event.id);
        }
        Some(event)
    }

    /// Whether the stream has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The next record.
    pub fn record(&mut self) -> Event {
        loop {
            let event = self.next_within(PATIENCE).expect("a record comes");
            assert!(
                matches!(event.name.as_str(), "" | "progress"),
                "a record comes, not {event:?}"
            );
            if event.name.is_empty() && !event.data.is_empty() {
                return event;
            }
        }
    }

    /// The seqs of the next records.
    pub fn seqs(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.record().seq()).collect()
    }

    /// The event of this name; records may come before it.
    pub fn named(&mut self, name: &str) -> Event {
        loop {
            let event = self
                .next_within(PATIENCE)
                .unwrap_or_else(|| panic!("{name} comes"));
            if event.name == name {
                return event;
            }
        }
    }
}

/// Appends events of these numbers.
pub fn append(client: &Client, tenant: &str, numbers: std::ops::Range<u64>) {
    for first in numbers.clone().step_by(500) {
        let lines: String = (first..numbers.end.min(first + 500))
            .map(|n| format!("{}\n", numbered(n)))
            .collect();
        let answer = client.post_ndjson(&format!("/v1/tenants/{tenant}/events"), &lines);
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

/// An event whose number can be asked for.
pub fn numbered(n: u64) -> Value {
    let mut event = crate::harness::event(n);
    event["metadata"]["shard"] = format!("s{}", n % 5).into();
    event
}
