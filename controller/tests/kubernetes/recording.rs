//! Volumes in memory, which remember every call and fail as a script says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;

use controller::operations::{Catalogue, CreateVolume, Created, Notice, OperationError, Volumes};
use tokio::sync::{broadcast, watch};
use tonic::Code;
use volume::{Server, ShareIdentity, SharePath};

use super::refusal::{full, refusal};

/// The identity of every share.
pub(crate) const MADE_ON: ShareIdentity = ShareIdentity::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

/// How the next create call goes.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// It succeeds.
    Succeed,
    /// It fails and nothing is made.
    Fail(Code),
    /// The volume is made, and the answer is lost with this code.
    MakeAndFail(Code),
    /// It succeeds with a volume of one byte.
    MakeSmall,
    /// It panics.
    Panic,
    /// The volume is made, and it panics then.
    MakeAndPanic,
    /// It waits until the gate is `true`, then succeeds.
    Wait(watch::Receiver<bool>),
}

#[derive(Debug)]
pub(crate) struct Recording {
    inner: Mutex<Inner>,
    catalogue: Catalogue,
    notices: broadcast::Sender<Notice>,
}

#[derive(Debug, Default)]
struct Inner {
    script: VecDeque<Act>,
    /// By id.
    volumes: BTreeMap<String, CreateVolume>,
    creates: Vec<String>,
    /// The id, and the share on which the caller says it was made.
    deletes: Vec<(String, Option<ShareIdentity>)>,
    failing_deletes: usize,
    running: BTreeSet<String>,
    doubled: Vec<String>,
    resumed: Vec<String>,
    detached: usize,
}

impl Default for Recording {
    fn default() -> Self {
        Self { inner: Mutex::default(), catalogue: Catalogue::default(), notices: broadcast::Sender::new(8) }
    }
}

impl Recording {
    /// Lets people be told something.
    pub(crate) fn tell(&self, notice: Notice) {
        self.notices.send(notice).expect("somebody listens");
    }

    /// Appends to the script; calls beyond it succeed. By the end of its flow all of it must have been played.
    pub(crate) fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.inner.lock().unwrap().script.extend(acts);
    }

    /// Lets the next `count` delete calls fail with [`full`].
    pub(crate) fn fail_deletes(&self, count: usize) {
        self.inner.lock().unwrap().failing_deletes = count;
    }

    /// Panics if a part of the script has not been played: the test would show nothing of it.
    pub(crate) fn require_played(&self) {
        let Inner { script, failing_deletes, .. } = &*self.inner.lock().unwrap();
        assert!(
            script.is_empty() && *failing_deletes == 0,
            "not played: {script:?}, {failing_deletes} failing deletes"
        );
    }

    /// Names of all create calls, in order.
    pub(crate) fn creates(&self) -> Vec<String> {
        self.inner.lock().unwrap().creates.clone()
    }

    /// How many create calls there were for the claim with this UID.
    pub(crate) fn creates_of(&self, claim_uid: &str) -> usize {
        let name = format!("pvc-{claim_uid}");
        self.inner.lock().unwrap().creates.iter().filter(|made| **made == name).count()
    }

    /// Ids of all delete calls, in order.
    pub(crate) fn deletes(&self) -> Vec<String> {
        self.inner.lock().unwrap().deletes.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Of each delete call the share on which the volume was made, as far as the caller knows it.
    pub(crate) fn deletes_made_on(&self) -> Vec<Option<ShareIdentity>> {
        self.inner.lock().unwrap().deletes.iter().map(|(_, made_on)| *made_on).collect()
    }

    /// The request that made the volume of this name, if there is one.
    pub(crate) fn volume(&self, name: &str) -> Option<CreateVolume> {
        self.inner.lock().unwrap().volumes.get(&id(name)).cloned()
    }

    /// How many volumes there are.
    pub(crate) fn count(&self) -> usize {
        self.inner.lock().unwrap().volumes.len()
    }

    /// `SERVER:SHARE` of each share that was taken up, in order.
    pub(crate) fn resumed(&self) -> Vec<String> {
        self.inner.lock().unwrap().resumed.clone()
    }

    pub(crate) fn forget_resumed(&self) {
        self.inner.lock().unwrap().resumed.clear();
    }

    /// Lets so many jobs run for nobody.
    pub(crate) fn detach(&self, jobs: usize) {
        self.inner.lock().unwrap().detached = jobs;
    }

    /// Volumes that two calls worked on at once.
    pub(crate) fn doubled(&self) -> Vec<String> {
        self.inner.lock().unwrap().doubled.clone()
    }
}

