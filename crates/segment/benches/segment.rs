//! Sealing and opening containers, building and reading `.seg` and `.sub` bodies, and how many bytes a record takes.
//!
//! Records are like AWS CloudTrail's: made here from a seed, or read from the NDJSON file that
//! `ATTESTORE_BENCH_EVENTS` names.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use attestore_disk::sim::SimDisk;
use attestore_disk::{Disk, File, Mode, RealDisk};
use attestore_keys::{Entropy, Key, SeededEntropy, derive, random_array};
use attestore_segment::compression::BlockOptions;
use attestore_segment::container::seal;
use attestore_segment::{
    Container, ContainerMeta, ContainerType, Handle, Salt, SegBuilder, SegReader, SegRecord, SetKeyError,
    SetKeys, SubBuilder, SubReader,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const MIB: usize = 1024 * 1024;
const RECORDS: usize = 20_000;
const SUBJECTS: u64 = 5_000;

fn file_key() -> Key {
    Key::from_bytes([0x11; 32])
}

fn meta(ty: ContainerType) -> ContainerMeta {
    ContainerMeta {
        ty,
        id: [1; 16],
        slot: 1,
        tenant: [2; 16],
        class: 0,
        set: 1,
        generation: 0,
    }
}

/// A file on a simulated disk, so that the medium is no part of the figure; it does cost a copy.
fn opened(ty: ContainerType, body: &[u8]) -> Container {
    let disk = SimDisk::new(1);
    let path = Path::new("file");
    let file: Arc<dyn File> = disk.open(path, Mode::Create).expect("an empty disk");
    let bytes = seal(&meta(ty), &file_key(), body);
    file.write_all_at(&bytes, 0).expect("a disk without faults");
    Container::open(file, path, 0, bytes.len() as u64, &file_key(), &meta(ty)).expect("just sealed")
}

fn container(c: &mut Criterion) {
    let mut plaintext = vec![0; 16 * MIB];
    SeededEntropy::new(1).fill(&mut plaintext);
    let mut group = c.benchmark_group("container");
    group
        .throughput(Throughput::Bytes(plaintext.len() as u64))
        .sample_size(20);
    group.bench_function("seal 16 MiB", |b| {
        b.iter(|| seal(&meta(ContainerType::Seg), &file_key(), &plaintext))
    });
    let container = opened(ContainerType::Seg, &plaintext);
    group.bench_function("read 16 MiB", |b| {
        b.iter(|| container.read(0..container.len()).expect("sound"))
    });
    group.throughput(Throughput::Bytes(64 * 1024));
    group.bench_function("read 64 KiB", |b| {
        b.iter(|| container.read(100_000..165_536).expect("sound"))
    });
    group.finish();
}

struct Record {
    public: Vec<u8>,
    personal: Vec<u8>,
    handle: Handle,
    commitment: [[u8; 32]; 1],
}

/// Random numbers from a seed.
struct Random(SeededEntropy);

impl Random {
    fn below(&self, n: u64) -> u64 {
        u64::from_le_bytes(random_array(&self.0)) % n
    }

    fn hex(&self, digits: usize) -> String {
        let bytes: [u8; 32] = random_array(&self.0);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..digits].to_owned()
    }

    fn uuid(&self) -> String {
        format!(
            "{}-{}-4{}-8{}-{}",
            self.hex(8),
            self.hex(4),
            self.hex(3),
            self.hex(3),
            self.hex(12)
        )
    }
}

const CALLS: [(&str, &str); 8] = [
    ("s3", "GetObject"),
    ("s3", "ListObjects"),
    ("sts", "AssumeRole"),
    ("ec2", "DescribeInstances"),
    ("kms", "Decrypt"),
    ("iam", "ListAttachedRolePolicies"),
    ("logs", "DescribeLogGroups"),
    ("lambda", "ListFunctions20150331"),
];

fn records() -> Vec<Record> {
    let random = Random(SeededEntropy::new(7));
    let made = || (0..RECORDS).map(|n| make(&random, n)).collect();
    match std::env::var_os("ATTESTORE_BENCH_EVENTS") {
        None => made(),
        Some(path) => read_events(&random, Path::new(&path)),
    }
}

