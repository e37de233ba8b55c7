//! The three watches, as one stream of changes.

use std::fmt::Debug;

use futures::stream::{BoxStream, select_all};
use futures::{Stream, StreamExt, TryStreamExt};
use kube::api::Resource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;

use super::objects::{Claim, Class, Volume};

/// Objects in one answer of a list: small, because an answer is in memory as a whole.
const PAGE: u32 = 250;

/// Seconds after which the server ends a watch, and five more after which we do when nothing came: a server that hangs
/// keeps its connections, so nothing else would tell it from one without news.
const WATCH: u32 = 150;

/// News of one of the watches.
#[derive(Debug)]
pub(crate) enum Change {
    Claim(Event<Claim>),
    Class(Event<Class>),
    Volume(Event<Volume>),
}

/// Everything that happens to claims, classes and volumes. The stream never ends; after an error it goes on by itself,
/// after a pause that grows.
pub(crate) fn changes(client: &Client) -> impl Stream<Item = Result<Change, watcher::Error>> + Send + use<> {
    select_all([one(client, Change::Claim), one(client, Change::Class), one(client, Change::Volume)])
}

fn one<K>(client: &Client, wrap: fn(Event<K>) -> Change) -> BoxStream<'static, Result<Change, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE).timeout(WATCH);
    watcher(Api::<K>::all(client.clone()), config).default_backoff().map_ok(wrap).boxed()
}
