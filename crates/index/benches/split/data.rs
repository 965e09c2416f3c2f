//! Stored records to index: CloudTrail, from a file or made up.

use std::sync::LazyLock;

use attestore_index::{DocInput, IndexPolicy, Split, SplitBuilder};
use attestore_record::event::{Limits, parse};
use attestore_record::group::{Envelope, encode};
use attestore_record::mapping::Mapping;
use attestore_record::{Handle, PrivacyPolicy, RecordId, TenantId, view};

/// Time of receipt of the first record (ms since 1970).
pub(crate) const START_MS: u64 = 1_795_305_600_000;
const SEED: u64 = 42;

/// The groups of a record, and the length of the line that it came from.
pub(crate) struct Stored {
    pub(crate) public: Vec<u8>,
    pub(crate) personal: Vec<Vec<u8>>,
    pub(crate) line: usize,
}

impl Stored {
    pub(crate) fn fields(&self) -> view::Fields<'_> {
        let personal: Vec<&[u8]> = self.personal.iter().map(Vec::as_slice).collect();
        view::fields(&self.public, &personal).expect("stored groups")
    }
}

/// The first `count` records of the file that `ATTESTORE_CLOUDTRAIL` names, one a line; else made-up ones.
pub(crate) fn records(count: usize) -> Vec<Stored> {
    let text = std::env::var("ATTESTORE_CLOUDTRAIL").map(|path| {
        #[expect(clippy::disallowed_methods, reason = "a benchmark reads its data set")]
        std::fs::read_to_string(path).expect("a file of records")
    });
    match text {
        Ok(text) => {
            let mapping = Mapping::builtin("cloudtrail").expect("a preset");
            let lines = text.lines().take(count);
            lines
                .map(|line| store(&mapping.apply(line.as_bytes()).expect("a record"), line.len()))
                .collect()
        }
        Err(_) => {
            let mut random = Random(SEED);
            (0..count)
                .map(|_| {
                    let event = event(&mut random);
                    store(event.as_bytes(), event.len())
                })
                .collect()
        }
    }
}

fn store(event: &[u8], line: usize) -> Stored {
    let envelope = Envelope {
        id: RecordId::new(START_MS, [7; 10]),
        tenant: TenantId::from_bytes([1; 16]),
        protocol: "native",
        credential_id: "cred1",
    };
    static POLICY: LazyLock<PrivacyPolicy> = LazyLock::new(PrivacyPolicy::default);
    let event = parse(event, &Limits::default(), START_MS).expect("valid");
    let encoded = encode(&event, &envelope, &POLICY).expect("nothing is refused");
    let personal = encoded.personal.iter().map(|group| {
        let handles = vec![Handle::from_bytes([1; 16]); group.subjects.len()];
        group.bytes(&handles)
    });
    Stored {
        personal: personal.collect(),
        public: encoded.public,
        line,
    }
}

/// Builds a split of records as they are stored.
pub(crate) fn build(policy: &IndexPolicy, stored: &[Stored], first: u64) -> Split {
    let mut builder = SplitBuilder::new(policy).expect("builder");
    for (seq, stored) in (first..).zip(stored) {
        add(&mut builder, seq, &stored.fields());
    }
    builder.finish().expect("not empty")
}

/// Builds a split of records whose fields were taken already.
pub(crate) fn build_taken(policy: &IndexPolicy, fields: &[view::Fields<'_>]) -> Split {
    let mut builder = SplitBuilder::new(policy).expect("builder");
    for (seq, fields) in (0..).zip(fields) {
        add(&mut builder, seq, fields);
    }
    builder.finish().expect("not empty")
}

fn add(builder: &mut SplitBuilder, seq: u64, fields: &view::Fields<'_>) {
    let input = DocInput {
        seq,
        received_ms: START_MS + seq * 10,
        class: 1,
        public: &fields.public,
        personal: &fields.personal,
    };
    builder.add(&input).expect("ascending");
}

/// Small deterministic generator.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn hex(&mut self, length: usize) -> String {
        (0..length)
            .map(|_| char::from(b"0123456789abcdef"[self.next(16) as usize]))
            .collect()
    }
}

fn event(random: &mut Random) -> String {
    let service = ["s3", "ec2", "iam", "kms", "sts", "lambda"][random.next(6) as usize];
    let verb = ["get", "put", "list", "describe", "create", "delete"][random.next(6) as usize];
    let noun = ["object", "bucket", "user", "role", "key", "instance", "function"][random.next(7) as usize];
    let user = random.next(200);
    let bucket = random.next(50);
    let region = ["us-east-1", "eu-central-1", "ap-south-1"][random.next(3) as usize];
    let uuid = format!(
        "{}-{}-{}-{}-{}",
        random.hex(8),
        random.hex(4),
        random.hex(4),
        random.hex(4),
        random.hex(12)
    );
    let (third, fourth, key) = (random.next(256), random.next(256), random.next(100_000));
    let (request, id2, agent) = (random.hex(16).to_uppercase(), random.hex(64), random.next(20));
    let outcome = if random.next(20) == 0 { "denied" } else { "success" };
    format!(
        r#"{{"action":"{service}.{verb}_{noun}","outcome":"{outcome}",
"actor":{{"type":"user","id":"arn:aws:iam::123837392027:user/user{user}","name":"user{user}","credential_id":"AKIATFQR7NSC{user:08}"}},
"targets":[{{"type":"AWS::S3::Bucket","id":"arn:aws:s3:::baker221b-bucket{bucket}"}}],
"context":{{"ip":"10.248.{third}.{fourth}","user_agent":"Boto3/1.26.{agent} Python/3.10.6 Linux/5.19.0-46-generic Botocore/1.29.{agent}","request_id":"{request}"}},
"source":{{"service":"{service}.amazonaws.com"}},
"metadata":{{"region":"{region}","account":"123837392027","event_version":"1.08","read_only":true,"event_type":"AwsApiCall"}},
"payload":{{"requestParameters":{{"bucketName":"baker221b-bucket{bucket}","Host":"baker221b-bucket{bucket}.s3.{region}.amazonaws.com","key":"reports/2023/{key}.csv"}},
"responseElements":null,"additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","x-amz-id-2":"{id2}","bytesTransferredOut":373}},
"eventID":"{uuid}","eventCategory":"Management","tlsDetails":{{"tlsVersion":"TLSv1.2","cipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","clientProvidedHostHeader":"baker221b-bucket{bucket}.s3.{region}.amazonaws.com"}}}}}}"#
    )
}
