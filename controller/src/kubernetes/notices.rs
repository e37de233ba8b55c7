//! Makes events of what the operations have to say about shares.
//!
//! An event needs an object that people look at. A share is none, but the classes that make volumes on it name it, and they
//! outlive every pod of ours: `kubectl describe storageclass` shows what is wrong with it. Where no class names the share any
//! more, it is told of one of its volumes. Without either it is in the log alone.

use std::collections::HashMap;
use std::sync::Arc;

use ::volume::{Server, SharePath};
use futures::Stream;
use futures::stream::unfold;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tracing::warn;

use super::api::objects::{Class, Volume};
use super::api::watch::{Change, Kind};
use super::context::Context;
use super::events::Reason;
use super::places::{share_of_class, share_of_volume};
use super::runner::{Controller, Decision, Store, Verdict};
use crate::notices::{Notice, NoticeKind};
use crate::operations::Volumes;

/// An object that is about a share.
#[derive(Debug, Clone)]
struct Sign {
    share: String,
    uid: Box<str>,
}

/// The controller; an item is a notice.
#[derive(Debug)]
pub(crate) struct NoticeBoard {
    driver: String,
    classes: Store<Sign>,
    volumes: Store<Sign>,
    /// Notices that nobody was told of.
    waiting: HashMap<String, Notice>,
}

/// An object to tell a notice of.
#[derive(Debug, PartialEq, Eq)]
enum About {
    Class { name: String, uid: String },
    Volume { name: String, uid: String },
}

/// What is to be told, and of which objects.
#[derive(Debug)]
pub(crate) struct Told {
    notice: Notice,
    about: Vec<About>,
}

fn key(server: &Server, share: &SharePath) -> String {
    format!("{server}:{}", share.as_str())
}

impl NoticeBoard {
    /// On the shares of the classes and volumes of `driver`.
    pub(crate) fn new(driver: &str) -> Self {
        let (classes, volumes) = (Store::default(), Store::default());
        Self { driver: driver.to_owned(), classes, volumes, waiting: HashMap::new() }
    }

    /// Every class that names the share, else the first of its volumes.
    fn about(&self, share: &str) -> Vec<About> {
        let on_it =
            |(name, sign): (&String, &Sign)| (sign.share == share).then(|| (name.clone(), sign.uid.to_string()));
        let classes = self.classes.items().iter().filter_map(on_it);
        let mut about: Vec<About> = classes.map(|(name, uid)| About::Class { name, uid }).collect();
        if about.is_empty() {
            let first = self.volumes.items().iter().filter_map(on_it).min();
            about.extend(first.map(|(name, uid)| About::Volume { name, uid }));
        }
        about
    }
}

impl<V: Volumes> Controller<Context<V>> for NoticeBoard {
    const ITEMS: &'static str = "notices";
    const WORK: &'static str = "telling a notice";
    const INTERESTS: &'static [Kind] = &[Kind::Class, Kind::Volume, Kind::Notice];

    type Step = Told;
    type Outcome = ();

    fn note(&mut self, change: &Change) -> Vec<String> {
        let driver = &self.driver;
        let sign = |share: Option<(Server, SharePath)>, uid: &str| {
            share.map(|(server, share)| Sign { share: key(&server, &share), uid: uid.into() })
        };
        match change {
            Change::Class(event) => {
                let keep = |class: &Class| sign(share_of_class(class).filter(|_| class.is_of(driver)), class.uid());
                self.classes.follow(event, Class::name, keep);
            }
            Change::Volume(event) => {
                let keep =
                    |volume: &Volume| sign(share_of_volume(volume).filter(|_| volume.is_of(driver)), volume.uid());
                self.volumes.follow(event, Volume::name, keep);
            }
            Change::Notice(notice) => {
                let item = format!("{}: {}", key(&notice.server, &notice.share), notice.text);
                self.waiting.insert(item.clone(), notice.clone());
                return vec![item];
            }
            _ => {}
        }
        Vec::new()
    }

    fn decide(&mut self, item: &str, _now: Instant) -> Decision<Told> {
        let Some(notice) = self.waiting.remove(item) else { return Decision::Rest(Verdict::Done) };
        let about = self.about(&key(&notice.server, &notice.share));
        Decision::Act(Told { notice, about })
    }

    async fn act(context: Arc<Context<V>>, Told { notice, about }: Told) {
        let reason = match notice.kind {
            NoticeKind::TrashStuck => Reason::TrashStuck,
        };
        for object in about {
            match object {
                About::Class { name, uid } => context.recorder.class_named(&name, &uid, reason, notice.text.clone()),
                About::Volume { name, uid } => context.recorder.volume_named(&name, &uid, reason, notice.text.clone()),
            }
        }
    }

    fn panicked(_step: &Told) {}

    fn settle(&mut self, _item: &str, (): (), _now: Instant) -> Verdict {
        Verdict::Done
    }
}

/// Notices as they come. What is missed because nobody took them is in the log.
pub(crate) fn stream(notices: Receiver<Notice>) -> impl Stream<Item = Notice> {
    unfold(notices, |mut notices| async move {
        loop {
            match notices.recv().await {
                Ok(notice) => return Some((notice, notices)),
                Err(RecvError::Lagged(missed)) => warn!(missed, "notices are missed: too many at once"),
                Err(RecvError::Closed) => return None,
            }
        }
    })
}
