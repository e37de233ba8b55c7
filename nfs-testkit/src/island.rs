//! Another node on this machine: a network namespace with an NFS client of its own, which reaches the server through a
//! valve that can be shut.
//!
//! The kernel keeps one NFS client a network namespace, and the server knows a client by its identifier, so two islands are
//! to each other, and to the server, what two machines are. Needs root, `ip`, and a kernel with an NFS client: a guest.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{Sender, channel},
    },
    thread,
};

use nfs_client::DEFAULT_PORT;
use rustix::{mount::MountFlags, thread::UnshareFlags};

/// Open or shut, for everything between an island and its server. Whatever is on its way when it is shut arrives when it is
/// opened again.
#[derive(Debug, Clone, Default)]
pub struct Valve(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_shut: Mutex<bool>,
    changed: Condvar,
}

impl Valve {
    /// Nothing passes from now on: the server is silent.
    pub fn shut(&self) {
        self.set(true);
    }

    /// Everything passes again.
    pub fn open(&self) {
        self.set(false);
    }

    fn set(&self, is_shut: bool) {
        *self.0.is_shut.lock().expect("no holder panics") = is_shut;
        self.0.changed.notify_all();
    }

    fn pass(&self) {
        let is_shut = self.0.is_shut.lock().expect("no holder panics");
        drop(self.0.changed.wait_while(is_shut, |is_shut| *is_shut).expect("no holder panics"));
    }
}

/// Moves the calling thread, and with it the threads that it starts from now on, to an island that sees the server at the port of
/// NFS of each of these addresses of its loopback, each through a valve of its own. Whatever cannot be done is a panic.
///
/// The island's NFS client needs a name before the first mount: see [`identifier`].
pub fn enter<const N: usize>(server: SocketAddr, seen_at: [Ipv4Addr; N]) -> [Valve; N] {
    let valves = seen_at.map(|_| Valve::default());
    // The other end of the relay stays where the server can be reached.
    let relays = valves.each_ref().map(|valve| relay(server, valve.clone()));
    #[expect(deprecated, reason = "its successor is unsafe because of UnshareFlags::FILES, which is not used here")]
    rustix::thread::unshare(UnshareFlags::NEWNET).expect("islands need root (CAP_SYS_ADMIN)");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.as_ref().is_ok_and(std::process::ExitStatus::success), "ip link set lo up: {up:?}");
    for (address, connections) in seen_at.into_iter().zip(relays) {
        let listener = TcpListener::bind((address, DEFAULT_PORT)).expect("a port of a new namespace");
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if connections.send(stream).is_err() {
                    return;
                }
            }
        });
    }
    valves
}

/// The file with the name of the NFS client of the calling thread's network namespace, below a directory that is made for it. Under a
/// common name the server would take each island for a reboot of the other.
pub fn identifier(at: &Path) -> PathBuf {
    fs::create_dir(at).expect("a directory for the namespace's own /sys");
    rustix::mount::mount("sysfs", at, "sysfs", MountFlags::empty(), None).expect("the namespace's own /sys");
    at.join("fs/nfs/net/nfs_client/identifier")
}

/// Connects to the server for each connection that comes, from the namespace in which it was called.
fn relay(server: SocketAddr, valve: Valve) -> Sender<TcpStream> {
    let (sender, connections) = channel::<TcpStream>();
    thread::spawn(move || {
        for inside in connections {
            // A server that is down refuses the island as it would a node.
            let Ok(outside) = TcpStream::connect(server) else { continue };
            for (from, to) in [(&inside, &outside), (&outside, &inside)] {
                let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                let valve = valve.clone();
                thread::spawn(move || pump(from, to, &valve));
            }
        }
    });
    sender
}

fn pump(mut from: TcpStream, mut to: TcpStream, valve: &Valve) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        valve.pass();
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _either_way = to.shutdown(Shutdown::Both);
}
