//! All trees of a trash at once: parallel over directories, depth first, in bounded memory.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use nfs_client::DirectoryPage;

use super::Pass;
use super::work::{After, Directory, Emptied, Hoisted, empty, failed, hoist};
use crate::backend::folders::Folders;
use crate::backend::share::Share;
use crate::error::OperationError;

/// Directories that are worked on at once. More in one directory would be slower: servers lock it.
const PARALLEL: usize = 8;

/// Directories below this depth are moved to the top of the trash first, so that a tree of any depth takes no more
/// memory than a shallow one.
const DEEPEST: usize = 64;

/// A directory that is to go.
struct Node {
    directory: Directory,
    /// The one it is in; none for the top of the trash.
    above: Option<u64>,
    depth: usize,
    /// Directories in it that have to go first.
    inner: usize,
    /// Where its listing goes on once they have, should one of them stay.
    page: DirectoryPage,
    /// Something of that page stays.
    stuck: bool,
}

/// Directories that are to go, each with those it waits for.
struct Forest<'a> {
    share: &'a Share,
    folders: &'a Folders,
    nodes: BTreeMap<u64, Node>,
    /// Those that can be worked on; the last one first, so that the deepest go first.
    ready: Vec<u64>,
    next: u64,
    pass: Pass,
}

/// Removes every tree that is in the trash now.
pub(super) async fn clear(share: &Share, folders: &Folders) -> Result<Pass, OperationError> {
    let mut forest =
        Forest { share, folders, nodes: BTreeMap::new(), ready: Vec::new(), next: 0, pass: Pass::default() };
    forest.plant().await?;
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < PARALLEL
            && let Some(id) = forest.ready.pop()
            && let Some(node) = forest.nodes.get(&id)
        {
            let directory = node.directory.clone();
            running.push(async move { (id, empty(share, folders, &directory).await) });
        }
        let Some((id, emptied)) = running.next().await else { break };
        forest.grow_or_fell(id, emptied?).await?;
    }
    share.set_backlog(forest.pass.left);
    Ok(forest.pass)
}

impl Forest<'_> {
    /// Takes up the top of the trash: directories are worked on, everything else is removed.
    async fn plant(&mut self) -> Result<(), OperationError> {
        let trash = &self.folders.trash;
        let entries = self.share.client().read_dir(trash).await;
        let entries = entries.map_err(|error| failed(self.share, "list", "", error))?;
        self.share.set_backlog(entries.len());
        let mut others: Vec<Vec<u8>> = Vec::new();
        for entry in entries {
            let path = String::from_utf8_lossy(&entry.name).into_owned();
            match entry
                .attributes
                .handle
                .filter(|_| entry.attributes.file_type == Some(nfs_client::FileType::Directory))
            {
                Some(handle) => {
                    self.add(Directory { path, name: entry.name, parent: trash.clone(), handle, kept: None }, None, 0);
                }
                None => others.push(entry.name),
            }
        }
        let removed = self.share.client().remove_many(trash, &others).await;
        let removed = removed.map_err(|error| failed(self.share, "remove entries of", "", error))?;
        self.pass.removed += removed.gone;
        for (name, status) in removed.kept {
            self.leave(format!("{}: {status}", String::from_utf8_lossy(&name)));
        }
        Ok(())
    }

    fn add(&mut self, directory: Directory, above: Option<u64>, depth: usize) {
        let id = self.next;
        self.next += 1;
        let page = DirectoryPage::default();
        self.nodes.insert(id, Node { directory, above, depth, inner: 0, page, stuck: false });
        self.ready.push(id);
    }

    /// Goes on after work on a directory.
    async fn grow_or_fell(&mut self, id: u64, emptied: Emptied) -> Result<(), OperationError> {
        let After { inner, reason, page } = match emptied {
            Emptied::Gone => {
                self.fell(id, false);
                return Ok(());
            }
            Emptied::Stuck(reason) => {
                self.pass.reason.get_or_insert(reason);
                self.fell(id, true);
                return Ok(());
            }
            Emptied::Lost => {
                self.pass.lost = true;
                self.fell(id, true);
                return Ok(());
            }
            Emptied::After(after) => after,
        };
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let depth = node.depth + 1;
        (node.page, node.stuck) = (page, reason.is_some());
        if let Some(reason) = reason {
            self.pass.reason.get_or_insert(reason);
        }
        if depth <= DEEPEST {
            node.inner = inner.len();
            for directory in inner {
                self.add(directory, Some(id), depth);
            }
            return Ok(());
        }
        for directory in inner {
            match hoist(self.share, self.folders, directory).await? {
                Hoisted::Moved(directory) => self.add(directory, None, 0),
                Hoisted::Gone => {}
                Hoisted::Stuck(reason) => {
                    self.pass.reason.get_or_insert(reason);
                    if let Some(node) = self.nodes.get_mut(&id) {
                        node.stuck = true;
                    }
                }
            }
        }
        self.go_on(id);
        Ok(())
    }

    /// Work on a directory goes on: nothing in it has to go first any more. Where something stays, behind that.
    fn go_on(&mut self, id: u64) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.stuck && node.page.end {
            self.fell(id, true);
            return;
        }
        if node.stuck {
            node.directory.kept = Some(std::mem::take(&mut node.page));
            node.stuck = false;
        }
        self.ready.push(id);
    }

    /// Ends work on a directory, and on those above it that waited for it alone.
    fn fell(&mut self, id: u64, stuck: bool) {
        let Some(node) = self.nodes.remove(&id) else { return };
        let Some(above) = node.above else {
            let count = if stuck { &mut self.pass.left } else { &mut self.pass.removed };
            *count += 1;
            return;
        };
        let Some(outer) = self.nodes.get_mut(&above) else { return };
        outer.inner -= 1;
        outer.stuck |= stuck;
        if outer.inner > 0 {
            return;
        }
        self.go_on(above);
    }

    fn leave(&mut self, reason: String) {
        self.pass.left += 1;
        self.pass.reason.get_or_insert(reason);
    }
}
