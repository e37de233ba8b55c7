//! All trees of a trash at once: parallel over directories, depth first, in bounded memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use nfs_client::{DirectoryPage, NfsStatus};

use super::Pass;
use super::aside::{self, Link};
use super::hoist::{Hoisted, hoist};
use super::inside::{Inside, Trouble};
use super::named::Named;
use super::work::{After, Directory, Emptied, empty, inner_directory, list, of_one, remove_part, unsendable};
use crate::backend::directory::store::{Share, Store};
use crate::error::OperationError;

/// Directories that are worked on at once. More in one directory would be slower: servers lock it.
const PARALLEL: usize = 8;

/// Directories below this depth are moved higher first, so that a tree of any depth takes no more memory than a shallow one.
const DEEPEST: usize = 64;

/// Pages of the trash in a row of which nothing goes, after which the rest waits for the next pass: more than a million trees,
/// or a server whose listing has no end.
const BARREN_PAGES: u32 = 16 * 1024;

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
    /// The link in the trash that names it, if it was put aside.
    link: Option<Vec<u8>>,
}

/// Directories that are to go, each with those it waits for.
struct Forest<'a> {
    share: &'a Share,
    store: &'a Store,
    named: &'a mut Named,
    /// The trash.
    top: Arc<Inside>,
    sweep: Sweep,
    nodes: BTreeMap<u64, Node>,
    /// Those that can be worked on; the last one first, so that the deepest go first.
    ready: Vec<u64>,
    next: u64,
    /// Links in the trash of directories that have gone.
    links: Vec<Vec<u8>>,
    pass: Pass,
}

/// One way through the trash, a page at a time. What is removed meanwhile may let a server skip what comes after it, and what
/// was moved to the top lies anywhere in it: then there is another one.
#[derive(Default)]
struct Sweep {
    /// What was read last, without its entries.
    page: Option<DirectoryPage>,
    ended: bool,
    pages: u32,
    /// Pages since something went.
    barren: u32,
    removed: usize,
    hoisted: bool,
}

impl Sweep {
    /// Whether something may have been passed over that another sweep finds.
    fn has_to_be_repeated(&self) -> bool {
        self.hoisted || (self.pages > 1 && self.removed > 0)
    }
}

/// Removes every tree that is in the trash now.
pub(super) async fn clear(share: &Share, store: &Store, named: &mut Named) -> Result<Pass, OperationError> {
    let top = Inside::trash(share, store.trash.clone());
    let (sweep, nodes, ready) = (Sweep::default(), BTreeMap::new(), Vec::new());
    let (links, pass) = (Vec::new(), Pass::default());
    let mut forest = Forest { share, store, named, top, sweep, nodes, ready, next: 0, links, pass };
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < PARALLEL {
            if let Some(id) = forest.ready.pop() {
                let Some(node) = forest.nodes.get(&id) else { continue };
                let directory = node.directory.clone();
                running.push(async move { (id, empty(share, store, &directory).await) });
            } else if forest.sweep.ended {
                break;
            } else {
                // Only now, so that no more of the trash is in memory than somebody works on, and a page.
                forest.plant().await?;
            }
        }
        match running.next().await {
            Some((id, emptied)) => {
                forest.grow_or_fell(id, emptied?).await?;
                let links = std::mem::take(&mut forest.links);
                forest.remove(&links).await?;
            }
            None if forest.pass.lost || !forest.sweep.has_to_be_repeated() => break,
            None => {
                forest.sweep = Sweep::default();
                (forest.pass.left, forest.pass.stuck) = (0, 0);
            }
        }
    }
    share.traffic().set_backlog(forest.pass.left);
    share.traffic().set_stuck(forest.pass.stuck);
    Ok(forest.pass)
}

