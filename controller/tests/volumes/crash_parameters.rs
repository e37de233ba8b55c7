//! What volumes are asked for with that are begun and gone on with.

const CUSTOM: (&str, &str) = ("subDir", "all/${pvc.metadata.namespace}/${pv.metadata.name}");

/// Parameters of a volume in a custom place with parents of its own, or in its default place.
pub(crate) fn parameters(name: &str, custom: bool) -> Vec<(&str, &str)> {
    let mut parameters = vec![("uid", "1000"), ("gid", "2000"), ("mountPermissions", "2770")];
    if custom {
        parameters.extend([CUSTOM, ("csi.storage.k8s.io/pvc/namespace", name), ("csi.storage.k8s.io/pv/name", name)]);
    }
    parameters
}
