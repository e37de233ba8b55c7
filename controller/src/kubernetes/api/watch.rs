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

/// Objects in one answer of a list: small, because an answer is in memory as a whole.
const PAGE: u32 = 250;

/// Seconds after which the server ends a watch, and five more after which we do when nothing came: a server that hangs
/// keeps its connections, so nothing else would tell it from one without news.
const WATCH: u32 = 150;

/// A kind of objects that can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Claim,
    Class,
    Volume,
    Node,
    CsiNode,
}

/// News of one of the watches.
#[derive(Debug)]
pub(crate) enum Change {
    Claim(Event<Claim>),
    Class(Event<Class>),
    Volume(Event<Volume>),
    Node(Event<Node>),
    CsiNode(Event<CsiNode>),
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
        }
    }
}

/// Everything that happens to objects of these kinds. The stream never ends; after an error it goes on by itself, after a
/// pause that grows.
pub(crate) fn changes(
    client: &Client,
    kinds: impl IntoIterator<Item = Kind>,
) -> impl Stream<Item = Result<Change, watcher::Error>> + Send {
    let watch = |kind| match kind {
        Kind::Claim => one(client, Change::Claim),
        Kind::Class => one(client, Change::Class),
        Kind::Volume => one(client, Change::Volume),
        Kind::Node => one(client, Change::Node),
        Kind::CsiNode => one(client, Change::CsiNode),
    };
    select_all(kinds.into_iter().map(watch).collect::<Vec<_>>())
}

fn one<K>(client: &Client, wrap: fn(Event<K>) -> Change) -> BoxStream<'static, Result<Change, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE).timeout(WATCH);
    watcher(Api::<K>::all(client.clone()), config).default_backoff().map_ok(wrap).boxed()
}
