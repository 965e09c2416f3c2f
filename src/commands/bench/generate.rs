//! `attestore bench generate`: seeded events in the shape of AWS CloudTrail, of any length.
//!
//! Actors follow a Zipf law, addresses and resources are many, one in ten calls fails, one in eight comes from a service
//! instead of an address: as ragged as real trails are. The same seed writes the same bytes.

use std::io::{BufWriter, Write};

use indicatif::{ProgressBar, ProgressStyle};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::cli::GenerateArgs;
use crate::failure::Failure;
use crate::files;

/// Writes the events.
pub fn run(args: &GenerateArgs) -> Result<(), Failure> {
    let mut generator = Generator::new(args)?;
    let out: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(files::create(path)?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let bar = if args.out.is_some() {
        ProgressBar::new(args.count)
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    for _ in 0..args.count {
        let mut line = generator.next_event();
        line.push('\n');
        match out.write_all(line.as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(out.flush()?)
}

/// Calls with the service they go to, whether they only read, and what they touch.
const CALLS: &[(&str, &str, bool, &str)] = &[
    ("s3", "GetObject", true, "AWS::S3::Object"),
    ("sts", "AssumeRole", true, "AWS::IAM::Role"),
    ("kms", "Decrypt", true, "AWS::KMS::Key"),
    ("s3", "PutObject", false, "AWS::S3::Object"),
    ("ec2", "DescribeInstances", true, ""),
    ("dynamodb", "GetItem", true, "AWS::DynamoDB::Table"),
    (
        "secretsmanager",
        "GetSecretValue",
        true,
        "AWS::SecretsManager::Secret",
    ),
    ("s3", "ListObjects", true, "AWS::S3::Bucket"),
    ("lambda", "Invoke", false, "AWS::Lambda::Function"),
    ("ec2", "RunInstances", false, "AWS::EC2::Instance"),
    ("iam", "GetUser", true, "AWS::IAM::User"),
    ("s3", "DeleteObject", false, "AWS::S3::Object"),
    ("iam", "CreateAccessKey", false, "AWS::IAM::User"),
    ("s3", "GetBucketPolicy", true, "AWS::S3::Bucket"),
    (
        "ec2",
        "AuthorizeSecurityGroupIngress",
        false,
        "AWS::EC2::SecurityGroup",
    ),
    ("iam", "AttachUserPolicy", false, "AWS::IAM::User"),
    ("signin", "ConsoleLogin", false, ""),
    ("cloudtrail", "StopLogging", false, "AWS::CloudTrail::Trail"),
];
const REGIONS: &[&str] = &[
    "eu-central-1",
    "us-east-1",
    "eu-west-1",
    "us-west-2",
    "ap-south-1",
];
const AGENTS: &[&str] = &[
    "aws-cli/2.15.0 Python/3.11.6 Linux/6.1.0 exe/x86_64",
    "Boto3/1.34.0 md/Botocore#1.34.0 ua/2.0 os/linux#6.1",
    "aws-sdk-go/1.49.0 (go1.21.5; linux; amd64)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "APN/1.0 HashiCorp/1.0 Terraform/1.6.6",
];
const SERVICES: &[&str] = &[
    "config.amazonaws.com",
    "autoscaling.amazonaws.com",
    "lambda.amazonaws.com",
];
const ERRORS: &[&str] = &[
    "AccessDenied",
    "ThrottlingException",
    "Client.UnauthorizedOperation",
    "NoSuchBucketPolicy",
];

/// An endless, seeded source of events.
pub struct Generator {
    random: ChaCha8Rng,
    actors: Zipf,
    calls: Zipf,
    addresses: u64,
    native: bool,
    time_ms: i64,
    step_ms: i64,
}

impl Generator {
    /// Makes a source.
    ///
    /// # Errors
    /// Usage, for a shape or time that makes no sense.
    pub fn new(args: &GenerateArgs) -> Result<Self, Failure> {
        let native = match args.shape.as_str() {
            "cloudtrail" => false,
            "native" => true,
            _ => return Err(Failure::usage("--shape is cloudtrail or native")),
        };
        let start: jiff::Timestamp = args
            .start
            .parse()
            .map_err(|_| Failure::usage("--start must be an RFC 3339 time"))?;
        Ok(Self {
            random: ChaCha8Rng::seed_from_u64(args.seed),
            actors: Zipf::new(args.actors.clamp(1, 1 << 24)),
            calls: Zipf::new(CALLS.len() as u64),
            addresses: args.addresses.clamp(1, 1 << 24),
            native,
            time_ms: start.as_millisecond(),
            step_ms: i64::try_from(args.step_ms).unwrap_or(i64::MAX),
        })
    }

    /// The next event, one line of JSON without the line break.
    pub fn next_event(&mut self) -> String {
        let call = CALLS[usize::try_from(self.calls.draw(&mut self.random)).unwrap_or(0) % CALLS.len()];
        let actor = self.actors.draw(&mut self.random);
        let time = jiff::Timestamp::from_millisecond(self.time_ms).unwrap_or(jiff::Timestamp::MAX);
        self.time_ms = self
            .time_ms
            .saturating_add(self.random.random_range(0..=self.step_ms.saturating_mul(2)));
        if self.native {
            self.native(call, actor, time)
        } else {
            self.cloudtrail(call, actor, time)
        }
    }

    fn cloudtrail(
        &mut self,
        (service, name, reads, resource): (&str, &str, bool, &str),
        actor: u64,
        time: jiff::Timestamp,
    ) -> String {
        let user = format!("user-{actor:05}");
        let account = format!("{:012}", 100_000_000_000 + actor % 7);
        let identity = match self.random.random_range(0..20) {
            0 => json!({"type": "AWSService", "invokedBy": pick(&mut self.random, SERVICES)}),
            1 => json!({"accountId": account, "invokedBy": pick(&mut self.random, SERVICES)}),
            2..=4 => json!({"type": "AssumedRole", "principalId": format!("AROA{actor:016}:{user}"),
                "arn": format!("arn:aws:sts::{account}:assumed-role/deploy/{user}"), "accountId": account,
                "accessKeyId": self.token("ASIA", 16)}),
            _ => json!({"type": "IAMUser", "principalId": format!("AIDA{actor:016}"),
                "arn": format!("arn:aws:iam::{account}:user/{user}"), "accountId": account,
                "accessKeyId": format!("AKIA{:016}", actor * 7919 % 10_000_000_019), "userName": user}),
        };
        let source = if self.random.random_range(0..8) == 0 {
            pick(&mut self.random, SERVICES).to_owned()
        } else {
            self.address(actor)
        };
        let mut event = json!({
            "eventVersion": "1.08", "userIdentity": identity, "eventTime": format!("{time:.0}"),
            "eventSource": format!("{service}.amazonaws.com"), "eventName": name,
            "awsRegion": pick(&mut self.random, REGIONS), "sourceIPAddress": source,
            "userAgent": pick(&mut self.random, AGENTS),
            "requestParameters": {"name": format!("{service}-{}", self.random.random_range(0..2000)), "Host": format!("{service}.amazonaws.com")},
            "responseElements": null, "requestID": self.uuid(), "eventID": self.uuid(), "readOnly": reads,
            "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": account, "eventCategory": "Management",
            "tlsDetails": {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": format!("{service}.amazonaws.com")},
        });
        if !resource.is_empty() {
            let arn = format!(
                "arn:aws:{service}:::{service}-{}",
                self.random.random_range(0..2000)
            );
            event["resources"] = json!([{"accountId": account, "type": resource, "ARN": arn}]);
        }
        if self.random.random_range(0..10) == 0 {
            event["errorCode"] = json!(pick(&mut self.random, ERRORS));
            event["errorMessage"] = json!(format!("{user} is not allowed to perform {service}:{name}"));
        }
        event.to_string()
    }

    fn native(
        &mut self,
        (service, name, reads, resource): (&str, &str, bool, &str),
        actor: u64,
        time: jiff::Timestamp,
    ) -> String {
        let outcome = if self.random.random_range(0..10) == 0 {
            "denied"
        } else {
            "success"
        };
        let action = format!("{service}.{}", name.to_ascii_lowercase());
        json!({
            "occurred_at": time.to_string(), "action": action,
            "operation": if reads { "read" } else { "update" }, "outcome": outcome,
            "actor": {"type": "user", "id": format!("user-{actor:05}"), "name": format!("User {actor}"), "email": format!("user{actor}@example.com")},
            "targets": [{"type": if resource.is_empty() { "account" } else { resource }, "id": format!("{service}-{}", self.random.random_range(0..2000))}],
            "context": {"ip": self.address(actor), "user_agent": pick(&mut self.random, AGENTS), "location": pick(&mut self.random, REGIONS), "request_id": self.uuid()},
            "source": {"service": service, "environment": "prod"},
            "metadata": {"cost_center": format!("cc-{}", actor % 40), "attempt": self.random.random_range(1..4)},
        })
        .to_string()
    }

    /// Most calls of an actor come from a few addresses.
    fn address(&mut self, actor: u64) -> String {
        let n = (actor.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)
            .wrapping_add(self.random.random_range(0..3))
            % self.addresses;
        format!("10.{}.{}.{}", (n >> 16) & 255, (n >> 8) & 255, n & 255)
    }

    fn uuid(&mut self) -> String {
        let n: u128 = u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64());
        let h = format!("{n:032x}");
        format!(
            "{}-{}-4{}-a{}-{}",
            &h[..8],
            &h[8..12],
            &h[13..16],
            &h[17..20],
            &h[20..]
        )
    }

    fn token(&mut self, prefix: &str, digits: usize) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let tail: String = (0..digits)
            .map(|_| char::from(LETTERS[self.random.random_range(0..LETTERS.len())]))
            .collect();
        format!("{prefix}{tail}")
    }
}

fn pick<'a>(random: &mut ChaCha8Rng, from: &[&'a str]) -> &'a str {
    from[random.random_range(0..from.len())]
}

