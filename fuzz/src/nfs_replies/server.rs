//! A server in memory that says what it is told to say, and is honest otherwise: it grants a session, confirms every
//! SEQUENCE, and succeeds at operations without results.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use nfs_client::{Connected, Connecting, Connector, OpCode, Target};
use onc_rpc::{Call, DecodeError, Reader, Records, Writer, record};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::script::{Answer, Script};

const LONGEST_REQUEST: usize = 1 << 20;
const PIPE: usize = 256 * 1024;
const SESSION: [u8; 16] = *b"the only session";
/// `bitmap4` and values: the lease alone, an hour, so that no renewal comes between.
const LEASE: [u32; 4] = [1, 1 << 10, 4, 3600];
/// Requests of one client after which its calls go on without reason: a call that is asked to wait makes some dozens.
const MOST_REQUESTS: u32 = 1000;

/// The server; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Server {
    script: Arc<Mutex<Script>>,
    requests: Arc<AtomicU32>,
}

/// What is known of a request: its header, the first operation, and how many there are.
struct Request {
    call: Call,
    operations: u32,
    first: Option<OpCode>,
    /// Session, sequence number and slot of a SEQUENCE.
    sequence: Writer,
    second: Option<OpCode>,
    third: Option<OpCode>,
}

impl Connector for Server {
    fn connect<'a>(&'a self, _: &'a Target) -> Connecting<'a> {
        let (near, far) = duplex(PIPE);
        tokio::spawn(self.clone().serve(far));
        Box::pin(async { Ok(Connected { stream: Box::new(near), source_port: None }) })
    }
}

impl Server {
    pub(super) fn new(script: Script) -> Self {
        Self { script: Arc::new(Mutex::new(script)), requests: Arc::default() }
    }

    pub(super) fn forget_script(&self) {
        self.script().forget();
        self.requests.store(0, Ordering::Relaxed);
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, mut stream: DuplexStream) {
        let (mut records, mut piece) = (Records::new(LONGEST_REQUEST), vec![0; 16 * 1024]);
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            let mut bytes = &piece[..count];
            while let Some(record) = records.take(&mut bytes).expect("the client frames its requests") {
                let sent = self.requests.fetch_add(1, Ordering::Relaxed);
                assert!(sent < MOST_REQUESTS, "the client sends request after request");
                let request = Request::read(&record).expect("the client sends compounds");
                let (bytes, ends) = request.answer(self.script().next(request.is_setup()));
                // The client may have gone.
                if stream.write_all(&bytes).await.is_err() || ends {
                    return;
                }
            }
        }
    }
}

impl Request {
    fn read(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        let call = Call::decode(&mut reader)?;
        reader.opaque("tag", 1024)?;
        reader.u32()?; // minor version
        let operations = reader.u32()?;
        let first = OpCode::from_u32(reader.u32()?);
        let (mut sequence, mut second, mut third) = (Writer::new(), None, None);
        if first == Some(OpCode::Sequence) {
            sequence.fixed(&reader.array::<16>()?);
            sequence.u32(reader.u32()?);
            sequence.u32(reader.u32()?);
            reader.array::<8>()?; // highest slot, and whether to cache
            // Behind an operation without arguments the next one can be seen.
            second = reader.u32().ok().and_then(OpCode::from_u32);
            third = reader.u32().ok().and_then(OpCode::from_u32);
        }
        Ok(Self { call, operations, first, sequence, second, third })
    }

    /// Whether it is one of those by which a session is made or ended.
    fn is_setup(&self) -> bool {
        self.first != Some(OpCode::Sequence) || self.is_first_of_session()
    }

    fn is_first_of_session(&self) -> bool {
        (self.second, self.third) == (Some(OpCode::PutRootFh), Some(OpCode::GetAttr))
    }

    /// Bytes to send, and whether the connection ends then.
    fn answer(&self, answer: Answer) -> (Vec<u8>, bool) {
        let reply = match answer {
            Answer::Honest => self.compound(&self.results()),
            Answer::Results(bytes) => self.compound(&bytes),
            Answer::Compound(bytes) => self.accepted(&bytes),
            Answer::Reply(bytes) => [&self.call.xid.to_be_bytes(), &[0, 0, 0, 1], &bytes[..]].concat(),
            Answer::Record(bytes) => bytes,
            Answer::Bytes(bytes) => return (bytes, false),
            Answer::Silence => return (Vec::new(), false),
            Answer::End(bytes) => return (bytes, true),
        };
        let mut framed = Vec::new();
        record::frame(&reply, &mut framed);
        (framed, false)
    }

    fn accepted(&self, body: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new();
        self.call.accept(&mut writer);
        writer.append(body);
        writer.into_vec()
    }

    /// A compound whose operations have all been executed; `results` are those behind the SEQUENCE, if there is one.
    fn compound(&self, results: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u32(0); // status
        writer.opaque(b""); // tag
        writer.u32(self.operations);
        if self.first == Some(OpCode::Sequence) {
            writer.u32(OpCode::Sequence.to_u32());
            writer.u32(0); // status
            writer.append(self.sequence.as_slice());
            for word in [63, 63, 0] {
                writer.u32(word); // slots kept and wanted, and no flag
            }
        }
        writer.append(results);
        self.accepted(writer.as_slice())
    }

    /// Honest results. Of operations in a session only those are known that make it; the others are told "no such entry".
    fn results(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let mut words = |words: &[u32]| words.iter().for_each(|word| writer.u32(*word));
        match self.first {
            Some(OpCode::Sequence) if self.is_first_of_session() => {
                words(&[OpCode::PutRootFh.to_u32(), 0, OpCode::GetAttr.to_u32(), 0]);
                words(&LEASE);
                words(&[OpCode::ReclaimComplete.to_u32(), 0]);
            }
            Some(OpCode::Sequence) => words(&[self.second.map_or(0, OpCode::to_u32), 2]),
            Some(OpCode::ExchangeId) => words(&[OpCode::ExchangeId.to_u32(), 0, 0, 7, 1, 0]),
            Some(OpCode::CreateSession) => {
                words(&[OpCode::CreateSession.to_u32(), 0]);
                writer.fixed(&SESSION);
                let mut words = |words: &[u32]| words.iter().for_each(|word| writer.u32(*word));
                words(&[1, 0, 0, 65536, 65536, 4096, 64, 64, 0]);
            }
            other => words(&[other.map_or(0, OpCode::to_u32), 0, 0, 0, 0, 0]),
        }
        writer.into_vec()
    }
}