fn make(random: &Random, n: usize) -> Record {
    // Few subjects do most: the product of two uniform numbers leans to the small ones.
    let user = random.below(SUBJECTS) * random.below(SUBJECTS) / SUBJECTS;
    let (service, call) = CALLS[usize::try_from(random.below(8)).expect("below 8")];
    let (bucket, request) = (random.below(300), random.hex(16).to_uppercase());
    let (account, seconds, id) = (123_456_789_000 + random.below(20), n / 20, random.uuid());
    let public = format!(
        r#"{{"v":1,"id":"{}","tenant":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","protocol":"cloudtrail","credential":"9f3k2m1x0a7b","privacy":1,"event":{{"occurred_at":"2026-07-10T{:02}:{:02}:{:02}Z","action":"{service}.{}","operation":"read","outcome":"success","severity":"informational","actor":{{"type":"iam_user"}},"targets":[{{"type":"resource","id":"arn:aws:{service}:::prod-data-{bucket}/logs/2026/{}"}}],"source":{{"service":"{service}.amazonaws.com","region":"us-east-1"}},"context":{{"request_id":"{}"}},"metadata":{{"eventVersion":"1.08","eventCategory":"Management","readOnly":true,"managementEvent":true,"recipientAccountId":"{account}","eventType":"AwsApiCall","requestParameters":{{"bucketName":"prod-data-{bucket}","Host":"prod-data-{bucket}.s3.us-east-1.amazonaws.com"}},"additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","x-amz-id-2":"{}","bytesTransferredOut":{}}},"eventID":"{id}","tlsDetails":{{"tlsVersion":"TLSv1.2","cipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","clientProvidedHostHeader":"{service}.us-east-1.amazonaws.com"}}}}}}}}"#,
        random.uuid(),
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        call.to_lowercase(),
        random.hex(8),
        request,
        random.hex(48),
        random.below(100_000),
    );
    let personal = format!(
        r#"{{"v":1,"subjects":["{user:032x}"],"fields":{{"/actor/id":"arn:aws:iam::{account}:user/user-{user}","/actor/name":"user-{user}","/actor/credential_id":"AKIA{user:016X}","/context/ip":"10.{}.{}.{}","/context/user_agent":"[Boto3/1.26.165 Python/3.10.6 Linux/5.19.0-46-generic Botocore/1.29.165]"}}}}"#,
        user % 200,
        user / 200 % 200,
        random.below(4),
    );
    record(random, user, public.into_bytes(), personal.into_bytes())
}

/// Takes each line as the public group of a record, repeated up to the number of records, and makes personal groups up.
fn read_events(random: &Random, path: &Path) -> Vec<Record> {
    let disk = RealDisk::new(path.parent().expect("a file in a folder")).expect("the folder is there");
    let file = disk
        .open(Path::new(path.file_name().expect("a file")), Mode::Read)
        .expect("the file is there");
    let mut bytes = vec![0; usize::try_from(file.len().expect("a file")).expect("it fits memory")];
    file.read_exact_at(&mut bytes, 0).expect("it can be read");
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(n, line)| {
            let made = make(random, n);
            Record {
                public: line.to_vec(),
                ..made
            }
        })
        .collect()
}

fn record(random: &Random, user: u64, public: Vec<u8>, personal: Vec<u8>) -> Record {
    let mut handle = [0; 16];
    handle[..8].copy_from_slice(&derive("attestore bench handle", &[&user.to_le_bytes()]).expose()[..8]);
    Record {
        public,
        personal,
        handle,
        commitment: [random_array(&random.0)],
    }
}

fn seg_body(records: &[Record], options: BlockOptions) -> Vec<u8> {
    let mut builder = SegBuilder::new(options).expect("a level that zstd has");
    builder.salt_key(1, &file_key()).expect("the first key");
    for (seq, record) in (0u64..).zip(records) {
        let (salt, groups, public) = (Salt::Generation(1), &record.commitment, &record.public[..]);
        builder
            .push(SegRecord {
                seq,
                salt,
                groups,
                public,
                idempotency: None,
            })
            .expect("in order");
    }
    builder.finish().expect("complete")
}

struct Keys;

