//! Puts load on a CSI socket, or on the kernel in its place, and prints how long each call took as one JSON object.
//!
//! The benchmarks copy this program into a guest: it is linked statically and needs nothing there.

mod data;
mod node;

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use csi_proto::csi::{
    CapacityRange, CreateVolumeRequest, DeleteVolumeRequest, VolumeCapability, controller_client::ControllerClient,
    volume_capability,
};
use rustix::{
    fs::CWD,
    mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, move_mount, open_tree, unmount},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about = "Puts load on a CSI socket or on the kernel and prints how long each call took")]
struct Args {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Create volumes, many at a time; with --delete, delete them again.
    Create {
        /// Socket of the controller, as `unix:///path`.
        #[arg(long)]
        endpoint: String,
        /// Volumes to create.
        #[arg(long)]
        count: usize,
        /// Calls in flight.
        #[arg(long, default_value_t = 32)]
        in_flight: usize,
        /// Beginning of every volume's name.
        #[arg(long)]
        prefix: String,
        /// A parameter of the class, as KEY=VALUE.
        #[arg(long = "parameter", value_parser = pair)]
        parameters: Vec<(String, String)>,
        /// Delete every volume afterwards.
        #[arg(long)]
        delete: bool,
    },
    /// Publish and unpublish volumes.
    Publish(node::Publish),
    /// Two calls that do nothing, again and again: what publish and unpublish pay for being calls.
    Calls {
        /// Socket of the node plugin, as `unix:///path`.
        #[arg(long)]
        endpoint: String,
        /// How often.
        #[arg(long)]
        count: usize,
    },
    /// mount(2) and umount2(2) a directory of a share again and again.
    Mount {
        /// What to mount, as `HOST:/PATH`.
        #[arg(long)]
        source: String,
        /// Options for the kernel.
        #[arg(long)]
        options: String,
        /// Where to mount.
        #[arg(long)]
        target: PathBuf,
        /// How often.
        #[arg(long)]
        count: usize,
        /// By the programs mount and umount of the machine instead, as people and other drivers do.
        #[arg(long)]
        programs: bool,
    },
    /// Clone, attach and detach directories of a mount; `{}` in the source stands for the number.
    Clone {
        /// A directory inside a mount.
        #[arg(long)]
        source: String,
        /// Where to attach it.
        #[arg(long)]
        target: PathBuf,
        /// How often.
        #[arg(long)]
        count: usize,
        /// Make a directory below the target for each, and remove it.
        #[arg(long)]
        fresh_target: bool,
    },
    /// Work with one large and many small files in an empty directory.
    Data {
        /// The directory.
        #[arg(long)]
        directory: PathBuf,
        /// Size of the large file, in MiB.
        #[arg(long)]
        mebibytes: usize,
        /// How many small files.
        #[arg(long)]
        files: usize,
    },
    /// Let one writer work in each directory, all at once.
    Race {
        /// How long, in seconds.
        #[arg(long)]
        seconds: u64,
        /// The directories.
        directories: Vec<PathBuf>,
    },
}

// One thread: with more, a call would also measure how the caller wakes itself.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let figures = match Args::parse().work {
        Work::Create { endpoint, count, in_flight, prefix, parameters, delete } => {
            create(&endpoint, count, in_flight, &prefix, parameters.into_iter().collect(), delete).await?
        }
        Work::Publish(publish) => publish.run().await?,
        Work::Calls { endpoint, count } => node::calls(&endpoint, count).await?,
        Work::Data { directory, mebibytes, files } => data::work(&directory, mebibytes, files)?,
        Work::Race { seconds, directories } => data::race(&directories, Duration::from_secs(seconds))?,
        Work::Mount { source, options, target, count, programs: true } => {
            fs::create_dir_all(&target)?;
            repeat(count, |_| {
                run(Command::new("mount").args(["-t", "nfs4", "-o", &options, &source]).arg(&target))?;
                run(Command::new("umount").arg(&target))
            })?
        }
        Work::Mount { source, options, target, count, programs: false } => {
            fs::create_dir_all(&target)?;
            let options = CString::new(options)?;
            repeat(count, |_| {
                mount(source.as_str(), &target, "nfs4", MountFlags::empty(), options.as_c_str())?;
                Ok(unmount(&target, UnmountFlags::empty())?)
            })?
        }
        Work::Clone { source, target, count, fresh_target } => {
            fs::create_dir_all(&target)?;
            let target = if fresh_target { target.join("fresh") } else { target };
            repeat(count, |number| {
                let source = numbered(&source, number);
                if fresh_target {
                    fs::create_dir(&target)?;
                }
                let tree = open_tree(CWD, &source, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
                move_mount(&tree, "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
                // An open descriptor keeps the mount busy.
                drop(tree);
                unmount(&target, UnmountFlags::empty())?;
                if fresh_target {
                    fs::remove_dir(&target)?;
                }
                Ok(())
            })?
        }
    };
    println!("{figures}");
    Ok(())
}

