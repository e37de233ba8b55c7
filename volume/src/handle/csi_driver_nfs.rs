//! Handles of csi-driver-nfs: `SERVER#SHARE#SUBDIR#UUID#ONDELETE`, and `SERVER/SHARE/SUBDIR` of its first versions.

/// A volume of csi-driver-nfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsiDriverNfsHandle {
    /// The server.
    pub server: String,
    /// The share, without slashes around it; empty: the root.
    pub share: String,
    /// The directory below the share, without slashes around it.
    pub sub_dir: String,
    /// What tells volumes of one directory apart: the volume's name where the class gave the directory, else empty.
    pub uuid: String,
    /// What becomes of the directory in the end: `retain`, `archive`, or empty for the driver's default.
    pub on_delete: String,
}

impl CsiDriverNfsHandle {
    /// Reads a handle; none if it is of neither form. Fields past the fifth mean nothing, as they mean nothing to that driver.
    pub(super) fn parse(handle: &str) -> Option<Self> {
        let fields: Vec<&str> = handle.split('#').collect();
        if let [server, share, sub_dir, rest @ ..] = fields.as_slice() {
            return Self::new(server, share, sub_dir, rest);
        }
        let (server, path) = handle.split_once('/').filter(|_| fields.len() == 1)?;
        let (share, sub_dir) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
        Self::new(server, share, sub_dir, &[])
    }

    fn new(server: &str, share: &str, sub_dir: &str, rest: &[&str]) -> Option<Self> {
        let [share, sub_dir] = [share, sub_dir].map(|path| path.trim_matches('/').to_owned());
        let field = |nth: usize| rest.get(nth).copied().unwrap_or_default().to_owned();
        let server = server.to_owned();
        let is_whole = !server.is_empty() && !sub_dir.is_empty();
        is_whole.then(|| Self { server, share, sub_dir, uuid: field(0), on_delete: field(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_the_driver_has_written_is_read() {
        for (handle, fields) in [
            ("nfs.example##pvc-1234##", ["nfs.example", "", "pvc-1234", "", ""]),
            ("nfs#exp/k8s#ns1/data#pvc-1#archive", ["nfs", "exp/k8s", "ns1/data", "pvc-1", "archive"]),
            ("nfs#exp#pvc-1", ["nfs", "exp", "pvc-1", "", ""]),
            ("nfs#exp#pvc-1#u#retain#more", ["nfs", "exp", "pvc-1", "u", "retain"]),
            ("nfs/exp/k8s/pvc-1", ["nfs", "exp/k8s", "pvc-1", "", ""]),
            ("nfs/pvc-1", ["nfs", "", "pvc-1", "", ""]),
        ] {
            let read = CsiDriverNfsHandle::parse(handle).expect(handle);
            assert_eq!([read.server, read.share, read.sub_dir, read.uuid, read.on_delete], fields, "{handle}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for handle in ["", "archive", "#exp#pvc-1##", "nfs#exp##", "nfs#exp", "nfs/", "/exp/pvc-1"] {
            assert_eq!(CsiDriverNfsHandle::parse(handle), None, "{handle}");
        }
    }
}