impl SetKeys for Keys {
    fn set_key(&self, handles: &[Handle]) -> Result<Option<Key>, SetKeyError> {
        Ok(Some(derive("attestore bench set key", &[handles.as_flattened()])))
    }
}

fn sub_body(records: &[Record], keys: &[Key], options: BlockOptions) -> Vec<u8> {
    let mut builder = SubBuilder::new(meta(ContainerType::Sub).id, options).expect("a level that zstd has");
    for ((seq, record), key) in (0u64..).zip(records).zip(keys) {
        builder
            .push(seq, &[record.handle], key, &record.public, &record.personal)
            .expect("in order");
    }
    builder.finish().expect("complete")
}

#[expect(
    clippy::print_stdout,
    reason = "criterion measures times; sizes are reported by hand"
)]
fn sizes(records: &[Record], keys: &[Key]) {
    let each = |bytes: usize| bytes as f64 / records.len() as f64;
    let public: usize = records.iter().map(|record| record.public.len()).sum();
    let personal: usize = records.iter().map(|record| record.personal.len()).sum();
    println!(
        "records {}, raw public {:.0} B, raw personal {:.0} B",
        records.len(),
        each(public),
        each(personal)
    );
    for (name, options) in [
        ("64 KiB, zstd 1", BlockOptions::default()),
        ("256 KiB, zstd 3", BlockOptions::COMPACT),
    ] {
        let seg = seal(
            &meta(ContainerType::Seg),
            &file_key(),
            &seg_body(records, options),
        )
        .len();
        let sub = seal(
            &meta(ContainerType::Sub),
            &file_key(),
            &sub_body(records, keys, options),
        )
        .len();
        println!(
            "{name}: .seg {:.1} B a record (32 of them the commitment), .sub {:.1} B",
            each(seg),
            each(sub)
        );
    }
}

fn bodies(c: &mut Criterion) {
    let records = records();
    let keys: Vec<Key> = records
        .iter()
        .map(|record| {
            Keys.set_key(&[record.handle])
                .ok()
                .flatten()
                .expect("never destroyed here")
        })
        .collect();
    sizes(&records, &keys);
    let compact = BlockOptions::COMPACT;
    let mut group = c.benchmark_group("body");
    group
        .throughput(Throughput::Elements(records.len() as u64))
        .sample_size(10);
    group.bench_function("build .seg", |b| {
        b.iter(|| seg_body(&records, BlockOptions::default()))
    });
    group.bench_function("build .seg, compact", |b| b.iter(|| seg_body(&records, compact)));
    group.bench_function("build .sub", |b| {
        b.iter(|| sub_body(&records, &keys, BlockOptions::default()))
    });

    let seg = SegReader::open(opened(
        ContainerType::Seg,
        &seg_body(&records, BlockOptions::default()),
    ))
    .expect("sound");
    let sub = SubReader::open(opened(
        ContainerType::Sub,
        &sub_body(&records, &keys, BlockOptions::default()),
    ));
    let sub = sub.expect("sound");
    group.bench_function("scan .seg", |b| {
        b.iter(|| {
            let mut bytes = 0;
            let visit = |record: attestore_segment::BlockRecord<'_>| {
                bytes += record.public().expect("sound").len();
                ControlFlow::Continue(())
            };
            seg.scan(0..u64::MAX, visit).expect("sound");
            bytes
        });
    });
    group.bench_function("scan .sub", |b| {
        b.iter(|| {
            let mut groups = 0u64;
            let visit = |_, _| {
                groups += 1;
                ControlFlow::Continue(())
            };
            sub.scan(0..u64::MAX, &Keys, visit).expect("sound");
            groups
        });
    });
    group.throughput(Throughput::Elements(1));
    let mut seq = 0;
    let mut next = move || {
        seq = (seq + 7919) % 2_000;
        seq
    };
    group.bench_function("get one from .seg", |b| {
        b.iter(|| seg.get(next()).expect("sound"))
    });
    group.bench_function("get one from .sub", |b| {
        b.iter(|| sub.groups(next(), &Keys).expect("sound"))
    });
    group.finish();
}

criterion_group!(benches, container, bodies);
criterion_main!(benches);
