//! Our finalizer on volumes.
//!
//! It is what makes the reclaim policy hold when somebody deletes the volume before its claim: the object stays until
//! the claim is gone, becomes Released, and then the backing volume is removed.
//!
//! # Guarantees
//! A patch made here adds or removes our entry and touches no other: strategic merge treats `finalizers` as a set, and
//! the API server applies it to the object as it is at that moment. It carries the object's UID, which is immutable,
//! so it cannot hit another object that took the name.

use kube::api::Patch;
use serde_json::{Value, json};

use crate::kubernetes::api::names::FINALIZER;
use crate::kubernetes::api::objects::Volume;

/// Whether `volume` carries our finalizer.
pub(crate) fn is_held(volume: &Volume) -> bool {
    volume.metadata.finalizers.as_ref().is_some_and(|all| all.iter().any(|one| one == FINALIZER))
}

/// Adds our finalizer to the volume with this UID.
pub(crate) fn adding(uid: &str) -> Patch<Value> {
    Patch::Strategic(json!({"metadata": {"uid": uid, "finalizers": [FINALIZER]}}))
}

/// Removes our finalizer from the volume with this UID.
pub(crate) fn removing(uid: &str) -> Patch<Value> {
    Patch::Strategic(json!({"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(patch: Patch<Value>) -> Value {
        match patch {
            Patch::Strategic(body) => body,
            other => panic!("not a strategic patch: {other:?}"),
        }
    }

    #[test]
    fn a_patch_names_our_finalizer_and_no_other() {
        assert_eq!(body(adding("u")), json!({"metadata": {"uid": "u", "finalizers": [FINALIZER]}}));
        assert_eq!(
            body(removing("u")),
            json!({"metadata": {"uid": "u", "$deleteFromPrimitiveList/finalizers": [FINALIZER]}})
        );
    }

    #[test]
    fn our_finalizer_is_found_among_others() {
        let volume = |finalizers: Value| -> Volume {
            serde_json::from_value(json!({"metadata": {"name": "pv", "finalizers": finalizers}})).unwrap()
        };
        assert!(is_held(&volume(json!(["kubernetes.io/pv-protection", FINALIZER]))));
        assert!(!is_held(&volume(json!(["kubernetes.io/pv-protection"]))));
        assert!(!is_held(&volume(Value::Null)));
    }
}