async fn create(
    endpoint: &str,
    count: usize,
    in_flight: usize,
    prefix: &str,
    parameters: BTreeMap<String, String>,
    delete: bool,
) -> Result<Value, Failure> {
    let client = ControllerClient::new(connect(endpoint).await?);
    let names = (0..count).map(|number| format!("{prefix}-{number:06}"));
    let requests: Vec<CreateVolumeRequest> = names
        .map(|name| CreateVolumeRequest {
            name,
            capacity_range: Some(CapacityRange { required_bytes: 1 << 30, limit_bytes: 0 }),
            volume_capabilities: vec![capability()],
            parameters: parameters.clone(),
            ..CreateVolumeRequest::default()
        })
        .collect();
    let (took, ids) = in_parallel(requests, in_flight, |request| {
        let mut client = client.clone();
        async move {
            let volume = client.create_volume(request).await?.into_inner().volume.ok_or("a reply without volume")?;
            Ok(volume.volume_id)
        }
    })
    .await?;
    let mut figures = json!({ "count": ids.len(), "seconds": took.as_secs_f64() });
    if delete {
        let (took, _) = in_parallel(ids, in_flight, |volume_id| {
            let mut client = client.clone();
            let request = DeleteVolumeRequest { volume_id, ..DeleteVolumeRequest::default() };
            async move { Ok(client.delete_volume(request).await.map(drop)?) }
        })
        .await?;
        figures["delete_seconds"] = json!(took.as_secs_f64());
    }
    Ok(figures)
}

/// Runs `call` on every input with at most `in_flight` at a time; the first failure ends it.
async fn in_parallel<I, O, F>(
    inputs: Vec<I>,
    in_flight: usize,
    call: impl Fn(I) -> F,
) -> Result<(Duration, Vec<O>), Failure>
where
    F: Future<Output = Result<O, Failure>> + Send + 'static,
    O: Send + 'static,
{
    let begun = Instant::now();
    let (mut tasks, mut results) = (JoinSet::new(), Vec::with_capacity(inputs.len()));
    for input in inputs {
        if tasks.len() >= in_flight
            && let Some(done) = tasks.join_next().await
        {
            results.push(done??);
        }
        tasks.spawn(call(input));
    }
    while let Some(done) = tasks.join_next().await {
        results.push(done??);
    }
    Ok((begun.elapsed(), results))
}

fn numbered(text: &str, number: usize) -> String {
    text.replace("{}", &number.to_string())
}

/// Runs a program that has to succeed.
fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn repeat(count: usize, mut work: impl FnMut(usize) -> Result<(), Failure>) -> Result<Value, Failure> {
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let begun = Instant::now();
        work(number)?;
        times.push(begun.elapsed());
    }
    Ok(summary(times))
}

fn summary(mut times: Vec<Duration>) -> Value {
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    json!({ "count": times.len(), "median_us": at(50), "p99_us": at(99) })
}

async fn connect(endpoint: &str) -> Result<Channel, Failure> {
    Ok(Endpoint::from_shared(endpoint.to_owned())?.connect().await?)
}

fn capability() -> VolumeCapability {
    let mode = volume_capability::access_mode::Mode::MultiNodeMultiWriter;
    VolumeCapability {
        access_mode: Some(volume_capability::AccessMode { mode: mode.into() }),
        access_type: Some(volume_capability::AccessType::Mount(volume_capability::MountVolume::default())),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}
