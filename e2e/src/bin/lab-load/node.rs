//! Calls of the node plugin.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use csi_proto::csi::{
    NodeGetInfoRequest, NodePublishVolumeRequest, NodeUnpublishVolumeRequest, node_client::NodeClient,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::{Failure, capability, connect, in_parallel, numbered, pair, summary};

/// Volumes to publish; `{}` in ids, contexts and targets stands for the number.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Socket of the node plugin, as `unix:///path`.
    #[arg(long)]
    endpoint: String,
    /// Id of a volume.
    #[arg(long)]
    volume: String,
    /// An entry of a volume's context, as KEY=VALUE.
    #[arg(long = "context", value_parser = pair)]
    context: Vec<(String, String)>,
    /// Where to publish.
    #[arg(long)]
    target: PathBuf,
    /// How often.
    #[arg(long)]
    count: usize,
    /// Volumes that are published at once.
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// Leave the volumes published.
    #[arg(long)]
    keep: bool,
}

impl Publish {
    fn requests(&self) -> Result<Vec<(NodePublishVolumeRequest, NodeUnpublishVolumeRequest)>, Failure> {
        let target = self.target.to_str().ok_or("the target is not UTF-8")?;
        let request = |number: usize| {
            let (volume_id, target_path) = (numbered(&self.volume, number), numbered(target, number));
            let entries = self.context.iter().map(|(key, value)| (key.clone(), numbered(value, number)));
            let publish = NodePublishVolumeRequest {
                volume_id: volume_id.clone(),
                target_path: target_path.clone(),
                volume_capability: Some(capability()),
                volume_context: entries.collect(),
                ..NodePublishVolumeRequest::default()
            };
            (publish, NodeUnpublishVolumeRequest { volume_id, target_path })
        };
        Ok((0..self.count).map(request).collect())
    }

    /// Publishes each volume and, unless it is to stay, unpublishes it; times both together.
    pub(crate) async fn run(&self) -> Result<Value, Failure> {
        let client = NodeClient::new(connect(&self.endpoint).await?);
        let keep = self.keep;
        let (took, times) = in_parallel(self.requests()?, self.in_flight, |(publish, undo)| {
            let client = client.clone();
            async move { once(client, publish, (!keep).then_some(undo)).await }
        })
        .await?;
        let mut figures = summary(times);
        figures["seconds"] = json!(took.as_secs_f64());
        Ok(figures)
    }
}

async fn once(
    mut client: NodeClient<Channel>,
    publish: NodePublishVolumeRequest,
    undo: Option<NodeUnpublishVolumeRequest>,
) -> Result<Duration, Failure> {
    let begun = Instant::now();
    client.node_publish_volume(publish).await?;
    if let Some(undo) = undo {
        client.node_unpublish_volume(undo).await?;
    }
    Ok(begun.elapsed())
}

/// Two calls that do nothing, again and again.
pub(crate) async fn calls(endpoint: &str, count: usize) -> Result<Value, Failure> {
    let mut client = NodeClient::new(connect(endpoint).await?);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        client.node_get_info(NodeGetInfoRequest {}).await?;
        client.node_get_info(NodeGetInfoRequest {}).await?;
        times.push(begun.elapsed());
    }
    Ok(summary(times))
}
