//! Controls have one shape each, and belong to one kind.

use super::{Control, ControlError, Import, Purge, PurgeReason, Ranges, TenantHeads, encode};
use crate::{Envelope, Kind, RecordId, TenantId};

fn public(control: &impl serde::Serialize) -> Vec<u8> {
    let envelope = Envelope {
        id: RecordId::new(1, [2; 10]),
        tenant: TenantId::from_bytes([3; 16]),
        protocol: "internal",
        credential_id: "system",
    };
    encode(&envelope, control).unwrap()
}

fn purge() -> Control {
    Control::Purge(Purge {
        class: 3,
        policy: 7,
        reason: PurgeReason::Expired,
        ranges: Ranges::new([10..20, 25..26]).unwrap(),
        records: 11,
        approved_by: vec![],
    })
}

#[test]
fn a_control_comes_back_as_it_was_written() {
    let bytes = public(&purge());
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.ends_with(
        r#""control":{"type":"purge","class":3,"policy":7,"reason":"expired","ranges":[[10,20],[25,26]],"records":11}}"#
    ));
    assert_eq!(Control::parse(Kind::Purge, &bytes).unwrap(), purge());
    assert!(matches!(
        Control::parse(Kind::Erasure, &bytes),
        Err(ControlError::Kind)
    ));
}

#[test]
fn other_types_mean_nothing_and_wrong_shapes_are_refused() {
    let other = text(r#"{"type":"index_policy","index":{}}"#);
    assert_eq!(Control::parse(Kind::Policy, &other).unwrap(), Control::Other);
    for wrong in [
        r#"{"type":"purge"}"#,
        r#"{"type":"hold_release","hold":"h","reason":"","approved_by":[],"more":1}"#,
        r#"{"type":"erasure","scope":"records","ranges":[[5,5]],"records":0,"basis":"","approved_by":[]}"#,
    ] {
        assert!(Control::parse(Kind::Purge, &text(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn a_round_of_heads_comes_back_and_judges_nothing() {
    let round = Import::TenantHeads(TenantHeads {
        round: 4,
        root: "ab".repeat(32),
        tenants: 3,
    });
    let bytes = public(&round);
    let end = format!(
        r#""control":{{"type":"tenant_heads","round":4,"root":"{}","tenants":3}}}}"#,
        "ab".repeat(32)
    );
    assert!(String::from_utf8(bytes.clone()).unwrap().ends_with(&end));
    assert_eq!(Import::parse(Kind::CheckpointImport, &bytes).unwrap(), round);
    assert_eq!(
        Control::parse(Kind::CheckpointImport, &bytes).unwrap(),
        Control::Other
    );
    assert!(matches!(
        Import::parse(Kind::Event, &bytes),
        Err(ControlError::Kind)
    ));
    for wrong in [
        r#"{"type":"other","round":4,"root":"","tenants":3}"#,
        r#"{"type":"tenant_heads","round":-4,"root":"","tenants":3}"#,
        r#"{"type":"tenant_heads","round":4,"root":"","tenants":3,"more":1}"#,
        r#"{"type":"tenant_heads","round":4,"root":""}"#,
    ] {
        assert!(
            Import::parse(Kind::CheckpointImport, &text(wrong)).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn ranges_are_apart_and_found() {
    let ranges = Ranges::new([2..4, 6..9]).unwrap();
    assert_eq!(
        (ranges.find(1), ranges.find(3), ranges.find(4)),
        (None, Some(2..4), None)
    );
    assert_eq!(
        (ranges.overlap(&(4..6)), ranges.overlap(&(3..7))),
        (None, Some(2..4))
    );
    assert_eq!(ranges.count(), 5);
    for wrong in [
        vec![[3, 3]],
        vec![[4, 3]],
        vec![[5, 6], [1, 2]],
        vec![[1, 3], [3, 4]],
    ] {
        assert!(Ranges::try_from(wrong).is_err());
    }
}

fn text(control: &str) -> Vec<u8> {
    format!(r#"{{"v":1,"control":{control}}}"#).into_bytes()
}
