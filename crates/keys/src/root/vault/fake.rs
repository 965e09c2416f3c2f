//! Answers as the transit engine, AppRole and tokens of Vault do, as far as their public description of the API says: paths, fields,
//! statuses, words of errors. It encrypts nothing: a ciphertext is a number, and what it stands for goes with its key.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Value, json};

/// A token that works from the start.
pub const TOKEN: &str = "hvs.fake-root";
/// An AppRole that works from the start.
pub const ROLE: (&str, &str) = ("role-1", "secret-1");

/// A server on this machine.
#[derive(Clone)]
pub struct Fake {
    pub address: String,
    state: Arc<Mutex<State>>,
}

/// What it has, and how it behaves.
pub struct State {
    /// Transit keys by name.
    pub keys: BTreeMap<String, TransitKey>,
    pub tokens: BTreeSet<String>,
    /// Seconds that tokens are good for; 0 for always.
    pub ttl: u64,
    pub sealed: bool,
    /// So many answers are this status first.
    pub trouble: (u32, u16),
    /// As versions before 1.9: `associated_data` is passed over.
    pub ignores_associated_data: bool,
    /// The policy of tokens says nothing of `config`.
    pub denies_config: bool,
    /// Whether the transit engine is mounted.
    pub mounted: bool,
    /// Requests must be for this namespace.
    pub namespace: Option<String>,
    /// `METHOD path` of everything that was asked.
    pub asked: Vec<String>,
    made: u64,
}

/// A transit key.
#[derive(Default)]
pub struct TransitKey {
    pub deletion_allowed: bool,
    pub exportable: bool,
    /// Plaintext and associated data, both base64, by ciphertext.
    sealed: BTreeMap<String, (String, String)>,
}

struct Asked {
    method: String,
    path: String,
    token: String,
    namespace: String,
    body: Value,
}

impl Fake {
    /// Begins to answer.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::new(Mutex::new(State {
                keys: BTreeMap::new(),
                tokens: BTreeSet::from([TOKEN.to_owned()]),
                ttl: 0,
                sealed: false,
                trouble: (0, 429),
                ignores_associated_data: false,
                denies_config: false,
                mounted: true,
                namespace: None,
                asked: Vec::new(),
                made: 0,
            })),
        };
        let serving = fake.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        fake
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some(asked) = read(&stream) else { return };
        let (status, body) = self.state().answer(&asked);
        let body = if status == 204 {
            String::new()
        } else {
            body.to_string()
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(body.as_bytes());
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    Some(Asked {
        method,
        path,
        token: header("x-vault-token"),
        namespace: header("x-vault-namespace"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

fn error(status: u16, text: &str) -> (u16, Value) {
    (status, json!({ "errors": [text] }))
}

impl State {
    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        self.asked.push(format!("{} {}", asked.method, asked.path));
        if self.sealed {
            return error(503, "Vault is sealed");
        }
        if self.trouble.0 > 0 {
            self.trouble.0 -= 1;
            return error(self.trouble.1, "request path: rate limit quota exceeded");
        }
        if self
            .namespace
            .as_ref()
            .is_some_and(|name| *name != asked.namespace)
        {
            return error(403, "permission denied");
        }
        let path = asked.path.strip_prefix("/v1/").unwrap_or_default();
        if path == "auth/approle/login" {
            return self.approle(&asked.body);
        }
        if !self.tokens.contains(&asked.token) {
            return error(403, "permission denied");
        }
        let parts: Vec<&str> = path.split('/').collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["auth", "token", "lookup-self"]) => (
                200,
                json!({ "data": { "id": asked.token, "ttl": self.ttl, "renewable": self.ttl > 0 } }),
            ),
            ("POST", ["auth", "token", "renew-self"]) => (200, json!({ "auth": self.auth(&asked.token) })),
            (method, ["transit", rest @ ..]) if self.mounted => self.transit(method, rest, &asked.body),
            _ => error(
                404,
                &format!("no handler for route \"{path}\". route entry not found."),
            ),
        }
    }

    fn auth(&self, token: &str) -> Value {
        json!({ "client_token": token, "lease_duration": self.ttl, "renewable": self.ttl > 0 })
    }

    fn approle(&mut self, body: &Value) -> (u16, Value) {
        if (body["role_id"].as_str(), body["secret_id"].as_str()) != (Some(ROLE.0), Some(ROLE.1)) {
            return error(400, "invalid role or secret ID");
        }
        self.made += 1;
        let token = format!("hvs.fake-{}", self.made);
        self.tokens.insert(token.clone());
        (200, json!({ "auth": self.auth(&token) }))
    }

    fn transit(&mut self, method: &str, path: &[&str], body: &Value) -> (u16, Value) {
        match (method, path) {
            ("POST", ["keys", name]) => {
                let key = self.keys.entry((*name).to_owned()).or_default();
                key.exportable = key.exportable || body["exportable"] == true;
                (200, told(name, key))
            }
            ("GET", ["keys", name]) => match self.keys.get(*name) {
                Some(key) => (200, told(name, key)),
                None => (404, json!({ "errors": [] })),
            },
            ("POST", ["keys", _, "config"]) if self.denies_config => {
                error(403, "1 error occurred: permission denied")
            }
            ("POST", ["keys", name, "config"]) => match self.keys.get_mut(*name) {
                Some(key) => {
                    key.deletion_allowed = body["deletion_allowed"] == true;
                    (200, told(name, key))
                }
                None => error(400, &format!("no existing key named {name} could be found")),
            },
            ("DELETE", ["keys", name]) => match self.keys.get(*name) {
                Some(key) if key.deletion_allowed => {
                    self.keys.remove(*name);
                    (204, Value::Null)
                }
                Some(_) => error(
                    400,
                    &format!("error deleting policy {name}: deletion is not allowed for this policy"),
                ),
                None => error(
                    400,
                    &format!("error deleting policy {name}: could not delete key; not found"),
                ),
            },
            ("POST", ["encrypt", name]) => {
                self.made += 1;
                let ciphertext = format!("vault:v1:{}", self.made);
                let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
                let given = if self.ignores_associated_data {
                    String::new()
                } else {
                    text("associated_data")
                };
                // A key that is not there is made.
                let key = self.keys.entry((*name).to_owned()).or_default();
                key.sealed.insert(ciphertext.clone(), (text("plaintext"), given));
                (
                    200,
                    json!({ "data": { "ciphertext": ciphertext, "key_version": 1 } }),
                )
            }
            ("POST", ["decrypt", name]) => {
                let Some(key) = self.keys.get(*name) else {
                    return error(400, "encryption key not found");
                };
                let sealed = key.sealed.get(body["ciphertext"].as_str().unwrap_or_default());
                let given = body["associated_data"].as_str().unwrap_or_default();
                let fits = |bound: &str| self.ignores_associated_data || bound == given;
                match sealed {
                    Some((plaintext, bound)) if fits(bound) => {
                        (200, json!({ "data": { "plaintext": plaintext } }))
                    }
                    _ => error(400, "cipher: message authentication failed"),
                }
            }
            _ => error(404, "unsupported path"),
        }
    }
}

fn told(name: &str, key: &TransitKey) -> Value {
    json!({ "data": {
        "name": name,
        "type": "aes256-gcm96",
        "derived": false,
        "deletion_allowed": key.deletion_allowed,
        "exportable": key.exportable,
        "allow_plaintext_backup": false,
        "latest_version": 1,
    } })
}
