//! The program inside a guest that runs the lab's commands: one connection, one command (see `wire`).
//!
//! It has no dependency but `std`, so that `rustc` alone builds it into a static program.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::{ffi::OsStringExt, process::CommandExt, process::ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

#[path = "../../src/guest/wire.rs"]
#[allow(dead_code, unreachable_pub)]
mod wire;

use wire::{Kind, receive, send};

/// How long output is still collected after a command ended, when something that it left behind holds its pipes open.
const LINGER: Duration = Duration::from_millis(500);

fn main() -> io::Result<()> {
    let path = env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: lab-agent TOKEN-FILE"))?;
    let token: Arc<[u8]> = fs::read(path)?.trim_ascii().into();
    let listener = TcpListener::bind(("0.0.0.0", wire::PORT))?;
    loop {
        // A peer that is gone before it was accepted is its own affair.
        let Ok((stream, _)) = listener.accept() else { continue };
        let token = Arc::clone(&token);
        thread::spawn(move || {
            if let Err(error) = serve(stream, &token) {
                eprintln!("lab-agent: {error}");
            }
        });
    }
}

fn serve(mut stream: TcpStream, token: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match receive(&mut stream)? {
        Some((Kind::Token, offered)) if offered == token => send(&mut stream, Kind::Hello, b"")?,
        _ => return Err(io::Error::other("a peer without the token")),
    }
    let Some(mut command) = request(&mut stream)? else { return Ok(()) };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    match command.spawn() {
        Ok(child) => run(&stream, child),
        Err(error) => send(&mut stream, Kind::Failure, error.to_string().as_bytes()),
    }
}

/// Reads what is to run; `None` when the peer only wanted to know that the agent answers.
fn request(stream: &mut TcpStream) -> io::Result<Option<Command>> {
    let mut command: Option<Command> = None;
    let mut variables = Vec::new();
    while let Some((kind, bytes)) = receive(stream)? {
        match (kind, &mut command) {
            (Kind::Argument, None) => command = Some(Command::new(OsString::from_vec(bytes))),
            (Kind::Argument, Some(command)) => {
                command.arg(OsString::from_vec(bytes));
            }
            (Kind::Variable, _) => variables.push(bytes),
            (Kind::Start, Some(_)) => break,
            (other, _) => return Err(io::Error::other(format!("a frame out of place: {other:?}"))),
        }
    }
    let Some(mut command) = command else { return Ok(None) };
    for variable in variables {
        let mut parts = variable.splitn(2, |&byte| byte == b'=').map(<[u8]>::to_vec);
        let (key, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        command.env(OsString::from_vec(key), OsString::from_vec(value));
    }
    Ok(Some(command))
}

/// Carries input and output until the command ends, then says how.
fn run(stream: &TcpStream, mut child: Child) -> io::Result<()> {
    let group = child.id();
    let ended = Arc::new(AtomicBool::new(false));
    let to_host = Arc::new(Mutex::new(stream.try_clone()?));
    let (done, collected) = mpsc::channel();
    let pipes = [
        (Kind::Output, child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
        (Kind::Error, child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
    ];
    for (kind, pipe) in pipes {
        let (to_host, done) = (Arc::clone(&to_host), done.clone());
        thread::spawn(move || {
            if let Some(pipe) = pipe {
                forward(pipe, kind, &to_host);
            }
            // The receiver is gone only when nobody waits any more.
            let _ = done.send(());
        });
    }
    let input = child.stdin.take();
    let mut from_host = stream.try_clone()?;
    let watch = Arc::clone(&ended);
    thread::spawn(move || {
        feed(&mut from_host, input);
        if !watch.load(Ordering::SeqCst) {
            end_group(group);
        }
    });
    let status = child.wait()?;
    ended.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        if collected.recv_timeout(LINGER).is_err() {
            break;
        }
    }
    let mut to_host = to_host.lock().unwrap_or_else(PoisonError::into_inner);
    send(&mut *to_host, Kind::Status, code(status).to_string().as_bytes())?;
    stream.shutdown(Shutdown::Write)
}

fn forward(mut pipe: impl Read, kind: Kind, to_host: &Mutex<TcpStream>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                let mut stream = to_host.lock().unwrap_or_else(PoisonError::into_inner);
                if send(&mut *stream, kind, &buffer[..count]).is_err() {
                    return;
                }
            }
        }
    }
}

/// Passes input on until the host closes the connection.
fn feed(from_host: &mut TcpStream, input: Option<impl io::Write>) {
    let mut input = input;
    while let Ok(Some((kind, bytes))) = receive(from_host) {
        match kind {
            // A command may close its input early; what follows is dropped.
            Kind::Input if input.as_mut().is_some_and(|pipe| pipe.write_all(&bytes).is_err()) => input = None,
            Kind::InputEnd => input = None,
            _ => {}
        }
    }
}

/// Ends a command whose host went away, with everything that it started in its process group.
fn end_group(group: u32) {
    // The group may have ended in this moment; then there is nothing to do.
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
