//! The one thread that speaks with Vault: it keeps the token, renews it in time, and asks one thing after the other.
//!
//! Callers are threads without a runtime, or of somebody else's; the client below is asynchronous. So it has a thread with a runtime of its
//! own, which ends with the last who may ask.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use attestore_outbound::{Body, Client, Configured, Limits, Method, Request, Url, header};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::{VaultAt, VaultLogin};
use crate::{Error, Result};

/// What asks the thread.
pub(super) struct Agent {
    name: String,
    calls: parking_lot::Mutex<Sender<Call>>,
}

/// What Vault answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    retry_after: Option<Duration>,
}

impl Answer {
    pub(super) const fn is_success(&self) -> bool {
        matches!(self.status, 200 | 204)
    }

    fn is_sealed(&self) -> bool {
        self.status == 503 && self.errors().contains("sealed")
    }

    /// Whether another try, soon, may do: limits, a node that does not have everything yet, a node or proxy in trouble.
    fn is_passing(&self) -> bool {
        matches!(self.status, 412 | 429 | 500 | 502 | 503 | 504) && !self.is_sealed()
    }

    fn errors(&self) -> String {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        let errors: Vec<&str> = errors.filter_map(Value::as_str).collect();
        errors.join("; ")
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "status {}", self.status)?;
        let errors: String = self
            .errors()
            .chars()
            .filter(|one| !one.is_control())
            .take(ERRORS_MAX)
            .collect();
        match errors.is_empty() {
            true => Ok(()),
            false => write!(out, ", {errors}"),
        }
    }
}

struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
    answer: Sender<Result<Answer>>,
}

