//! Every literal that other programs, people or shares depend on. Changing one is a breaking change.

/// Name of the CSI driver unless a flag says otherwise: `spec.driver` of a volume, `provisioner` of a class.
pub const DRIVER_NAME: &str = "csi.berth.dev";

/// Names of drivers whose volumes are served where this one is installed under them.
pub mod peer {
    /// aws-efs-csi-driver.
    pub const EFS: &str = "efs.csi.aws.com";
    /// csi-driver-nfs.
    pub const CSI_DRIVER_NFS: &str = "nfs.csi.k8s.io";
}

/// Scheme of a volume id, see [`crate::VolumeId`].
pub const ID_SCHEME: &str = "berth://";

/// Keys that a StorageClass may carry under `parameters`. Case-sensitive.
pub mod parameter {
    /// NFS server: host name or address, with a port if it is not 2049.
    pub const SERVER: &str = "server";
    /// Path of the export, or of a directory inside it, below which volumes are made.
    pub const SHARE: &str = "share";
    /// Template for the directory of a volume, relative to the share.
    pub const SUB_DIR: &str = "subDir";
    /// Mode of the volume's directory, octal.
    pub const MOUNT_PERMISSIONS: &str = "mountPermissions";
    /// Owner of the volume's directory, numeric.
    pub const UID: &str = "uid";
    /// Group of the volume's directory, numeric.
    pub const GID: &str = "gid";
    /// What becomes of the directory when the volume is deleted.
    pub const ON_DELETE: &str = "onDelete";
    /// How much of a volume is given to a pod's `fsGroup`, see [`crate::FsGroupChange`].
    pub const FS_GROUP_CHANGE: &str = "fsGroupChange";

    /// All of the above, in the order in which messages list them.
    pub const ALL: [&str; 8] = [SERVER, SHARE, SUB_DIR, MOUNT_PERMISSIONS, UID, GID, ON_DELETE, FS_GROUP_CHANGE];
}

/// Values of the parameter `onDelete`.
pub mod on_delete {
    /// The directory goes to the trash and is removed.
    pub const DELETE: &str = "delete";
    /// The directory stays where it is.
    pub const RETAIN: &str = "retain";
    /// The directory is renamed and kept. Named here so that a class which asks for it is told that it is not offered.
    pub const ARCHIVE: &str = "archive";
}

/// Keys that a provisioner adds to the parameters to say for whom a volume is made (`--extra-create-metadata` of the
/// upstream sidecar; the built-in provisioner always adds them).
pub mod metadata {
    /// Prefix that Kubernetes reserves for itself in parameters and volume attributes.
    pub const PREFIX: &str = "csi.storage.k8s.io/";
    /// Name of the claim.
    pub const PVC_NAME: &str = "csi.storage.k8s.io/pvc/name";
    /// Namespace of the claim.
    pub const PVC_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";
    /// Name of the volume object.
    pub const PV_NAME: &str = "csi.storage.k8s.io/pv/name";
    /// Attribute by which kubelet tells a node that a pod defines the volume by itself: `true`.
    pub const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";

    /// What a provisioner adds: all but the last.
    pub const ALL: [&str; 3] = [PVC_NAME, PVC_NAMESPACE, PV_NAME];
}

/// Variables of a `subDir` template, written `${…}`.
pub mod variable {
    /// Value of [`super::metadata::PVC_NAME`].
    pub const PVC_NAME: &str = "pvc.metadata.name";
    /// Value of [`super::metadata::PVC_NAMESPACE`].
    pub const PVC_NAMESPACE: &str = "pvc.metadata.namespace";
    /// Value of [`super::metadata::PV_NAME`].
    pub const PV_NAME: &str = "pv.metadata.name";

    /// All three, in the order in which messages list them.
    pub const ALL: [&str; 3] = [PVC_NAME, PVC_NAMESPACE, PV_NAME];
}

