//! Connections: reading requests, letting faults happen, writing replies.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use nfs_client::{ConnectError, Connected, Connecting, Connector, OpCode, Target, protocol::SessionId};
use onc_rpc::{AuthStatus, Call, DecodeError, Reader, Records, Refusal, Writer, record};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    net::TcpListener,
    sync::{mpsc, watch},
    time::sleep,
};

use super::{
    FakeServer, Shared,
    arguments::{self, decode_compound},
    compound::Raw,
    fault::Effect,
    results::misattribute,
};

const MAX_REQUEST: usize = 1 << 20;
const MAX_READ: usize = 64 * 1024;
const NFS: u32 = 100_003;
const VERSION: u32 = 4;
const NULL: u32 = 0;
const COMPOUND: u32 = 1;
const PIPE: usize = 256 * 1024;
const FIRST_UNRESERVED: u16 = 1024;

/// Connects clients to a [`FakeServer`] through memory.
#[derive(Clone)]
pub struct FakeConnector {
    shared: Arc<Shared>,
}

impl Connector for FakeConnector {
    fn connect<'a>(&'a self, target: &'a Target) -> Connecting<'a> {
        Box::pin(async move {
            if !self.shared.state().reachable {
                return Err(ConnectError {
                    address: target.host.clone(),
                    detail: "no connection".into(),
                    source: Some(io::ErrorKind::ConnectionRefused.into()),
                });
            }
            let (near, far) = duplex(PIPE);
            tokio::spawn(serve(self.shared.clone(), self.shared.epoch.subscribe(), far, false));
            Ok(Connected { stream: Box::new(near), source_port: None })
        })
    }
}

impl FakeServer {
    /// A connector to this server, in memory.
    pub fn connector(&self) -> FakeConnector {
        FakeConnector { shared: self.shared.clone() }
    }

    /// Listens on a free TCP port of 127.0.0.1 for as long as the runtime lives.
    pub async fn listen(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = self.shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let (reachable, needs_reserved) = {
                    let state = shared.state();
                    (state.reachable, state.options.needs_reserved_port)
                };
                if reachable {
                    let denied = needs_reserved && peer.port() >= FIRST_UNRESERVED;
                    tokio::spawn(serve(shared.clone(), shared.epoch.subscribe(), stream, denied));
                }
            }
        });
        Ok(address)
    }
}

/// What happens to the connection after a request.
enum Then {
    Reply(Vec<u8>),
    ReplyLater(Vec<u8>, Duration),
    Nothing,
    /// These bytes go out as they are, then the connection drops.
    Drop(Vec<u8>),
}

