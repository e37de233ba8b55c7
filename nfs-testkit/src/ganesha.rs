//! NFS-Ganesha as a test server: one process with a directory of its own for each test, on a free port of loopback.
//!
//! Needs root and the Debian packages `nfs-ganesha` and `nfs-ganesha-vfs`. Every method that fails says what was tried
//! and where the server's log is.

mod config;
mod port;

use std::{
    fmt, fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use onc_rpc::{Credential, Procedure, Reader, Records, Writer, message, record};
use tempfile::TempDir;
use thiserror::Error;

pub use config::{GaneshaConfig, GaneshaOptions, Squash};

use port::Port;

const BINARY: &str = "ganesha.nfsd";
/// Longest wait for a start, with other tests on the same machine.
const START: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Why Ganesha does not run.
#[derive(Debug, Error)]
pub enum GaneshaError {
    /// A file or directory could not be made.
    #[error("cannot prepare {path}")]
    Prepare {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program could not be started.
    #[error("cannot run {BINARY}; install nfs-ganesha and nfs-ganesha-vfs")]
    Run(#[source] io::Error),
    /// No port could be had.
    #[error("no port for {BINARY}")]
    Port(#[source] io::Error),
    /// It ended, or did not answer in time.
    #[error("{BINARY} did not come up on port {port}: {detail}\nend of {log}:\n{tail}")]
    Start {
        /// The port.
        port: u16,
        /// What happened instead.
        detail: String,
        /// Path of its log.
        log: String,
        /// Last lines of its log.
        tail: String,
    },
}

/// A running (or deliberately dead) Ganesha. Dropping it kills the process and removes its files.
pub struct Ganesha {
    directory: TempDir,
    options: GaneshaOptions,
    port: Port,
    process: Option<Child>,
}

impl fmt::Debug for Ganesha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ganesha")
            .field("port", &self.port())
            .field("directory", &self.directory.path())
            .finish_non_exhaustive()
    }
}

impl Ganesha {
    /// Starts a server with one export, `/export`, and waits until it answers.
    pub fn start(options: GaneshaOptions) -> Result<Self, GaneshaError> {
        let directory = tempfile::Builder::new()
            .prefix("ganesha-")
            .tempdir()
            .map_err(|source| GaneshaError::Prepare { path: std::env::temp_dir(), source })?;
        let port = Port::acquire().map_err(GaneshaError::Port)?;
        let mut ganesha = Self { directory, options, port, process: None };
        for path in [ganesha.export(), ganesha.path("recovery")] {
            fs::create_dir_all(&path).map_err(|source| GaneshaError::Prepare { path, source })?;
        }
        ganesha.resume()?;
        Ok(ganesha)
    }

    /// The directory that is exported as `/export`.
    pub fn export(&self) -> PathBuf {
        self.path("export")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its log; gone with the server's directory when `self` is dropped.
    pub fn log(&self) -> PathBuf {
        self.path("ganesha.log")
    }

    /// The last lines of its log, for failure messages.
    pub fn log_tail(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Changes what the next start does.
    pub fn set_options(&mut self, options: GaneshaOptions) {
        self.options = options;
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop), on the same port and with the same files,
    /// and waits until it answers.
    pub fn resume(&mut self) -> Result<(), GaneshaError> {
        self.kill();
        let config = self.path("ganesha.conf");
        let text = GaneshaConfig {
            address: Some(Ipv4Addr::LOCALHOST.into()),
            port: self.port(),
            export: &self.export(),
            pseudo: "/export",
            recovery: &self.path("recovery"),
            options: &self.options,
        };
        fs::write(&config, text.render()).map_err(|source| GaneshaError::Prepare { path: config.clone(), source })?;
        let child = Command::new(BINARY)
            .arg("-F")
            .args([Path::new("-f"), &config, Path::new("-L"), &self.log()])
            .args([Path::new("-p"), &self.path("ganesha.pid"), Path::new("-N"), Path::new("NIV_EVENT")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(GaneshaError::Run)?;
        self.process = Some(child);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port()));
        let up = self.process.as_mut().map_or(Ok(()), |process| wait_for(process, address, Instant::now() + START));
        up.map_err(|detail| {
            let (log, tail) = (self.log().display().to_string(), self.log_tail());
            self.kill();
            GaneshaError::Start { port: self.port(), detail, log, tail }
        })
    }

    /// kill -9, as a crash would end it, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself; either way it is gone after the wait.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Ends it in order (SIGTERM), or by force if that takes too long.
    pub fn stop(&mut self) {
        let Some(process) = self.process.as_mut() else { return };
        let pid = process.id().to_string();
        if Command::new("kill").args(["-TERM", &pid]).status().is_ok_and(|status| status.success()) {
            let deadline = Instant::now() + STOP;
            while Instant::now() < deadline && matches!(process.try_wait(), Ok(None)) {
                sleep(POLL);
            }
        }
        self.kill();
    }

    /// kill -9 and [`resume`](Self::resume).
    pub fn crash(&mut self) -> Result<(), GaneshaError> {
        self.kill();
        self.resume()
    }
}

impl Drop for Ganesha {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until an NFS server answers there and the process, which should be that server, lives.
fn wait_for(process: &mut Child, address: SocketAddr, deadline: Instant) -> Result<(), String> {
    loop {
        let answered = ask(address);
        match process.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Err(format!("it ended with {status}")),
            Err(error) => return Err(format!("it cannot be watched: {error}")),
        }
        match answered {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(format!("no answer after {START:?}: {error}")),
            Err(_) => sleep(POLL),
        }
    }
}

/// The NULL procedure of NFS version 4: what listens may not serve yet, or be something else.
fn ask(address: SocketAddr) -> io::Result<()> {
    const NULL: Procedure = Procedure { program: 100_003, version: 4, procedure: 0 };
    let mut call = Writer::new();
    message::encode_call(1, NULL, &Credential::None, &mut call);
    let mut request = Vec::new();
    record::frame(call.as_slice(), &mut request);
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(&request)?;
    let (mut records, mut piece) = (Records::new(1024), [0; 1024]);
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(reply) = records.take(&mut &piece[..count]).map_err(io::Error::other)? else { continue };
        let (_, body) = message::split_reply(&reply).ok_or_else(|| io::Error::other("no RPC reply"))?;
        return message::decode_reply(&mut Reader::new(body)).map_err(io::Error::other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeServer;

    fn run(program: &str, words: &[&str]) -> Child {
        Command::new(program).args(words).spawn().unwrap()
    }

    /// Another server on the port, and our own that has ended for just that reason: it is not up.
    #[tokio::test]
    async fn a_server_that_has_ended_is_not_taken_for_another_that_answers() {
        let other = FakeServer::new().listen().await.unwrap();
        let ended = tokio::task::spawn_blocking(move || {
            let mut process = run("false", &[]);
            let _either_way = process.wait();
            let ended = wait_for(&mut process, other, Instant::now() + START);
            let mut process = run("sleep", &["60"]);
            let alive = wait_for(&mut process, other, Instant::now() + START);
            process.kill().unwrap();
            process.wait().unwrap();
            (ended, alive)
        });
        let (ended, alive) = ended.await.unwrap();
        assert!(ended.unwrap_err().starts_with("it ended with"));
        alive.unwrap();
    }

    /// Something that accepts connections and closes them is not up either.
    #[tokio::test]
    async fn a_server_that_does_not_answer_yet_is_waited_for() {
        let server = FakeServer::new();
        server.hang_up_on(3);
        let address = server.listen().await.unwrap();
        let waited = tokio::task::spawn_blocking(move || {
            let mut process = run("sleep", &["60"]);
            let up = wait_for(&mut process, address, Instant::now() + START);
            process.kill().unwrap();
            process.wait().unwrap();
            up
        });
        waited.await.unwrap().unwrap();
        assert_eq!(server.connections(), 4);
    }
}
