//! The client against our own witness, and against witnesses that are wrong, slow, away or replaying.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use attestore_disk::{Clock as _, ManualClock, sim::SimDisk};
use attestore_outbound as outbound;
use attestore_tlog::{CosignerKey, Hash, Policy, SignedNote, cosign};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Consistency, Panel, Settings, SubmitError, Submitter};
use crate::tests::log::{NOW_S, ORIGIN, TestLog, clock, identity, open};
use crate::{Answer, Witness};

/// Answers `add-checkpoint` with a function of the body, for ever; the URL.
async fn serve(answer: impl Fn(&[u8]) -> Option<Answer> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/w", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let body = loop {
                let mut part = [0; 4096];
                let length = stream.read(&mut part).await.unwrap();
                request.extend_from_slice(&part[..length]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some(end) = text.find("\r\n\r\n") else {
                    continue;
                };
                assert!(text.starts_with("POST /w/add-checkpoint HTTP/1.1\r\n"), "{text}");
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .unwrap();
                if request.len() == end + 4 + length.parse::<usize>().unwrap() {
                    break request[end + 4..].to_vec();
                }
            };
            match answer(&body) {
                None => {
                    tokio::spawn(async move { stream.read(&mut [0]).await });
                }
                Some(answer) => {
                    let head = format!(
                        "HTTP/1.1 {} x\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n{}",
                        answer.status,
                        answer.content_type,
                        answer.body.len(),
                        answer.body
                    );
                    let _ = stream.write_all(head.as_bytes()).await;
                }
            }
        }
    });
    url
}

fn submitter(url: &str, key: &CosignerKey, clock: &ManualClock) -> Submitter {
    let settings = Settings {
        url: url.into(),
        key: key.clone(),
        origin: ORIGIN.into(),
        timeout: Duration::from_millis(300),
        allow_loopback_http: true,
    };
    let http = outbound::Client::new(outbound::roots_of_the_web()).unwrap();
    Submitter::new(settings, http, Arc::new(clock.clone())).unwrap()
}

async fn submit(submitter: &Submitter, log: &TestLog, size: u64) -> Result<(u64, u64), SubmitError> {
    let proof = |from, to| Ok::<Vec<Hash>, String>(log.proof(from, to));
    let cosigned = submitter.submit(&log.checkpoint(size), proof).await?;
    let mut note = SignedNote::parse(&log.checkpoint(size)).unwrap();
    note.add(&cosigned.lines).unwrap();
    assert_eq!(note.cosigned_at(submitter.key()), Ok(cosigned.time_s));
    note.verify(&log.vkey()).unwrap();
    Ok((cosigned.size, cosigned.time_s))
}

/// Our witness, how often it was asked, and a client of it.
async fn with_witness() -> (Arc<Witness>, Arc<AtomicUsize>, ManualClock, Submitter, String) {
    let clock = clock();
    let witness = Arc::new(open(&SimDisk::new(1), &clock, &[TestLog::new(1).vkey()]));
    let asked = Arc::new(AtomicUsize::new(0));
    let url = {
        let (witness, asked) = (witness.clone(), asked.clone());
        serve(move |body| {
            asked.fetch_add(1, Ordering::SeqCst);
            Some(witness.add_checkpoint(body))
        })
        .await
    };
    let submitter = submitter(&url, witness.key(), &clock);
    (witness, asked, clock, submitter, url)
}

#[tokio::test]
async fn one_request_is_enough_once_the_size_is_known() {
    let (_, asked, _, submitter, _) = with_witness().await;
    let log = TestLog::new(70);
    assert_eq!(submitter.state().size, None);
    for (size, requests) in [(5, 1), (5, 2), (64, 3), (70, 4)] {
        assert_eq!(submit(&submitter, &log, size).await, Ok((size, NOW_S)));
        assert_eq!(asked.load(Ordering::SeqCst), requests);
        let state = submitter.state();
        assert_eq!((state.size, state.failure, state.failures), (Some(size), None, 0));
        assert_eq!(state.cosigned_ms, Some(NOW_S * 1000));
    }
}