async fn serve(
    shared: Arc<Shared>,
    mut epoch: watch::Receiver<u64>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    denied: bool,
) {
    {
        let mut state = shared.state();
        state.connections += 1;
        if state.to_hang_up > 0 {
            state.to_hang_up -= 1;
            return;
        }
    }
    let mut silent = shared.silent.subscribe();
    let (mut read, mut write) = tokio::io::split(stream);
    let (replies, mut outgoing) = mpsc::unbounded_channel::<Vec<u8>>();
    let mut bound = Vec::new();
    let reading = async {
        let (mut records, mut piece) = (Records::new(MAX_REQUEST), vec![0; MAX_READ]);
        while let Ok(count @ 1..) = read.read(&mut piece).await {
            let mut bytes = &piece[..count];
            while let Ok(Some(record)) = records.take(&mut bytes) {
                // It ends only with the server itself, which this task keeps.
                let _goes_on = silent.wait_for(|silent| !silent).await;
                let Ok(then) = handle(&shared, &record, denied, &mut bound) else { return Vec::new() };
                match then {
                    Then::Reply(reply) => drop(replies.send(framed(&reply))),
                    Then::ReplyLater(reply, pause) => {
                        let replies = replies.clone();
                        tokio::spawn(async move {
                            sleep(pause).await;
                            drop(replies.send(framed(&reply)));
                        });
                    }
                    Then::Nothing => {}
                    Then::Drop(last) => return last,
                }
            }
        }
        Vec::new()
    };
    let writing = async {
        while let Some(bytes) = outgoing.recv().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let last = tokio::select! {
        last = reading => last,
        () = writing => Vec::new(),
        _ = epoch.changed() => Vec::new(),
    };
    // Replies that were ready before the end still go out, then the last words.
    while let Ok(bytes) = outgoing.try_recv() {
        let _ = write.write_all(&bytes).await;
    }
    let _ = write.write_all(&last).await;
    let _ = write.shutdown().await;
}

fn framed(record: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    record::frame(record, &mut bytes);
    bytes
}

fn handle(shared: &Arc<Shared>, record: &[u8], denied: bool, bound: &mut Vec<SessionId>) -> Result<Then, DecodeError> {
    let mut reader = Reader::new(record);
    let (call, caller) = Call::decode_with_caller(&mut reader)?;
    let refused = |refusal| {
        let mut reply = Writer::new();
        call.refuse(refusal, &mut reply);
        Ok(Then::Reply(reply.into_vec()))
    };
    match (call.to.program, call.to.version, call.to.procedure) {
        (NFS, VERSION, COMPOUND) => {}
        (NFS, VERSION, NULL) => return Ok(Then::Reply(accepted(call, &[]))),
        (NFS, VERSION, _) => return refused(Refusal::ProcedureUnavailable),
        (NFS, ..) => return refused(Refusal::ProgramMismatch { low: VERSION, high: VERSION }),
        _ => return refused(Refusal::ProgramUnavailable),
    }
    let bytes = &record[record.len() - reader.left()..];
    let raw = Raw { bytes, size: record.len(), caller: caller.as_ref() };
    let calls = decode_compound(&mut reader)?;
    let codes: Vec<OpCode> = calls.iter().map(arguments::Call::code).collect();
    let fault = shared.state().faults.next(&codes);
    let effect = fault.as_ref().map(|(_, effect)| effect);
    match effect {
        Some(Effect::DropBeforeExecution) => return Ok(Then::Drop(Vec::new())),
        Some(Effect::RestartBeforeExecution) => {
            shared.restart();
            return Ok(Then::Drop(Vec::new()));
        }
        Some(Effect::UnplugBeforeExecution) => {
            shared.set_reachable(false);
            return Ok(Then::Drop(Vec::new()));
        }
        Some(Effect::Ignored) => return Ok(Then::Nothing),
        Some(Effect::Denied) => return refused(Refusal::Denied(AuthStatus::TOO_WEAK)),
        _ if denied => return refused(Refusal::Denied(AuthStatus::TOO_WEAK)),
        _ => {}
    }
    let results = shared.state().execute(&calls, raw, fault.as_ref(), bound);
    Ok(answer(shared, call, results, effect))
}

/// What becomes of the results of a request that was executed.
fn answer(shared: &Shared, call: Call, mut results: Vec<u8>, effect: Option<&Effect>) -> Then {
    let reply = accepted(call, &results);
    match effect {
        Some(Effect::DropAfterExecution) => Then::Drop(Vec::new()),
        Some(Effect::RestartAfterExecution) => {
            shared.restart();
            Then::Drop(Vec::new())
        }
        Some(Effect::UnplugAfterExecution) => {
            shared.set_reachable(false);
            Then::Drop(Vec::new())
        }
        Some(Effect::Delay(pause)) => Then::ReplyLater(reply, *pause),
        Some(Effect::NoReply) => Then::Nothing,
        Some(Effect::TruncatedReply) => {
            let mut bytes = framed(&reply);
            bytes.truncate(bytes.len() / 2);
            Then::Drop(bytes)
        }
        Some(Effect::GarbageReply) => {
            let mut bytes = accepted(call, &[]);
            bytes.extend([0xa5; 64]);
            Then::Reply(bytes)
        }
        Some(Effect::OversizedReply) => Then::Drop(vec![0xff; 16]),
        Some(Effect::ReplyOfAnother(another)) => {
            misattribute(&mut results, *another);
            Then::Reply(accepted(call, &results))
        }
        _ => Then::Reply(reply),
    }
}

fn accepted(call: Call, results: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    call.accept(&mut writer);
    writer.append(results);
    writer.into_vec()
}
