//! `attestore unseal`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::UnsealArgs;
use crate::client::Client;
use crate::failure::{Failure, KEYS};
use crate::{output, root};

/// Asks for the secret, gives it to the server, and waits until that serves.
pub fn run(args: &UnsealArgs) -> Result<(), Failure> {
    let client = Client::public(&args.remote)?;
    let (name, what) = match (args.pin, args.vault_token) {
        (true, _) => ("pin", "PIN"),
        (_, true) => ("vault_token", "token or secret id"),
        _ => ("passphrase", "passphrase"),
    };
    let secret = root::typed(what)?;
    let answer = client.post_once("/v1/unseal", &json!({ name: secret.as_str() }))?;
    if answer.status != 202 {
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = problem["code"].as_str().unwrap_or("refused");
        let text = output::visible(&answer.problem());
        return Err(match code {
            "wrong_passphrase" | "root_unavailable" => Failure::new(KEYS, text),
            _ => Failure::failed(text),
        });
    }
    let until = Instant::now() + Duration::from_secs(args.wait_s);
    while Instant::now() < until {
        let ready: Value = serde_json::from_slice(&client.get_any("/readyz")?).unwrap_or_default();
        if ready["ready"].is_boolean() {
            return output::line("unsealed");
        }
        std::thread::sleep(LOOK);
    }
    output::line("unsealed; the server is starting")
}

const LOOK: Duration = Duration::from_millis(200);