/// Keys of `volumeAttributes`, by which the node plugin finds a volume. Written so; read in any case, because people
/// write static volumes by hand and other drivers write `subdir`.
pub mod context {
    /// NFS server, as in [`super::parameter::SERVER`].
    pub const SERVER: &str = "server";
    /// Share, as in [`super::parameter::SHARE`].
    pub const SHARE: &str = "share";
    /// Directory below the share; absent: the share itself.
    pub const SUB_DIR: &str = "subDir";
    /// Which share it was made on, see [`crate::ShareIdentity`]: for the controller, which notices another disk by it.
    pub const SHARE_IDENTITY: &str = "shareIdentity";
    /// In which modes it may be used, all of them: kubelet tells a node the first one only.
    pub const ACCESS_MODES: &str = "accessModes";
    /// Whether writing is forbidden, whatever the mode.
    pub const READ_ONLY: &str = "readOnly";
    /// Mount options beside those of the PersistentVolume, in one text; csi-driver-nfs has the same.
    pub const MOUNT_OPTIONS: &str = "mountOptions";
    /// How much of it is given to a pod's `fsGroup`, as in [`super::parameter::FS_GROUP_CHANGE`].
    pub const FS_GROUP_CHANGE: &str = super::parameter::FS_GROUP_CHANGE;

    /// All of the above, in the order in which messages list them.
    pub const ALL: [&str; 8] =
        [SERVER, SHARE, SUB_DIR, SHARE_IDENTITY, ACCESS_MODES, READ_ONLY, MOUNT_OPTIONS, FS_GROUP_CHANGE];

    /// Prefixes of keys that Kubernetes and provisioners add (`storage.kubernetes.io/csiProvisionerIdentity`,
    /// `csi.storage.k8s.io/pod.name`): never meant for the driver, so ignored without a warning.
    pub const FOREIGN_PREFIXES: [&str; 2] = ["storage.kubernetes.io/", super::metadata::PREFIX];
}

/// File system types that a volume may ask for, besides none. The kernel knows NFS version 4 under both names, and the
/// version itself is a mount option.
pub const FS_TYPES: [&str; 2] = ["nfs", "nfs4"];

/// What the controller keeps on each share. See `docs/layout.md` for the states after a crash.
pub mod layout {
    /// Directory at the root of the share that holds everything below; no volume may be placed in it.
    pub const ROOT: &str = ".berth";
    /// One entry per volume, a symlink or a [sealed](crate::sealed) file, named by its [`crate::RecordKey`]; it holds the text of the [`crate::Record`].
    pub const RECORDS: &str = "records";
    /// Records of volumes that were deleted and whose directories stay (`onDelete: retain`).
    pub const RETAINED: &str = "retained";
    /// One such entry per custom place, named by its [`crate::PlaceKey`]; it holds the key of the volume that holds it.
    pub const PLACES: &str = "places";
    /// Directories that are being removed.
    pub const TRASH: &str = "trash";
    /// An entry that holds the share's [`crate::ShareIdentity`]; its form is that of all others.
    pub const IDENTITY: &str = "identity";
    /// An empty directory without any permission, by which the controller learns whether the server takes it for root. Only
    /// where [`ROOT`] is not root's.
    pub const CLOSED: &str = "closed";
    /// What the name of a directory begins with that is being removed where it was, because it cannot be moved to [`TRASH`]; behind
    /// it is a unique suffix.
    pub const ASIDE: &str = ".berth-trash";
    /// Between key and unique suffix of an entry of the trash, or of a retained record.
    pub const TRASH_SEPARATOR: char = '~';
}

/// Sockets and directories of the node plugin, relative to kubelet's directory.
pub mod kubelet {
    /// Where kubelet looks for registration sockets.
    pub const REGISTRY: &str = "plugins_registry";
    /// Where drivers keep their sockets and state, one directory per driver.
    pub const PLUGINS: &str = "plugins";
    /// Suffix of the registration socket: `<driver>@reg.sock`. kubelet sends the percent-encoded path as HTTP/2
    /// `:authority`, in which a `%` is legal only before an `@`.
    pub const REGISTRATION_SUFFIX: &str = "@reg.sock";
    /// File name of the CSI socket in the driver's directory.
    pub const CSI_SOCKET: &str = "csi.sock";
    /// Directory, below the driver's, in which the node plugin keeps one mount per share.
    pub const POOL: &str = "pool";
}
