//! What people do to a share, on the server itself or as clients of it.

use std::fs;

use nfs_client::{Client, FileType, OpCode, SetAttributes, SourcePort};

use super::{Object, Place, World};

impl World {
    /// A client that does by hand what people do.
    pub(crate) fn by_hand(&self) -> Client {
        (self.settings(SourcePort::PreferReserved).connect)(&self.server().parse().unwrap())
    }

    /// Removes something below the share, a directory only if it is empty.
    pub(crate) async fn remove(&self, path: &str) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let client = self.by_hand();
        let directory = client.open_dir(&self.names_to(parent)).await.unwrap();
        client.remove(&directory, name).await.unwrap();
        client.shutdown().await;
    }

    /// The way to something below the share.
    pub(crate) fn names_to<'a>(&'a self, path: &'a str) -> Vec<&'a str> {
        self.share().split('/').chain(path.split('/')).filter(|name| !name.is_empty()).collect()
    }

    pub(crate) fn make_dir(&self, path: &str) {
        match self.place(path) {
            Place::Fake(server, path) => server.make_dir(&path),
            Place::Here(path) => fs::create_dir_all(path).unwrap(),
        }
    }

    pub(crate) fn make_file(&self, path: &str) {
        self.write(path, "data");
    }

    /// Makes a file with this content.
    pub(crate) fn write(&self, path: &str, content: &str) {
        match self.place(path) {
            Place::Fake(server, path) => server.make_file(&path, content),
            Place::Here(path) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
    }

    pub(crate) fn make_symlink(&self, path: &str, target: &str) {
        match self.place(path) {
            Place::Fake(server, path) => server.make_symlink(&path, target),
            Place::Here(path) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::os::unix::fs::symlink(target, path).unwrap();
            }
        }
    }

    /// Whether the share has symbolic links, so that entries of the driver's folders are links.
    pub(crate) fn has_links(&self) -> bool {
        match self.place("") {
            Place::Fake(server, _) => server.has_symlinks(),
            Place::Here(path) => {
                let probe = path.join("a-link-to-nothing");
                std::os::unix::fs::symlink("nothing", &probe).and_then(|()| fs::remove_file(probe)).is_ok()
            }
        }
    }

    /// The operation by which entries of the driver's folders are read.
    pub(crate) fn reads_entries_by(&self) -> OpCode {
        if self.has_links() { OpCode::ReadLink } else { OpCode::Read }
    }

    /// Makes an entry of one of the driver's folders.
    pub(crate) fn make_entry(&self, path: &str, text: &str) {
        if self.has_links() {
            self.make_symlink(path, text);
        } else {
            self.write(path, &volume::sealed::seal(text));
        }
    }

    /// Makes something that is no entry.
    pub(crate) fn make_no_entry(&self, path: &str) {
        if self.has_links() { self.make_file(path) } else { self.make_dir(path) }
    }

    /// Makes an entry of one of the driver's folders an hour ago.
    pub(crate) fn make_old_entry(&self, path: &str, text: &str) {
        self.make_entry(path, text);
        self.age(path);
    }

    /// Lets something have been made an hour ago.
    pub(crate) fn age(&self, path: &str) {
        match self.place(path) {
            Place::Fake(server, path) => server.age(&path, 3600),
            Place::Here(path) => {
                let touched = std::process::Command::new("touch").args(["-h", "-d", "1 hour ago"]).arg(path).status();
                assert!(touched.unwrap().success());
            }
        }
    }

    /// Lets everybody write to a directory.
    pub(crate) async fn open_to_others(&self, path: &str) {
        self.change(path, SetAttributes::mode(0o777)).await;
    }

    /// Lets nobody but user 0 into a directory.
    pub(crate) fn close(&self, path: &str) {
        match self.place(path) {
            Place::Fake(server, path) => server.change(&path, SetAttributes::mode(0)),
            Place::Here(path) => {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
            }
        }
    }

    /// Gives something to a user, with this mode if it is a directory, as on the server itself.
    pub(crate) fn give(&self, path: &str, uid: u32, mode: Option<u32>) {
        match self.place(path) {
            Place::Fake(server, path) => {
                server.change(&path, SetAttributes { mode, ..SetAttributes::owner(Some(uid), Some(uid)) });
            }
            Place::Here(path) => {
                std::os::unix::fs::lchown(&path, Some(uid), Some(uid)).unwrap();
                if let Some(mode) = mode {
                    use std::os::unix::fs::PermissionsExt;
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
        }
    }

    /// Makes a directory with this mode and owner, as on the server itself.
    pub(crate) fn lay(&self, path: &str, mode: u32, (uid, gid): (u32, u32)) {
        self.make_dir(path);
        match self.place(path) {
            Place::Fake(server, path) => {
                server.change(&path, SetAttributes { mode: Some(mode), ..SetAttributes::owner(Some(uid), Some(gid)) });
            }
            Place::Here(path) => {
                use std::os::unix::fs::PermissionsExt;
                std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }

    /// Does what kubelet does for a pod's `fsGroup` to a volume that is the whole share: the group of everything changes, links
    /// included, and directories and files get what the group needs. Without a group: where root may not give things away.
    pub(crate) async fn give_to_fs_group(&self, gid: Option<u32>) {
        let client = self.by_hand();
        let objects = self.tree().into_iter().chain([(String::new(), Object::Directory { mode: 0, owner: (0, 0) })]);
        for (path, _) in objects {
            let names = self.names_to(&path);
            let (name, parent) = names.split_last().unwrap();
            let parent = client.open_dir(parent).await.unwrap();
            let found = client.entry(&parent, name).await.unwrap();
            let added = match found.attributes.file_type {
                Some(FileType::Directory) => Some(0o2770),
                Some(FileType::Regular) => Some(0o660),
                _ => None,
            };
            let mode = added.map(|added| found.attributes.mode.unwrap() | added);
            let changed =
                client.setattr(&found.handle, SetAttributes { mode, ..SetAttributes::owner(None, gid) }).await;
            assert!(changed.is_ok() || gid.is_none(), "{path}: {changed:?}");
        }
        client.shutdown().await;
    }

    /// Renames something below the share, as on the server itself.
    pub(crate) async fn rename(&self, from: &str, to: &str) {
        let client = self.by_hand();
        let mut directories = Vec::new();
        for path in [from, to] {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            directories.push((client.open_dir(&self.names_to(parent)).await.unwrap(), name));
        }
        let [(from, old), (to, new)] = &directories[..] else { unreachable!("two paths") };
        client.rename((from, old), (to, new)).await.unwrap();
        client.shutdown().await;
    }

    /// Changes owner or mode of a directory.
    pub(crate) async fn change(&self, path: &str, attributes: SetAttributes) {
        let client = self.by_hand();
        let directory = client.open_dir(&self.names_to(path)).await.unwrap();
        client.setattr(&directory, attributes).await.unwrap();
        client.shutdown().await;
    }
}
