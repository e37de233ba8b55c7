//! NFS-Ganesha as a test server: one process with a directory of its own for each test, on a free port of loopback.
//!
//! Needs root and the Debian packages `nfs-ganesha` and `nfs-ganesha-vfs`. Every method that fails says what was tried
//! and where the server's log is.

mod config;

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use thiserror::Error;

pub use config::{GaneshaOptions, GaneshaPlace, Squash};

const BINARY: &str = "ganesha.nfsd";
/// Longest wait for a start, with other tests on the same machine.
const START: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

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
    /// It ended, or did not listen in time.
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
    port: u16,
    process: Option<Child>,
}

impl fmt::Debug for Ganesha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ganesha")
            .field("port", &self.port)
            .field("directory", &self.directory.path())
            .finish_non_exhaustive()
    }
}

impl Ganesha {
    /// Starts a server with one export, `/export`, and waits until it listens.
    pub fn start(options: GaneshaOptions) -> Result<Self, GaneshaError> {
        let directory = tempfile::Builder::new()
            .prefix("ganesha-")
            .tempdir()
            .map_err(|source| GaneshaError::Prepare { path: std::env::temp_dir(), source })?;
        let port = free_port().map_err(GaneshaError::Run)?;
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
        self.port
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
    /// and waits until it listens.
    pub fn resume(&mut self) -> Result<(), GaneshaError> {
        self.kill();
        let config = self.path("ganesha.conf");
        let (address, port, pseudo) = (Ipv4Addr::LOCALHOST, self.port, "/export");
        let (directory, recovery) = (&self.export(), &self.path("recovery"));
        let text = self.options.render(GaneshaPlace { address, port, directory, pseudo, recovery });
        fs::write(&config, text).map_err(|source| GaneshaError::Prepare { path: config.clone(), source })?;
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
        self.wait_until_it_listens()
    }

    fn wait_until_it_listens(&mut self) -> Result<(), GaneshaError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + START;
        loop {
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            let detail = match ended {
                Some(status) => format!("it ended with {status}"),
                None if Instant::now() >= deadline => format!("nothing listens after {START:?}"),
                None => {
                    sleep(POLL);
                    continue;
                }
            };
            let (log, tail) = (self.log().display().to_string(), self.log_tail());
            self.kill();
            return Err(GaneshaError::Start { port: self.port, detail, log, tail });
        }
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

/// A port that nobody listens on now. Ganesha binds it a moment later; another test can hardly get it meanwhile,
/// because the kernel hands out ephemeral ports in a random order.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
