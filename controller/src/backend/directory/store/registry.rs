//! A folder of short texts, in each of which the driver keeps one thing that it must not forget.
//!
//! An entry is made once for each name, and once it has its text it is never changed, only replaced or removed: whoever does so says
//! in which state he has seen it, and if it is another one by now nothing happens. What an entry is on the share only `form` knows.

use std::sync::Arc;

use nfs_client::{Attributes, Compound, Error, FileHandle, FileType, NfsStatus, ObjectState, Principal, Replies};

use super::form::{Form, Making, Text};
use super::layout::unique_tree;
use super::pair::call_both;
use super::site::Site;
use super::trust::is_same;
use crate::error::OperationError;

/// See the module.
pub(crate) struct Registry {
    site: Arc<Site>,
    handle: FileHandle,
    /// Whose the folder is, if the server says: nobody else's entries count.
    owner: Option<Principal>,
    form: Form,
    about: About,
}

/// What the entries of a folder are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    /// The way to the folder from the share.
    pub(crate) folder: &'static [&'static str],
    /// What whoever reads one does, as the middle of "cannot … server:path".
    pub(crate) reading: &'static str,
    /// What is wrong where something else lies.
    pub(crate) not_one: &'static str,
}

/// An entry as it was seen.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) text: Text,
    pub(crate) state: Option<ObjectState>,
    /// When it was written, in seconds since 1970 by the server's clock.
    pub(crate) written: Option<i64>,
}

impl Registry {
    pub(crate) fn new(
        site: &Arc<Site>,
        handle: FileHandle,
        owner: Option<Principal>,
        form: Form,
        about: About,
    ) -> Self {
        Self { site: Arc::clone(site), handle, owner, form, about }
    }

    pub(crate) fn handle(&self) -> &FileHandle {
        &self.handle
    }

    /// Where an entry lies, for messages.
    pub(crate) fn location(&self, name: &str) -> String {
        self.site.at(self.path(name))
    }

    /// The entry of this name, if there is one.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Entry>, OperationError> {
        match self.site.client().call(self.look(name)).await {
            Ok(replies) => self.seen(name, &replies).map(Some),
            Err(error) if error.is_status(NfsStatus::NoEnt) => Ok(None),
            Err(error) => Err(self.unreadable(name, error)),
        }
    }

    /// What reads an entry: the first attributes of the reply, and its text. The attributes come first: what is written to a file
    /// between the two then shows, because its state is not the one that was seen.
    pub(crate) fn look(&self, name: &str) -> Compound {
        self.form.read(Compound::new().put_handle(&self.handle).lookup(name).get_attr())
    }

    /// Whether [`look`](Self::look) has come to its end.
    pub(crate) fn is_read(&self, replies: &Replies) -> bool {
        self.form.is_read(replies)
    }

    /// The entry in the reply to [`look`](Self::look). Refused if it is somebody else's than the folder, or others may have changed it:
    /// while the folder was open to them.
    pub(crate) fn seen(&self, name: &str, replies: &Replies) -> Result<Entry, OperationError> {
        let attributes = replies.attributes(0);
        if attributes.is_some_and(|found| !self.is_ours(found)) {
            let problem = "it belongs to another user than its folder";
            return Err(OperationError::NotBelieved { location: self.location(name), problem });
        }
        if attributes.is_some_and(|found| self.form.changeable(found).is_some()) {
            let problem = "others than its owner may write to it";
            return Err(OperationError::NotBelieved { location: self.location(name), problem });
        }
        let text = self.form.text(replies).ok_or_else(|| self.foreign(name))?;
        let size = attributes.and_then(|found| found.size);
        if text == Text::Begun && size.is_some_and(|size| !self.form.is_all(replies, size)) {
            // Somebody is writing it, or the server has told a part of it.
            return Err(OperationError::Contended(self.location(name)));
        }
        Ok(Entry {
            text,
            state: attributes.and_then(Attributes::state),
            written: attributes.and_then(|found| found.modified).map(|(seconds, _)| seconds),
        })
    }

    /// Whether something belongs to the user to whom the folder belongs, as far as the server says.
    pub(crate) fn is_ours(&self, found: &Attributes) -> bool {
        found.owner.as_ref().zip(self.owner.as_ref()).is_none_or(|(owner, ours)| is_same(owner, ours))
    }

    /// The error for what cannot be read as an entry, or cannot be reached.
    pub(crate) fn unreadable(&self, name: &str, error: Error) -> OperationError {
        match error.status() {
            Some(
                NfsStatus::Inval | NfsStatus::BadType | NfsStatus::WrongType | NfsStatus::IsDir | NfsStatus::Symlink,
            ) => self.foreign(name),
            _ => self.site.failed(self.about.reading, self.path(name), error),
        }
    }

    /// The error for something that is no entry of this folder.
    pub(crate) fn foreign(&self, name: &str) -> OperationError {
        OperationError::Untrusted { location: self.location(name), problem: self.about.not_one }
    }

    /// Whether something of this type can be an entry; of an unknown one it may be.
    pub(crate) fn may_be(&self, found: Option<FileType>) -> bool {
        found.is_none_or(|found| found == self.form.file_type())
    }

    /// What makes an entry in the folder, which is current before, and ends with `and`, of the entry. EXIST if there is one.
    pub(crate) fn create(&self, name: &str, text: &str, and: Compound) -> Making {
        self.form.making(name, text, and)
    }

    /// What goes on only if an entry is as it was seen; where the server has told no state, if there is one.
    pub(crate) fn unchanged(&self, name: &str, seen: Option<ObjectState>) -> Compound {
        let there = Compound::new().put_handle(&self.handle).lookup(name);
        seen.into_iter().fold(there, Compound::verify)
    }

    /// What removes an entry if it is as it was seen.
    pub(crate) fn remove(&self, name: &str, seen: ObjectState) -> Compound {
        self.unchanged(name, Some(seen)).put_handle(&self.handle).remove(name)
    }

    /// Removes an entry if it is as it was seen; if it is not, nothing happens.
    pub(crate) async fn discard(&self, name: &str, seen: ObjectState) -> Result<(), OperationError> {
        match self.site.client().call(self.remove(name, seen)).await {
            Err(error) if !is_overtaken(&error) => Err(self.site.failed("make anew", self.path(name), error)),
            _ => Ok(()),
        }
    }

    /// Puts a text in the place of an entry, if that is still as it was seen, by way of the trash. At no moment is the name without
    /// an entry.
    pub(crate) async fn replace(
        &self,
        name: &str,
        seen: ObjectState,
        text: &str,
        trash: &FileHandle,
    ) -> Result<(), Error> {
        let new = unique_tree();
        let make = Compound::new().put_handle(trash).append(self.create(&new, text, Compound::new()).whole());
        let put = self.unchanged(name, Some(seen)).put_handle(trash).save_handle();
        let put = put.put_handle(&self.handle).rename(&new, name);
        let (_, ended) = call_both(&self.site, make, put).await;
        if ended.is_some() {
            // What stays there all the same is removed with the rest of the trash.
            let _either_way = self.site.client().call(Compound::new().put_handle(trash).remove(&new)).await;
        }
        match ended {
            Some(error) if !is_overtaken(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.about.folder.join("/"))
    }
}

/// Whether something is not there, or not as it was seen, any more.
fn is_overtaken(error: &Error) -> bool {
    error.is_status(NfsStatus::NoEnt) || error.is_status(NfsStatus::NotSame)
}
