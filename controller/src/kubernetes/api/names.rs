//! Annotations, finalizers and keys of the Kubernetes contract, each written once.

/// On a claim, by kube-controller-manager: who shall provision it. Only a claim that carries it may be worked on.
pub(crate) const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The same, as older control planes write it.
pub(crate) const BETA_STORAGE_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// On a claim or volume of an in-tree driver: the CSI driver that took over.
pub(crate) const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
/// On a claim: its class, before `spec.storageClassName` existed. Wins over it.
pub(crate) const BETA_STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// On a claim, by the scheduler: the node of its first consumer.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The same, as older schedulers write it.
pub(crate) const ALPHA_SELECTED_NODE: &str = "volume.alpha.kubernetes.io/selected-node";

/// On a volume: who made it.
pub(crate) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// On a volume: name of the secret for its deletion; written even when empty.
pub(crate) const DELETION_SECRET_NAME: &str = "volume.kubernetes.io/provisioner-deletion-secret-name";
/// On a volume: namespace of the secret for its deletion; written even when empty.
pub(crate) const DELETION_SECRET_NAMESPACE: &str = "volume.kubernetes.io/provisioner-deletion-secret-namespace";
/// On a volume: name of the secret for its modification, when there is one.
pub(crate) const MODIFY_SECRET_NAME: &str = "volume.kubernetes.io/controller-modify-secret-name";
/// On a volume: namespace of the secret for its modification, when there is one.
pub(crate) const MODIFY_SECRET_NAMESPACE: &str = "volume.kubernetes.io/controller-modify-secret-namespace";
/// On a volume: keeps the object until its backing volume is gone, whoever is deleted first.
pub(crate) const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// In a volume's attributes: which process made it.
pub(crate) const PROVISIONER_IDENTITY: &str = "storage.kubernetes.io/csiProvisionerIdentity";

/// Prefix of the class parameters that speak to the provisioner, not to the driver.
pub(crate) const RESERVED_PREFIX: &str = "csi.storage.k8s.io/";
/// Class parameter: file system type.
pub(crate) const FS_TYPE: &str = "csi.storage.k8s.io/fstype";
/// Class parameter: file system type, as older classes write it.
pub(crate) const LEGACY_FS_TYPE: &str = "fstype";

/// Policy of a volume whose backing volume goes with its claim.
pub(crate) const POLICY_DELETE: &str = "Delete";
/// Phase of a volume that its claim uses.
pub(crate) const PHASE_BOUND: &str = "Bound";
/// Phase of a volume whose claim is gone.
pub(crate) const PHASE_RELEASED: &str = "Released";
