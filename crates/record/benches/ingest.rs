//! What one event costs from received bytes to its commitment: parse, encode, hash.

use std::hint::black_box;

use attestore_record::commitment::{
    HashVersion, PUBLIC_LABEL, SaltKey, group_commitment, personal_label, record_commitment,
};
use attestore_record::event::{Limits, parse};
use attestore_record::group::{Encoded, Envelope, encode};
use attestore_record::policy::PrivacyPolicy;
use attestore_record::{Handle, RecordId, TenantId};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const NOW_MS: u64 = 1_795_312_800_000;

/// A native event of 1.2 KiB with the shape of a mapped CloudTrail record, about a service (one public group).
const SERVICE: &str = r#"{"idempotency_key":"c20d93d2-87e1-483d-9c6c-9cdfc35671d4","occurred_at":"2023-07-10T11:42:23Z","action":"s3.get_bucket_policy","operation":"read","outcome":"failure","outcome_reason":{"code":"NoSuchBucketPolicy","message":"The bucket policy does not exist"},"actor":{"type":"service","id":"arn:aws:iam::123837392027:role/benjamin","name":"benjamin","credential_id":"AKIATFQR7NSCUXC3DDDP"},"targets":[{"type":"AWS::S3::Bucket","id":"arn:aws:s3:::baker221b-bucketsevidenceeeedc25d-1q9cl0tuy4gbm"}],"context":{"ip":"10.248.16.43","user_agent":"[Boto3/1.26.165 Python/3.10.6 Linux/5.19.0-46-generic Botocore/1.29.165]","location":"us-east-1","request_id":"GXK985FFMWTE90RA"},"source":{"service":"s3.amazonaws.com"},"metadata":{"event_type":"AwsApiCall","event_category":"Management","recipient_account_id":"123837392027","tls_version":"TLSv1.2"},"payload":{"requestParameters":{"bucketName":"baker221b-bucketsevidenceeeedc25d-1q9cl0tuy4gbm","Host":"baker221b-bucketsevidenceeeedc25d-1q9cl0tuy4gbm.s3.us-east-1.amazonaws.com","policy":""},"responseElements":null,"additionalEventData":{"SignatureVersion":"SigV4","CipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","bytesTransferredOut":373}}}"#;

fn ingest(c: &mut Criterion) {
    let person = SERVICE.replace(r#""type":"service""#, r#""type":"iam_user""#);
    let policy = PrivacyPolicy::default();
    let envelope = Envelope {
        id: RecordId::new(NOW_MS, [7; 10]),
        tenant: TenantId::from_bytes([1; 16]),
        protocol: "native",
        credential_id: "key_9",
    };
    let public_key = SaltKey::new(&[3; 32]);
    let set_key = SaltKey::new(&[4; 32]);
    let handles = [Handle::from_bytes([9; 16])];

    let mut group = c.benchmark_group("ingest");
    for (name, text) in [("service", SERVICE), ("person", person.as_str())] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("{name}/parse"), |b| {
            b.iter(|| parse(black_box(text.as_bytes()), &Limits::DEFAULT, NOW_MS).expect("valid"));
        });
        let event = parse(text.as_bytes(), &Limits::DEFAULT, NOW_MS).expect("valid");
        group.bench_function(format!("{name}/encode"), |b| {
            b.iter(|| encode(black_box(&event), &envelope, &policy).expect("taken"));
        });
        let commit = |version: HashVersion, encoded: &Encoded| {
            let label = personal_label(&handles);
            let mut groups = [[0; 32]; 1];
            let mut count = 0;
            for (slot, personal) in groups.iter_mut().zip(&encoded.personal) {
                let salt = set_key.salt(&envelope.id, &label);
                *slot = group_commitment(version, &salt, &personal.bytes(&handles));
                count += 1;
            }
            let salt = public_key.salt(&envelope.id, PUBLIC_LABEL);
            record_commitment(version, &salt, &encoded.public, &mut groups[..count])
        };
        let encoded = encode(&event, &envelope, &policy).expect("taken");
        for version in [HashVersion::Blake3, HashVersion::HmacSha256] {
            group.bench_function(format!("{name}/commit {version:?}"), |b| {
                b.iter(|| commit(version, black_box(&encoded)));
            });
        }
        group.bench_function(format!("{name}/whole"), |b| {
            b.iter(|| {
                let event = parse(black_box(text.as_bytes()), &Limits::DEFAULT, NOW_MS).expect("valid");
                commit(
                    HashVersion::Blake3,
                    &encode(&event, &envelope, &policy).expect("taken"),
                )
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
