//! `attestore tail`: prints records as they come, and goes on by itself where a connection breaks.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde_json::Value;

use super::search::{HEAD, row};
use crate::cli::{TailArgs, TailOutput};
use crate::client::{Client, Streaming, escape};
use crate::failure::Failure;
use crate::output;

/// A server says something every 15 seconds; one that is silent for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long to wait before connecting anew, unless the server says something else.
const RETRY: Duration = Duration::from_secs(1);
/// The longest wait that a server may ask for.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Lines that are read ahead.
const LINES_AHEAD: usize = 256;

/// Prints the records that match until it is ended.
pub fn run(args: &TailArgs) -> Result<(), Failure> {
    let client = Client::new(&args.on.remote)?;
    let path = format!(
        "/v1/tenants/{}/tail?q={}&from={}",
        escape(&args.on.tenant),
        escape(&args.query),
        escape(&args.from)
    );
    let mut shown = Shown::new(args);
    let mut connected = false;
    loop {
        let last = shown.last.as_deref().map(|id| ("last-event-id", id));
        let answer = client.stream(&path, last.as_slice());
        let wait = match answer {
            Ok(Streaming::Open(body)) => {
                if shown.broke {
                    output::note("connected again");
                }
                (connected, shown.broke) = (true, false);
                shown.follow(lines(body))?;
                shown.retry
            }
            Ok(Streaming::Busy(after)) => after.unwrap_or(RETRY),
            Ok(Streaming::Refused(failure)) => return Err(failure),
            Err(failure) if !connected => return Err(failure),
            Err(_) => shown.retry,
        };
        if !shown.broke {
            output::note("the connection ended; connecting again");
            shown.broke = true;
        }
        std::thread::sleep(wait.min(RETRY_MAX));
    }
}

/// What was shown, and where to go on.
struct Shown {
    output: TailOutput,
    head: bool,
    last: Option<String>,
    retry: Duration,
    broke: bool,
}

/// An event in the making (WHATWG HTML, section 9.2.6).
#[derive(Default)]
struct Event {
    name: String,
    data: String,
    id: Option<String>,
}

impl Shown {
    fn new(args: &TailArgs) -> Self {
        Self {
            output: args.output,
            head: false,
            last: None,
            retry: RETRY,
            broke: false,
        }
    }

    /// Shows events until the stream ends or falls silent.
    fn follow(&mut self, lines: Receiver<String>) -> Result<(), Failure> {
        let mut event = Event::default();
        loop {
            let line = match lines.recv_timeout(SILENCE_MAX) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if line.is_empty() {
                self.show(std::mem::take(&mut event))?;
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => event.name = value.to_owned(),
                "data" => {
                    if !event.data.is_empty() {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                }
                "id" => event.id = Some(value.to_owned()),
                "retry" => {
                    if let Ok(ms) = value.parse() {
                        self.retry = Duration::from_millis(ms);
                    }
                }
                _ => {}
            }
        }
    }

    fn show(&mut self, event: Event) -> Result<(), Failure> {
        if !event.data.is_empty() {
            let data: Value = serde_json::from_str(&event.data)?;
            match event.name.as_str() {
                "" => self.record(&data)?,
                "gap" => output::note(format!(
                    "records {} to {} are no longer held",
                    data["first"], data["last"]
                )),
                "end" if data["reason"] == "failed" => {
                    return Err(Failure::failed(
                        data["detail"].as_str().unwrap_or("the tail failed"),
                    ));
                }
                _ => {}
            }
        }
        // Only now: what was not shown is asked for again.
        if event.id.is_some() {
            self.last = event.id;
        }
        Ok(())
    }

    fn record(&mut self, record: &Value) -> Result<(), Failure> {
        if self.output == TailOutput::Ndjson {
            return output::ndjson(record);
        }
        if !std::mem::replace(&mut self.head, true) {
            output::line(aligned(&HEAD.map(str::to_owned)))?;
        }
        output::line(aligned(&row(record)))
    }
}

/// Reads the lines of a stream on a thread of its own, so that silence can be told from a stream that goes on.
fn lines(body: ureq::BodyReader<'static>) -> Receiver<String> {
    let (sender, receiver) = sync_channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in BufReader::new(body).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A row whose columns begin where those of other rows do, unless a value before them is long.
fn aligned(cells: &[String; 7]) -> String {
    const WIDTHS: [usize; 7] = [8, 24, 24, 8, 20, 24, 0];
    let padded = cells.iter().zip(WIDTHS).map(|(cell, width)| {
        let cell = output::visible(cell);
        format!("{cell:width$}")
    });
    padded.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn rows_stay_on_one_line_whatever_is_in_them() {
        let row = ["1", "t", "a\nb", "", "\u{1b}[2J", "x", "ip"].map(str::to_owned);
        let line = aligned(&row);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.starts_with("1        t"));
    }
}
