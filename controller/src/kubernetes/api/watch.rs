//! Watches, as one stream of changes.

use std::fmt::Debug;

use futures::stream::{BoxStream, select_all};
use futures::{Stream, StreamExt, TryStreamExt};
use kube::api::Resource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;

use super::objects::{Claim, Class, CsiNode, Node, Volume};
use crate::notices::Notice;

/// Objects in one answer of a list: small, because an answer is in memory as a whole.
const PAGE: u32 = 250;

/// Seconds after which the server ends a watch, and five more after which we do when nothing came: a server that hangs
/// keeps its connections, so nothing else would tell it from one without news.
const WATCH: u32 = 150;

/// What there may be news of: kinds of objects that can be watched, and what the operations have to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Claim,
    Class,
    Volume,
    Node,
    CsiNode,
    Notice,
}

impl Kind {
    /// Whether it is a kind of objects, which can be listed.
    pub(crate) fn is_watched(self) -> bool {
        self != Self::Notice
    }
}

/// News of one of the watches, or of the operations.
#[derive(Debug)]
pub(crate) enum Change {
    Claim(Event<Claim>),
    Class(Event<Class>),
    Volume(Event<Volume>),
    Node(Event<Node>),
    CsiNode(Event<CsiNode>),
    Notice(Notice),
}

impl Change {
    /// What it is news of.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Claim(_) => Kind::Claim,
            Self::Class(_) => Kind::Class,
            Self::Volume(_) => Kind::Volume,
            Self::Node(_) => Kind::Node,
            Self::CsiNode(_) => Kind::CsiNode,
            Self::Notice(_) => Kind::Notice,
        }
    }

    /// Whether everything of its kind has been shown with it.
    pub(crate) fn completes_a_list(&self) -> bool {
        match self {
            Self::Claim(event) => matches!(event, Event::InitDone),
            Self::Class(event) => matches!(event, Event::InitDone),
            Self::Volume(event) => matches!(event, Event::InitDone),
            Self::Node(event) => matches!(event, Event::InitDone),
            Self::CsiNode(event) => matches!(event, Event::InitDone),
            Self::Notice(_) => false,
        }
    }
}

/// Everything that happens to objects of those of these kinds that can be watched. The stream never ends; after an error it goes on by itself, after a
/// pause that grows.
pub(crate) fn changes(
    client: &Client,
    kinds: impl IntoIterator<Item = Kind>,
) -> impl Stream<Item = Result<Change, watcher::Error>> + Send {
    let watch = |kind| match kind {
        Kind::Claim => Some(one(client, Change::Claim)),
        Kind::Class => Some(one(client, Change::Class)),
        Kind::Volume => Some(one(client, Change::Volume)),
        Kind::Node => Some(one(client, Change::Node)),
        Kind::CsiNode => Some(one(client, Change::CsiNode)),
        Kind::Notice => None,
    };
    select_all(kinds.into_iter().filter_map(watch).collect::<Vec<_>>())
}

fn one<K>(client: &Client, wrap: fn(Event<K>) -> Change) -> BoxStream<'static, Result<Change, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE).timeout(WATCH);
    watcher(Api::<K>::all(client.clone()), config).default_backoff().map_ok(wrap).boxed()
}
