//! As much HTTP as reading one page takes.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long the other side may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Body of `GET path` at `address`; any status but 200 is an error.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, SILENCE)?;
    stream.set_read_timeout(Some(SILENCE))?;
    // 1.0: the body comes in one piece and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) if status.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("http://{address}{path} answers `{status}`"))),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::BufRead, io::BufReader, net::TcpListener, thread};

    use super::*;

    /// What becomes of an answer.
    fn got(answer: &'static str) -> io::Result<String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let request = lines.next().unwrap();
            // A connection that ends before everything was read is reset.
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        let got = get(address, "/page");
        assert_eq!(server.join().unwrap(), "GET /page HTTP/1.0");
        got
    }

    #[test]
    fn a_page_is_its_body() {
        assert_eq!(got("HTTP/1.0 200 OK\r\nServer: x\r\n\r\none\r\n\r\ntwo").unwrap(), "one\r\n\r\ntwo");
    }

    #[test]
    fn a_refusal_is_no_page() {
        let error = got("HTTP/1.1 404 Not Found\r\n\r\nno").unwrap_err().to_string();
        assert!(error.contains("404 Not Found"), "{error}");
        assert!(got("gibberish").is_err());
    }
}