impl Agent {
    /// Starts the thread and logs in.
    pub(super) fn begin(at: VaultAt, login: VaultLogin) -> Result<Self> {
        let name = format!("Vault at {}", at.address);
        let wrong = |what: String| Error::MissingKey {
            what: format!("{name}: {what}"),
        };
        let rule = Configured { loopback_http: true };
        let url = rule.url(&at.address).map_err(|error| wrong(error.to_string()))?;
        let roots = match &at.ca {
            Some(pem) => attestore_outbound::roots_with(pem).map_err(wrong)?,
            None => attestore_outbound::roots_of_the_web(),
        };
        if at
            .namespace
            .as_ref()
            .is_some_and(|name| header::HeaderValue::from_str(name).is_err())
        {
            return Err(wrong("the namespace has no place in a request".to_owned()));
        }
        let client = Client::new(roots).map_err(wrong)?;
        let (calls, asked) = channel();
        let (ready, began) = channel();
        let speaker = Speaker {
            name: name.clone(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            client,
            rule,
            url,
            namespace: at.namespace,
            login,
            token: Zeroizing::default(),
            renew_at: None,
        };
        std::thread::Builder::new()
            .name("attestore-vault".to_owned())
            .spawn(move || speaker.run(&ready, &asked))?;
        let agent = Self {
            name,
            calls: parking_lot::Mutex::new(calls),
        };
        began.recv().map_err(|_| agent.said("its thread ended"))??;
        Ok(agent)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn said(&self, what: &str) -> Error {
        Error::Unreachable {
            what: format!("{}: {what}", self.name),
        }
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer> {
        self.ask(Method::GET, path, None)
    }

    pub(super) fn post(&self, path: &str, body: Value) -> Result<Answer> {
        self.ask(Method::POST, path, Some(body))
    }

    pub(super) fn delete(&self, path: &str) -> Result<Answer> {
        self.ask(Method::DELETE, path, None)
    }

    fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        let (answer, answered) = channel();
        let path = path.to_owned();
        let call = Call {
            method,
            path,
            body,
            answer,
        };
        let ended = || self.said("its thread ended");
        self.calls.lock().send(call).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())?
    }
}

/// What the thread has.
struct Speaker {
    name: String,
    runtime: Runtime,
    client: Client,
    rule: Configured,
    url: Url,
    namespace: Option<String>,
    login: VaultLogin,
    token: Zeroizing<String>,
    /// When the token is renewed; never, if it needs no renewal or cannot be.
    renew_at: Option<Instant>,
}

impl Speaker {
    fn run(mut self, ready: &Sender<Result<()>>, asked: &Receiver<Call>) {
        let begun = self.log_in();
        let failed = begun.is_err();
        if ready.send(begun).is_err() || failed {
            return;
        }
        loop {
            let wait = self
                .renew_at
                .map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
            match asked.recv_timeout(wait) {
                Ok(call) => {
                    let answer = self.answer(&call);
                    // Who does not wait any more does not matter.
                    let _ = call.answer.send(answer);
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.renew_at.is_some_and(|at| at <= Instant::now()) {
                self.renew();
            }
        }
    }

    /// Asks once; where the token is refused and another can be drawn, once more.
    fn answer(&mut self, call: &Call) -> Result<Answer> {
        let answer = self.patiently(&call.method, &call.path, call.body.as_ref())?;
        if answer.status != 403 || matches!(self.login, VaultLogin::Token(_)) {
            return Ok(answer);
        }
        self.log_in()?;
        self.patiently(&call.method, &call.path, call.body.as_ref())
    }

    /// Gets a token, or makes sure that the one at hand works.
    fn log_in(&mut self) -> Result<()> {
        let (path, answer) = match &self.login {
            VaultLogin::Token(token) => {
                self.token = token.clone();
                let path = "auth/token/lookup-self";
                (path, self.patiently(&Method::GET, path, None)?)
            }
            VaultLogin::AppRole { role_id, secret_id } => {
                self.token = Zeroizing::default();
                let path = "auth/approle/login";
                let body = json!({ "role_id": role_id, "secret_id": secret_id.as_str() });
                (path, self.patiently(&Method::POST, path, Some(&body))?)
            }
        };
        let (of, lease) = match self.login {
            VaultLogin::Token(_) => ("data", "ttl"),
            VaultLogin::AppRole { .. } => ("auth", "lease_duration"),
        };
        match answer.status {
            200 => {}
            400 | 401 | 403 => {
                let what = format!("{} for {}: {answer}", self.login.name(), self.name);
                return Err(Error::WrongKey { what });
            }
            _ => return Err(self.said(&format!("{path}: {answer}"))),
        }
        if let Some(token) = answer.body["auth"]["client_token"].as_str() {
            self.token = Zeroizing::new(token.to_owned());
        }
        if self.token.is_empty() {
            return Err(self.said(&format!("{path}: no token")));
        }
        self.plan(&answer.body[of], lease);
        Ok(())
    }

    /// Renews the token when half of its time is over.
    fn plan(&mut self, told: &Value, lease: &str) {
        let seconds = told[lease].as_u64().unwrap_or(0);
        let can =
            told["renewable"].as_bool().unwrap_or(false) || matches!(self.login, VaultLogin::AppRole { .. });
        let half = Duration::from_secs(seconds / 2).clamp(RENEW_MIN, RENEW_MAX);
        self.renew_at = (seconds > 0 && can).then(|| Instant::now() + half);
    }

    /// Renews the token, or draws another. Where neither works it is tried again: until the token ends, it goes on being used.
    fn renew(&mut self) {
        let renewed = self.patiently(&Method::POST, "auth/token/renew-self", Some(&json!({})));
        if let Ok(answer) = &renewed
            && answer.status == 200
            && answer.body["auth"]["renewable"] == true
        {
            return self.plan(&answer.body["auth"], "lease_duration");
        }
        if matches!(self.login, VaultLogin::AppRole { .. }) && self.log_in().is_ok() {
            return;
        }
        self.renew_at = Some(Instant::now() + RENEW_MIN);
    }

    /// Asks; what may pass is tried again, a few times.
    fn patiently(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut pause = PAUSE;
        for tried in 1.. {
            let answer = self.once(method, path, body);
            let last = tried == TRIES;
            match answer {
                Ok(answer) if answer.is_sealed() => return Err(self.said("it is sealed")),
                Ok(answer) if answer.is_passing() => {
                    if last {
                        return Err(self.said(&format!("{path}: {answer}")));
                    }
                    pause = answer.retry_after.unwrap_or(pause).min(PAUSE_MAX);
                }
                Ok(answer) => return Ok(answer),
                Err(error) if last => return Err(error),
                Err(_) => {}
            }
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2);
        }
        Err(self.said("no answer"))
    }

    fn once(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method.clone())
            .header("x-vault-request", "true");
        if !self.token.is_empty() {
            request = request.header("x-vault-token", self.token.as_str());
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                body.to_string().into()
            }
            None => Default::default(),
        };
        let request = request.body(bytes).map_err(|error| Error::MissingKey {
            what: format!("{}: {error}", self.login.name()),
        })?;
        let url = self.url.below(&format!("v1/{path}"));
        let sent = self
            .runtime
            .block_on(self.client.send(&url, &self.rule, request, LIMITS));
        let response = sent.map_err(|error| self.said(&error.to_string()))?;
        let after = response.headers.get(header::RETRY_AFTER);
        let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
        Ok(Answer {
            status: response.status.as_u16(),
            body: serde_json::from_slice(&response.body).unwrap_or_default(),
            retry_after: after.map(Duration::from_secs),
        })
    }

    fn said(&self, what: &str) -> Error {
        Error::Unreachable {
            what: format!("{}: {what}", self.name),
        }
    }
}

const LIMITS: Limits = Limits {
    time: Duration::from_secs(5),
    body: Body::Whole(256 << 10),
};
/// How often one thing is asked.
const TRIES: u32 = 3;
/// How long to wait before the second time; twice as long before the third.
const PAUSE: Duration = Duration::from_millis(200);
/// And at most, whatever Vault asks for.
const PAUSE_MAX: Duration = Duration::from_secs(2);
const RENEW_MIN: Duration = Duration::from_secs(1);
const RENEW_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long to wait where nothing is to be renewed.
const IDLE: Duration = Duration::from_secs(3600);
/// Characters of Vault's errors that are passed on.
const ERRORS_MAX: usize = 200;
