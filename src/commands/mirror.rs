//! `attestore mirror`.

use std::sync::Arc;
use std::time::Duration;

use attestore_disk::SystemClock;
use attestore_tlog::{Bundle, VerifierKey};
use attestore_witness::mirror::{Mirror, MirrorError, MirrorSource};
use indicatif::{ProgressBar, ProgressStyle};

use super::checkpoint::prefix;
use super::witness::{locked, open_identity};
use crate::cli::MirrorArgs;
use crate::client::Client;
use crate::failure::{DAMAGE, FAILED, Failure};
use crate::output;

/// Copies what is new of a log, once or for ever.
pub fn run(args: &MirrorArgs) -> Result<(), Failure> {
    let key = VerifierKey::parse(args.vkey.trim())
        .map_err(|error| Failure::usage(format!("--vkey: not the key of a log: {error}")))?;
    let source = Remote {
        client: Client::new(&args.on.remote)?,
        prefix: prefix(&args.on),
    };
    let (disk, _lock) = locked(&args.data)?;
    let identity = match &args.cosign {
        Some(name) => Some(open_identity(&disk, Some(name))?),
        None => None,
    };
    if let Some(identity) = &identity {
        output::note(format!("cosigning as {}", identity.verifier()));
    }
    let mut mirror = Mirror::open(disk, Arc::new(SystemClock), key, identity).map_err(failure)?;
    loop {
        let bar = bar();
        let step = mirror.step(&source, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        match step {
            Ok(step) if step.new > 0 || !args.follow => {
                output::line(format!("{} records, {} of them new", step.size, step.new))?;
            }
            Ok(_) => {}
            // It may be back the next time.
            Err(error @ MirrorError::Source(_)) if args.follow => output::note(format!("attestore: {error}")),
            Err(error) => return Err(failure(error)),
        }
        if !args.follow {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(args.interval));
    }
}

fn failure(error: MirrorError) -> Failure {
    let code = if error.is_evidence() || matches!(error, MirrorError::Damaged(_)) {
        DAMAGE
    } else {
        FAILED
    };
    let kept = if error.is_evidence() {
        "; what the log signed is kept in misbehaviour/"
    } else {
        ""
    };
    Failure::new(code, format!("{error}{kept}"))
}

struct Remote {
    client: Client,
    prefix: String,
}

impl MirrorSource for Remote {
    fn checkpoint(&self) -> Result<String, String> {
        let text = self.client.get_text(&format!("{}/checkpoint", self.prefix));
        text.map_err(|failure| failure.message)
    }

    fn entries(&self, bundle: Bundle) -> Result<Vec<u8>, String> {
        let bytes = self.client.get(&format!("{}/{bundle}", self.prefix));
        bytes.map_err(|failure| failure.message)
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}