impl Forest<'_> {
    /// Takes up a page of the trash: directories are worked on, everything else is removed.
    async fn plant(&mut self) -> Result<(), OperationError> {
        let (mut page, _same) = match list(self.share, self.store, &self.top, self.sweep.page.as_ref()).await {
            Ok(listed) => listed,
            Err(Trouble::Refused(refusal)) => {
                self.sweep.ended = true;
                self.pass.left += 1;
                self.leave(refusal.reason());
                return Ok(());
            }
            // The server does not go on from there any more: the next pass begins anew.
            Err(Trouble::Failed(error)) if self.sweep.pages > 0 && is_lost_place(&error) => {
                self.sweep.ended = true;
                self.pass.left += 1;
                return Ok(());
            }
            Err(Trouble::Failed(error)) => return Err(error),
        };
        let entries = std::mem::take(&mut page.entries);
        self.sweep.pages += 1;
        self.sweep.barren += 1;
        self.sweep.ended = page.end || entries.is_empty() || self.sweep.barren > BARREN_PAGES;
        self.sweep.page = Some(page);
        let mut others: Vec<Vec<u8>> = Vec::new();
        for entry in entries {
            if let Some(reason) = unsendable(self.share, &self.top, &entry) {
                self.pass.left += 1;
                self.leave(reason);
                continue;
            }
            match inner_directory(self.share, &self.top, &entry).await {
                Ok(Some(directory)) => self.add(directory, None, 0, None),
                Ok(None) if self.store.notes.may_be(entry.attributes.file_type) => {
                    match aside::follow(self.store, &entry.name).await {
                        Ok(Link::Removed) => others.push(entry.name),
                        Ok(Link::After(directory)) => self.add(directory, None, 0, Some(entry.name)),
                        Ok(Link::Waits) => {}
                        Err(error) => self.meet(error.into())?,
                    }
                }
                Ok(None) => others.push(entry.name),
                Err(trouble) => self.meet(trouble)?,
            }
        }
        let trees = self.nodes.values().filter(|node| node.above.is_none()).count();
        self.share.traffic().set_backlog(self.share.traffic().backlog().max(self.pass.left + trees + others.len()));
        let removed = self.remove(&others).await?;
        self.gone(removed);
        Ok(())
    }

    /// Removes what is no directory from the top of the trash; says how many have gone.
    async fn remove(&mut self, names: &[Vec<u8>]) -> Result<usize, OperationError> {
        let kept = remove_part(self.share, &self.top, names).await?;
        self.pass.left += kept.count;
        if let Some(reason) = kept.reason {
            self.leave(reason);
        }
        Ok(names.len() - kept.count)
    }

    /// Trouble with something at the top of the trash.
    fn meet(&mut self, trouble: Trouble) -> Result<(), OperationError> {
        match of_one(trouble)? {
            Emptied::Stuck(reason) => {
                self.pass.left += 1;
                self.leave(reason);
            }
            Emptied::Lost => self.pass.lost = true,
            Emptied::Gone | Emptied::After(_) => {}
        }
        Ok(())
    }

    fn add(&mut self, directory: Directory, above: Option<u64>, depth: usize, link: Option<Vec<u8>>) {
        let id = self.next;
        self.next += 1;
        let page = DirectoryPage::default();
        self.nodes.insert(id, Node { directory, above, depth, inner: 0, page, stuck: false, link });
        self.pass.held = self.pass.held.max(self.nodes.len());
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
                self.leave(reason);
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
        if depth <= DEEPEST {
            node.inner = inner.len();
            for directory in inner {
                self.add(directory, Some(id), depth, None);
            }
        } else {
            self.hoist(id, inner).await?;
            self.go_on(id);
        }
        if let Some(reason) = reason {
            self.leave(reason);
        }
        Ok(())
    }

    /// Moves the directories in one that lies too deep higher. They are found there again, so none is held here.
    async fn hoist(&mut self, id: u64, inner: Vec<Directory>) -> Result<(), OperationError> {
        let above = self.highest_above(id);
        for directory in inner {
            match hoist(self.share, self.store, &directory, &above).await? {
                Hoisted::ToTheTop => self.sweep.hoisted = true,
                Hoisted::Elsewhere => {}
                Hoisted::Stuck(reason) => {
                    self.leave(reason);
                    if let Some(node) = self.nodes.get_mut(&id) {
                        node.stuck = true;
                    }
                }
            }
        }
        Ok(())
    }

    /// The two highest directories of a tree above one of them, the highest first.
    fn highest_above(&self, id: u64) -> Vec<Arc<Inside>> {
        let above = std::iter::successors(self.nodes.get(&id), |node| self.nodes.get(&node.above?));
        let highest = above.filter(|node| node.depth < 2).map(|node| Arc::clone(&node.directory.inside));
        let mut highest: Vec<_> = highest.collect();
        highest.reverse();
        highest
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
            if stuck {
                self.pass.left += 1;
            } else {
                self.gone(1);
                self.links.extend(node.link);
            }
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

    /// So many trees have gone.
    fn gone(&mut self, trees: usize) {
        if trees > 0 {
            self.pass.removed += trees;
            self.sweep.removed += trees;
            self.sweep.barren = 0;
        }
    }

    /// Something stays, of whatever tree.
    fn leave(&mut self, reason: String) {
        self.pass.stuck += 1;
        if self.named.is_new(&reason) {
            self.pass.named += 1;
            tracing::warn!(share = self.share.site().location(), reason, "something in the trash cannot be removed");
        }
        self.pass.reason.get_or_insert(reason);
    }
}

/// Whether the server does not know the place in the listing any more from which it was to go on.
fn is_lost_place(error: &OperationError) -> bool {
    matches!(error.nfs_status(), Some(NfsStatus::BadCookie | NfsStatus::NotSame))
}