/// Marks a name as worked on until dropped.
struct Running<'r>(&'r Recording, String);

impl<'r> Running<'r> {
    fn begin(recording: &'r Recording, name: &str) -> Self {
        let mut inner = recording.inner.lock().unwrap();
        if !inner.running.insert(name.to_owned()) {
            inner.doubled.push(name.to_owned());
        }
        Self(recording, name.to_owned())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.inner.lock().unwrap().running.remove(&self.1);
    }
}

impl Volumes for Recording {
    async fn create(&self, request: CreateVolume) -> Result<Created, OperationError> {
        let _running = Running::begin(self, &request.name);
        let act = {
            let mut inner = self.inner.lock().unwrap();
            inner.creates.push(request.name.clone());
            inner.script.pop_front()
        };
        match act {
            Some(Act::Fail(code)) => return Err(refusal(code)),
            Some(Act::Panic) => panic!("on purpose"),
            Some(Act::Wait(ref gate)) => {
                gate.clone().wait_for(|open| *open).await.expect("an open gate");
            }
            Some(Act::Succeed | Act::MakeAndFail(_) | Act::MakeAndPanic | Act::MakeSmall) | None => {}
        }
        let parameter = |key, default| request.parameters.get(key).map_or(default, String::as_str);
        let id = id_on(parameter("server", "nfs.example"), parameter("share", "/export"), &request.name);
        self.inner.lock().unwrap().volumes.insert(id.clone(), request.clone());
        assert!(!matches!(act, Some(Act::MakeAndPanic)), "on purpose");
        if let Some(Act::MakeAndFail(code)) = act {
            return Err(refusal(code));
        }
        let identity = MADE_ON.to_string();
        let context = [
            ("server", "nfs.example"),
            ("share", "/export"),
            ("subDir", request.name.as_str()),
            ("shareIdentity", identity.as_str()),
        ];
        let context = context.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let capacity_bytes = u64::from(matches!(act, Some(Act::MakeSmall)));
        Ok(Created { id, capacity_bytes, context })
    }

    async fn discard(&self, begun: CreateVolume, kept: &Created) -> Result<(), OperationError> {
        let made = self.create(begun).await?;
        if made.id == kept.id { Ok(()) } else { self.delete(&made.id, None).await }
    }

    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    async fn delete(&self, id: &str, made_on: Option<ShareIdentity>) -> Result<(), OperationError> {
        let name = id.rsplit('#').next().unwrap_or_default().to_owned();
        let _running = Running::begin(self, &name);
        // A call that takes a moment: calls that overlap would be seen.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        let mut inner = self.inner.lock().unwrap();
        inner.deletes.push((id.to_owned(), made_on));
        if inner.failing_deletes > 0 {
            inner.failing_deletes -= 1;
            return Err(full(&name));
        }
        inner.volumes.remove(id);
        Ok(())
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    fn running(&self) -> usize {
        let inner = self.inner.lock().unwrap();
        inner.running.len() + inner.detached
    }

    fn resume(&self, server: &Server, share: &SharePath) {
        self.inner.lock().unwrap().resumed.push(format!("{server}:{}", share.as_str()));
    }
}

/// Id of the volume with this name.
pub(crate) fn id(name: &str) -> String {
    id_on("nfs.example", "/export", name)
}

/// Id of the volume with this name on this share.
pub(crate) fn id_on(server: &str, share: &str, name: &str) -> String {
    format!("berth://{server}{share}#{name}")
}