#[tokio::test]
async fn a_conflict_is_answered_with_a_proof_from_the_size_that_it_names() {
    let (witness, asked, clock, _, url) = with_witness().await;
    let log = TestLog::new(70);
    assert_eq!(witness.add_checkpoint(log.request(0, 13).as_bytes()).status, 200);
    let fresh = submitter(&url, witness.key(), &clock);
    assert_eq!(submit(&fresh, &log, 40).await, Ok((40, NOW_S)));
    assert_eq!(
        asked.load(Ordering::SeqCst),
        2,
        "asked with 0, told 13, asked with 13"
    );
    // Somebody else submits in between: what was known is no longer so.
    assert_eq!(witness.add_checkpoint(log.request(40, 50).as_bytes()).status, 200);
    assert_eq!(submit(&fresh, &log, 70).await, Ok((70, NOW_S)));
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_witness_that_has_more_than_the_log_is_evidence_of_a_rollback() {
    let (witness, _, _, submitter, _) = with_witness().await;
    let log = TestLog::new(70);
    assert_eq!(witness.add_checkpoint(log.request(0, 64).as_bytes()).status, 200);
    let error = submit(&submitter, &log, 60).await.unwrap_err();
    assert_eq!(
        error,
        SubmitError::Rollback {
            witness: 64,
            ours: 60
        }
    );
    assert!(error.is_evidence());
    let state = submitter.state();
    assert_eq!((state.size, state.failures), (Some(64), 1));
    // What was known of the size does not hide it the next time.
    assert_eq!(submit(&submitter, &log, 60).await, Err(error));
    assert_eq!(submit(&submitter, &log, 70).await, Ok((70, NOW_S)));
}

#[tokio::test]
async fn a_fork_is_told_from_everything_else() {
    let (witness, _, _, submitter, _) = with_witness().await;
    assert_eq!(
        witness
            .add_checkpoint(TestLog::new(70).request(0, 64).as_bytes())
            .status,
        200
    );
    let fork = TestLog::forked(70, 30, 1);
    for size in [64, 70] {
        let error = submit(&submitter, &fork, size).await.unwrap_err();
        assert_eq!(error, SubmitError::Inconsistent);
        assert!(error.is_evidence());
    }
    assert_eq!(witness.status()[0].head.unwrap().0, 64);
    assert_eq!(witness.status()[0].evidence, 2);
}

#[tokio::test]
async fn refusals_say_what_the_operator_has_to_do() {
    let (_, _, _, submitter, url) = with_witness().await;
    let stranger = TestLog::new(5).with_key(4);
    assert_eq!(
        submit(&submitter, &stranger, 5).await,
        Err(SubmitError::Signature)
    );
    let other = TestLog::new(5).with_origin("other.example");
    assert!(matches!(
        submit(&submitter, &other, 5).await,
        Err(SubmitError::Checkpoint(_))
    ));
    let clock = clock();
    let disk: Arc<dyn attestore_disk::Disk> = Arc::new(SimDisk::new(2));
    let mut settings = Settings {
        url,
        key: identity(&disk).verifier(),
        origin: "other.example".into(),
        timeout: Duration::from_secs(1),
        allow_loopback_http: true,
    };
    let http = outbound::Client::new(outbound::roots_of_the_web()).unwrap();
    let unknown = Submitter::new(settings.clone(), http.clone(), Arc::new(clock.clone())).unwrap();
    assert_eq!(submit(&unknown, &other, 5).await, Err(SubmitError::UnknownLog));
    settings.allow_loopback_http = false;
    assert!(
        Submitter::new(settings, http, Arc::new(clock)).is_err(),
        "without TLS"
    );
}

#[tokio::test]
async fn answers_of_a_wrong_or_replaying_witness_are_not_accepted() {
    let clock = clock();
    let disk: Arc<dyn attestore_disk::Disk> = Arc::new(SimDisk::new(3));
    let witness = Arc::new(identity(&disk));
    let key = witness.verifier();
    let log = TestLog::new(70);
    let lines = |checkpoint: &str, time_s: u64| {
        let note = SignedNote::parse(checkpoint).unwrap();
        format!("{}\n", cosign(note.text(), time_s, witness.as_ref()).unwrap())
    };
    let (now, other) = (lines(&log.checkpoint(5), NOW_S), lines(&log.checkpoint(6), NOW_S));
    let size = crate::SIZE_TYPE;
    let (text, too_many) = ("text/plain", now.repeat(200));
    for (status, content_type, body, accepted) in [
        (200, text, now.as_str(), true),
        (200, text, &lines(&log.checkpoint(5), NOW_S - 299), true),
        (
            200,
            text,
            &format!("{now}\u{2014} unknown.example AAAAAAA=\n"),
            true,
        ),
        (200, text, &other, false),
        (200, text, &format!("{now}{other}"), false),
        (200, text, &format!("{other}{now}"), false),
        (200, text, &lines(&log.checkpoint(5), NOW_S - 301), false),
        (200, text, &lines(&log.checkpoint(5), NOW_S + 301), false),
        (200, text, now.trim_end(), false),
        (200, text, &format!("{now}\n"), false),
        (200, text, "", false),
        (200, text, "\n", false),
        (200, text, "5\n", false),
        (200, text, "\u{2014} unknown.example AAAAAAA=\n", false),
        (200, text, &too_many, false),
        (201, text, &now, false),
        (302, text, &now, false),
        (409, text, "0\n", false),
        (409, size, "x\n", false),
        (409, size, "3", false),
        (409, size, "0\n", false),
        (500, text, &now, false),
        (503, text, "", false),
    ] {
        let answer = Answer {
            status,
            content_type,
            body: body.to_owned(),
        };
        let url = serve(move |_| Some(answer.clone())).await;
        let submitter = submitter(&url, &key, &clock);
        let result = submit(&submitter, &log, 5).await;
        assert_eq!(result.is_ok(), accepted, "{status} {:.300}: {result:?}", body);
        assert_eq!(submitter.state().failures, u64::from(!accepted));
        assert_eq!(submitter.state().cosigned_ms.is_some(), accepted);
        assert!(
            !matches!(result, Err(error) if error.is_evidence()),
            "nothing of it accuses the log"
        );
    }
    // Named sizes that never come to rest.
    let moving = AtomicUsize::new(0);
    let url = serve(move |_| {
        Some(Answer {
            status: 409,
            content_type: size,
            body: format!("{}\n", moving.fetch_add(1, Ordering::SeqCst) % 2 + 2),
        })
    })
    .await;
    let submitter = submitter(&url, &key, &clock);
    assert_eq!(submit(&submitter, &log, 5).await, Err(SubmitError::Moving));
}

#[tokio::test]
async fn a_witness_that_is_slow_or_away_is_given_up_in_time_and_tried_again() {
    let clock = clock();
    let disk: Arc<dyn attestore_disk::Disk> = Arc::new(SimDisk::new(3));
    let key = identity(&disk).verifier();
    let log = TestLog::new(70);
    let slow = submitter(&serve(|_| None).await, &key, &clock);
    let error = submit(&slow, &log, 5).await.unwrap_err();
    assert!(
        matches!(error, SubmitError::Unreachable(outbound::Error::Time(_))),
        "{error}"
    );
    let away = submitter("http://127.0.0.1:1/", &key, &clock);
    for failures in 1..=2 {
        let error = submit(&away, &log, 5).await.unwrap_err();
        assert!(
            matches!(error, SubmitError::Unreachable(outbound::Error::Connect(_))),
            "{error}"
        );
        assert_eq!(away.state().failures, failures);
        assert_eq!(away.state().failure, Some((clock.now_ms(), error)));
    }
}

#[tokio::test]
async fn a_proof_that_cannot_be_had_is_said() {
    let (witness, _, _, submitter, _) = with_witness().await;
    let log = TestLog::new(70);
    assert_eq!(witness.add_checkpoint(log.request(0, 13).as_bytes()).status, 200);
    let result = submitter
        .submit(&log.checkpoint(40), |from, to| {
            assert_eq!((from, to), (13, 40));
            Err::<Vec<Hash>, _>("the disk is gone")
        })
        .await;
    let reason = "the disk is gone".to_owned();
    assert_eq!(
        result,
        Err(SubmitError::Proof {
            from: 13,
            to: 40,
            reason
        })
    );
}

/// A witness of another name that serves, and its line for a policy.
async fn named(name: &str, clock: &ManualClock, slow: bool) -> String {
    let disk: Arc<dyn attestore_disk::Disk> = Arc::new(SimDisk::new(1));
    let seed = name.bytes().map(u64::from).sum();
    let entropy: Arc<dyn attestore_keys::Entropy> = Arc::new(attestore_keys::SeededEntropy::new(seed));
    let identity = crate::Identity::open_or_create(&disk, entropy, name).unwrap();
    let witness = Witness::open(disk, Arc::new(clock.clone()), identity, [TestLog::new(1).vkey()]).unwrap();
    let key = witness.key().to_string();
    let url = serve(move |body| (!slow).then(|| witness.add_checkpoint(body))).await;
    format!("witness {name} {key} {url}\n")
}

#[tokio::test]
async fn a_panel_is_done_with_the_quorum_and_says_who_failed() {
    let (clock, log) = (clock(), TestLog::new(70));
    let witnesses = format!(
        "{}{}{}",
        named("one", &clock, false).await,
        named("two", &clock, false).await,
        named("slow", &clock, true).await
    );
    let panel = |policy: &str| {
        let policy = Policy::parse(format!("{witnesses}{policy}").as_bytes()).unwrap();
        let http = outbound::Client::new(outbound::roots_of_the_web()).unwrap();
        let clock: Arc<dyn attestore_disk::Clock> = Arc::new(clock.clone());
        Panel::new(
            policy,
            log.vkey(),
            &http,
            &clock,
            Duration::from_millis(300),
            true,
        )
        .unwrap()
    };
    let proofs = Arc::new(TestLog::new(70));
    let consistency: Consistency = Arc::new(move |from, to| Ok(proofs.proof(from, to)));
    let two_of_three = panel("group g 2 one two slow\nquorum g\n");
    for size in [5, 40] {
        let long = Duration::from_secs(60);
        let collected = two_of_three
            .collect(&log.checkpoint(size), &consistency, long)
            .await
            .unwrap();
        assert!(collected.verdict.quorum, "{collected:?}");
        assert_eq!(collected.note.signatures().len(), 3);
    }
    let all = panel("group g all one two slow\nquorum g\n");
    let collected = all
        .collect(&log.checkpoint(70), &consistency, Duration::from_secs(60))
        .await
        .unwrap();
    assert!(!collected.verdict.quorum);
    assert_eq!(collected.verdict.cosigned.len(), 2);
    let [(name, SubmitError::Unreachable(_))] = &collected.failures[..] else {
        panic!("{collected:?}")
    };
    assert_eq!(name, "slow");
    // Without waiting, there is an answer all the same, and a truthful one.
    let at_once = all
        .collect(&log.checkpoint(70), &consistency, Duration::ZERO)
        .await
        .unwrap();
    assert!(!at_once.verdict.quorum);
    let states: Vec<_> = all
        .states()
        .map(|(name, state)| (name.to_owned(), state.size))
        .collect();
    assert_eq!(
        states,
        [
            ("one".into(), Some(70)),
            ("two".into(), Some(70)),
            ("slow".into(), None)
        ]
    );
    // Nobody is asked about what is witnessed, or what the log did not sign.
    assert!(
        panel("quorum none\n")
            .collect(&log.checkpoint(5), &consistency, Duration::ZERO)
            .await
            .unwrap()
            .verdict
            .quorum
    );
    let forged = TestLog::new(70).with_key(9).checkpoint(70);
    assert!(all.collect(&forged, &consistency, Duration::ZERO).await.is_err());
}
