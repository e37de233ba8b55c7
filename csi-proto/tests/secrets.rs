//! The generator's two promises that other crates rely on.

use std::collections::BTreeMap;

use csi_proto::csi::{
    CreateVolumeRequest, CreateVolumeResponse, NodeGetStorageHealthRequest, NodePublishVolumeRequest,
};

/// Answers whether a type implements `Debug`: the inherent method wins where its bound holds.
macro_rules! is_debug {
    ($type:ty) => {{
        #[allow(dead_code)]
        trait Fallback {
            fn answer(&self) -> bool {
                false
            }
        }
        struct Probe<T>(std::marker::PhantomData<T>);
        impl<T> Fallback for Probe<T> {}
        #[allow(dead_code)]
        impl<T: std::fmt::Debug> Probe<T> {
            fn answer(&self) -> bool {
                true
            }
        }
        Probe::<$type>(std::marker::PhantomData).answer()
    }};
}

#[test]
fn a_message_with_secrets_cannot_be_printed() {
    assert!(!is_debug!(CreateVolumeRequest));
    assert!(!is_debug!(NodePublishVolumeRequest));
    assert!(!is_debug!(NodeGetStorageHealthRequest), "one that a later version of the specification has brought");
    assert!(is_debug!(CreateVolumeResponse));
}

#[test]
fn maps_keep_one_order() {
    let request = CreateVolumeRequest::default();
    let _: BTreeMap<String, String> = request.parameters;
}
