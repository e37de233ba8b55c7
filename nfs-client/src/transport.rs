//! One connection with many calls in flight: a writer task, a reader task, and a table of who waits for which xid.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use onc_rpc::{Records, message, record};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{connector::Stream, random};

/// Longest record that is accepted, in bytes: what sessions allow for a reply, and room for the RPC header.
pub(crate) const MAX_RECORD: usize = 68 * 1024;
/// Requests are joined into one write up to this many bytes.
const MAX_WRITE: usize = 256 * 1024;
/// Replies are read in pieces of at most this many bytes: most come whole, and several at a time.
const MAX_READ: usize = 16 * 1024;
/// How long a failed writer leaves it to the reader to find out why.
const READ_FIRST: Duration = Duration::from_millis(100);

/// Who or what ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// The server or the network.
    Peer,
    /// What came could not be a reply: the peer speaks another protocol, or the stream is out of step.
    Nonsense,
    /// This client, for want of an answer or because it has no more use for it.
    Us,
}

/// Why a connection is gone.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) reason: Arc<str>,
    pub(crate) by: EndedBy,
    /// The call may have reached the server.
    pub(crate) sent: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

#[derive(Debug, Default)]
struct Waiting {
    calls: HashMap<u32, oneshot::Sender<Vec<u8>>>,
    lost: Option<Lost>,
}

/// A connection. Its tasks end, and its stream closes, when it is dropped or closed.
#[derive(Debug)]
pub(crate) struct Connection {
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    shared: Arc<Shared>,
    next_xid: AtomicU32,
    tasks: [AbortHandle; 2],
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Whether a well-formed reply has come yet.
    answered: AtomicBool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first reason stays. Everybody who waits is woken by the drop of their sender.
    fn lose(&self, reason: impl Into<Arc<str>>, by: EndedBy) {
        let mut waiting = self.waiting();
        waiting.lost.get_or_insert(Lost { reason: reason.into(), by, sent: true });
        waiting.calls.clear();
    }
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        let (read, write) = split(stream);
        let (outgoing, requests) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        let writer = tokio::spawn(write_requests(write, requests, shared.clone()));
        let reader = tokio::spawn(read_replies(read, shared.clone()));
        Self {
            outgoing,
            shared,
            // Random, so that a server which remembers an earlier connection's xids meets new ones.
            next_xid: AtomicU32::new(u32::try_from(random::below(u64::from(u32::MAX))).unwrap_or(0)),
            tasks: [writer.abort_handle(), reader.abort_handle()],
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.shared.waiting().lost.is_none()
    }

    /// Whether a well-formed RPC reply has ever come.
    pub(crate) fn has_answered(&self) -> bool {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Closes the stream; every call that waits fails with this reason.
    pub(crate) fn close(&self, reason: impl Into<Arc<str>>) {
        self.shared.lose(reason, EndedBy::Us);
        for task in &self.tasks {
            task.abort();
        }
    }

    /// Sends what `build` makes for an xid and waits for the reply, from behind its message type on. Without a reply in time
    /// the connection is closed: what was sent may still be executed, and only a new connection (RFC 8881 §2.9.2)
    /// allows to ask again.
    pub(crate) async fn call(&self, build: impl FnOnce(u32) -> Vec<u8>, limit: Duration) -> Result<Vec<u8>, Lost> {
        let xid = self.next_xid.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.shared.waiting();
            if let Some(lost) = &waiting.lost {
                return Err(Lost { sent: false, ..lost.clone() });
            }
            waiting.calls.insert(xid, sender);
        }
        // A send fails only when the writer is gone, which has set the reason then.
        let _ = self.outgoing.send(build(xid));
        match timeout(limit, receiver).await {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(_closed)) => {}
            Err(_elapsed) => self.close(format!("no reply within {limit:?}")),
        }
        let lost = self.shared.waiting().lost.clone();
        Err(lost.unwrap_or_else(|| Lost { reason: "the connection was closed".into(), by: EndedBy::Us, sent: true }))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close("the client was closed");
    }
}