/// Draws 0..n with probability proportional to 1/(rank+1) (Zipf, exponent 1).
struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    #[expect(clippy::cast_precision_loss, reason = "weights, not counts")]
    fn new(n: u64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Self { cumulative }
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> u64 {
        let all = self.cumulative.last().copied().unwrap_or(1.0);
        let at = random.random_range(0.0..all);
        self.cumulative.partition_point(|&sum| sum <= at) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(seed: u64, shape: &str) -> Vec<String> {
        let args = GenerateArgs {
            seed,
            shape: shape.into(),
            actors: 50,
            addresses: 100,
            ..GenerateArgs::default()
        };
        let mut generator = Generator::new(&args).expect("good arguments");
        (0..200).map(|_| generator.next_event()).collect()
    }

    #[test]
    fn a_seed_decides_every_byte() {
        assert_eq!(some(7, "cloudtrail"), some(7, "cloudtrail"));
        assert_ne!(some(7, "cloudtrail"), some(8, "cloudtrail"));
    }

    #[test]
    fn every_generated_event_is_accepted() {
        let limits = attestore_record::Limits::default();
        let now_ms = 1_800_000_000_000;
        let mapping = attestore_record::mapping::Mapping::builtin("cloudtrail").expect("the preset is there");
        for foreign in some(1, "cloudtrail") {
            let native = mapping.apply(foreign.as_bytes()).expect("the preset maps it");
            attestore_record::event::parse(&native, &limits, now_ms).expect("the event is valid");
        }
        for native in some(1, "native") {
            attestore_record::event::parse(native.as_bytes(), &limits, now_ms).expect("the event is valid");
        }
    }
}
