//! The host's side of the talk with the agent.

use std::{
    fs::File,
    io::{self, Read},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::{
    Exec, Guest, Stream,
    exec::Input,
    wire::{Kind, receive, send},
};
use crate::base::LabError;

/// How long the agent has to welcome a connection. An agent that runs answers in milliseconds; a guest that is still
/// booting never does.
const WELCOME: Duration = Duration::from_secs(2);

/// How long a guest that runs but does not welcome anybody is tried. A machine that emulates three of them while it
/// compiles can starve one for seconds.
const PATIENCE: Duration = Duration::from_secs(20);

enum End {
    Status(i32),
    Failure(String),
    Timeout,
}

impl Guest {
    /// Runs a command to its end, handing over what it prints as it comes, and returns its exit status.
    pub fn exec_streaming(&self, command: &Exec, sink: impl FnMut(Stream, &[u8])) -> Result<i32, LabError> {
        let talk = || -> io::Result<End> {
            let mut stream = self.reach(PATIENCE.min(command.timeout))?;
            request(&mut stream, command)?;
            converse(&stream, command, sink)
        };
        match talk() {
            Ok(End::Status(status)) => Ok(status),
            Ok(End::Failure(why)) => {
                Err(LabError::Start { program: self.line(command), source: io::Error::other(why) })
            }
            Ok(End::Timeout) => Err(LabError::Timeout {
                what: format!("the end of {}", self.line(command)),
                seconds: command.timeout.as_secs(),
                last: String::new(),
            }),
            Err(source) if !self.alive() => {
                Err(self.lost(&format!("it is off while {} should run: {source}", self.line(command))))
            }
            Err(source) => Err(LabError::Agent { guest: self.name().to_owned(), address: self.agent(), source }),
        }
    }

    /// A command as a person would type it, and where.
    pub(super) fn line(&self, command: &Exec) -> String {
        let line = command.words.join(" ");
        format!("`{}` in guest {}", line.lines().next().unwrap_or_default(), self.name())
    }

    /// Connects, again and again while the guest is alive: nothing has been asked of it yet, so nothing can happen twice.
    fn reach(&self, patience: Duration) -> io::Result<TcpStream> {
        let end = Instant::now() + patience;
        loop {
            match self.connect() {
                Err(_) if self.alive() && Instant::now() < end => thread::sleep(Duration::from_millis(50)),
                done => return done,
            }
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&self.agent(), WELCOME)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WELCOME))?;
        send(&mut stream, Kind::Token, self.token.as_bytes())?;
        match receive(&mut stream)? {
            Some((Kind::Hello, _)) => Ok(stream),
            _ => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the agent does not welcome this host")),
        }
    }
}

fn request(stream: &mut TcpStream, command: &Exec) -> io::Result<()> {
    for word in &command.words {
        send(stream, Kind::Argument, word.as_bytes())?;
    }
    for (key, value) in &command.variables {
        send(stream, Kind::Variable, format!("{key}={value}").as_bytes())?;
    }
    send(stream, Kind::Start, b"")
}

/// Feeds input and reads output side by side until the last frame or the deadline.
fn converse(stream: &TcpStream, command: &Exec, mut sink: impl FnMut(Stream, &[u8])) -> io::Result<End> {
    let end = Instant::now() + command.timeout;
    thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            let fed = feed(stream, &command.input);
            if matches!(fed, Err(FeedError::Source(_))) {
                let _ = stream.shutdown(Shutdown::Both);
            }
            fed
        });
        let result = listen(stream, end, &mut sink);
        // Also ends a feeder that waits for a command which never reads.
        let _ = stream.shutdown(Shutdown::Both);
        match feeder.join() {
            // The input could not be read on the host: whatever the command made of half of it does not count.
            Ok(Err(FeedError::Source(error))) => Err(error),
            _ => result,
        }
    })
}

enum FeedError {
    Source(io::Error),
    Wire,
}

fn feed(stream: &TcpStream, input: &Input) -> Result<(), FeedError> {
    let mut stream = stream;
    let mut source: Box<dyn Read + '_> = match input {
        Input::Bytes(bytes) => Box::new(bytes.as_slice()),
        Input::File(path) => Box::new(File::open(path).map_err(|error| {
            FeedError::Source(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        })?),
    };
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = source.read(&mut buffer).map_err(FeedError::Source)?;
        let kind = if count == 0 { Kind::InputEnd } else { Kind::Input };
        // A command that ended early shows in its status.
        send(&mut stream, kind, &buffer[..count]).map_err(|_| FeedError::Wire)?;
        if count == 0 {
            return Ok(());
        }
    }
}

fn listen(stream: &TcpStream, end: Instant, sink: &mut impl FnMut(Stream, &[u8])) -> io::Result<End> {
    let mut from = io::BufReader::with_capacity(256 * 1024, Until { stream, end });
    loop {
        let frame = match receive(&mut from) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(End::Timeout);
            }
            other => other?,
        };
        match frame {
            Some((Kind::Output, bytes)) => sink(Stream::Output, &bytes),
            Some((Kind::Error, bytes)) => sink(Stream::Error, &bytes),
            Some((Kind::Failure, why)) => return Ok(End::Failure(String::from_utf8_lossy(&why).into_owned())),
            Some((Kind::Status, text)) => {
                let status = str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                return status
                    .map(End::Status)
                    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an exit status that is no number"));
            }
            Some((kind, _)) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame out of place: {kind:?}")));
            }
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Reads from a connection until a moment, however the bytes trickle in.
struct Until<'a> {
    stream: &'a TcpStream,
    end: Instant,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}