async fn write_requests(
    mut stream: WriteHalf<Box<dyn Stream>>,
    mut requests: mpsc::UnboundedReceiver<Vec<u8>>,
    shared: Arc<Shared>,
) {
    let mut batch = Vec::new();
    while let Some(request) = requests.recv().await {
        batch.clear();
        record::frame(&request, &mut batch);
        while batch.len() < MAX_WRITE {
            let Ok(request) = requests.try_recv() else { break };
            record::frame(&request, &mut batch);
        }
        if let Err(error) = write(&mut stream, &batch).await {
            // What the server said before it closed the connection is the better reason: the reader comes first.
            sleep(READ_FIRST).await;
            shared.lose(format!("the connection failed: {error}"), EndedBy::Peer);
            return;
        }
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn read_replies(mut stream: ReadHalf<Box<dyn Stream>>, shared: Arc<Shared>) {
    let mut records = Records::new(MAX_RECORD);
    let mut piece = vec![0; MAX_READ];
    loop {
        let mut bytes = match stream.read(&mut piece).await {
            Ok(0) if records.is_between() => return shared.lose("the server closed the connection", EndedBy::Peer),
            Ok(0) => return shared.lose("the connection ended inside a reply", EndedBy::Peer),
            Ok(count) => &piece[..count],
            Err(error) => return shared.lose(format!("the connection failed: {error}"), EndedBy::Peer),
        };
        loop {
            match records.take(&mut bytes) {
                Ok(Some(record)) if deliver(&record, &shared) => {}
                Ok(Some(record)) => {
                    return shared
                        .lose(format!("{} bytes came that are no RPC reply", record.len()), EndedBy::Nonsense);
                }
                Ok(None) => break,
                Err(error) => return shared.lose(error.to_string(), EndedBy::Nonsense),
            }
        }
    }
}

/// Hands a reply to who waits for it; says whether it is a reply at all.
fn deliver(record: &[u8], shared: &Shared) -> bool {
    let Some((xid, reply)) = message::split_reply(record) else { return false };
    shared.answered.store(true, Ordering::Relaxed);
    let waiting = shared.waiting().calls.remove(&xid);
    if waiting.is_none_or(|waiting| waiting.send(reply.to_vec()).is_err()) {
        tracing::debug!(xid, "a reply came that nobody waits for");
    }
    true
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn request(xid: u32) -> Vec<u8> {
        xid.to_be_bytes().to_vec()
    }

    fn reply(xid: [u8; 4], text: &[u8]) -> Vec<u8> {
        // An xid and REPLY.
        let reply = [&xid[..], &[0, 0, 0, 1], text].concat();
        let mut bytes = Vec::new();
        record::frame(&reply, &mut bytes);
        bytes
    }

    #[tokio::test]
    async fn replies_find_their_calls_in_any_order() {
        let (near, mut far) = duplex(1024);
        let connection = Connection::new(Box::new(near));
        let serve = async {
            let mut calls = [0; 16];
            far.read_exact(&mut calls).await.unwrap();
            let (first, second) = (calls[4..8].try_into().unwrap(), calls[12..16].try_into().unwrap());
            far.write_all(&reply(second, b"second")).await.unwrap();
            far.write_all(&reply(first, b"first")).await.unwrap();
        };
        let (first, second, ()) = tokio::join!(connection.call(request, SOON), connection.call(request, SOON), serve);
        assert!(first.unwrap().ends_with(b"first"));
        assert!(second.unwrap().ends_with(b"second"));
    }

    #[tokio::test]
    async fn a_truncated_reply_fails_every_call_and_the_connection() {
        let (near, mut far) = duplex(1024);
        let connection = Connection::new(Box::new(near));
        let serve = async {
            far.write_all(&[0x80, 0, 0, 40, 1, 2, 3]).await.unwrap();
            drop(far);
        };
        let (first, second, ()) = tokio::join!(connection.call(request, SOON), connection.call(request, SOON), serve);
        assert!(first.unwrap_err().to_string().contains("inside a reply"));
        assert_eq!(second.unwrap_err().by, EndedBy::Peer);
        assert!(!connection.is_alive());
        assert!(!connection.call(request, SOON).await.unwrap_err().sent, "a dead connection takes no more calls");
    }

    #[tokio::test]
    async fn bytes_of_another_protocol_are_told_from_an_outage() {
        let (near, mut far) = duplex(1024);
        let connection = Connection::new(Box::new(near));
        far.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").await.unwrap();
        assert_eq!(connection.call(request, SOON).await.unwrap_err().by, EndedBy::Nonsense);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_closes_the_connection_after_the_limit() {
        let (near, _far) = duplex(1024);
        let connection = Connection::new(Box::new(near));
        let lost = connection.call(request, Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(lost.to_string(), "no reply within 3s");
        assert_eq!(lost.by, EndedBy::Us);
        assert!(!connection.is_alive());
    }
}
