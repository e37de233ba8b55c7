//! What host and agent say to each other: frames of a kind byte, a length (32 bits, big endian) and that many bytes.
//!
//! One connection carries one command. The host sends [`Kind::Token`], any number of [`Kind::Argument`] and
//! [`Kind::Variable`], then [`Kind::Start`]; the agent answers the token with [`Kind::Hello`].
//! While the command runs, input goes one way ([`Kind::Input`], closed by [`Kind::InputEnd`]) and output the other
//! ([`Kind::Output`], [`Kind::Error`]); [`Kind::Status`] or [`Kind::Failure`] is the agent's last frame. A connection
//! that the host closes earlier ends the command.
//!
//! This file is compiled into the library and, by path, into the agent, which has no dependency but `std`.

use std::io::{self, Read, Write};

/// TCP port of the agent inside a guest.
pub const PORT: u16 = 4022;

/// Frames longer than this are refused, in bytes.
const LONGEST: usize = 1 << 20;

/// What a frame's bytes are, by the frame's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The secret that the guest was booted with.
    Token = b'T',
    /// The agent's welcome; no bytes.
    Hello = b'H',
    /// One word of the command.
    Argument = b'A',
    /// One environment variable, `KEY=VALUE`.
    Variable = b'V',
    /// Begin; no bytes.
    Start = b'X',
    /// Bytes for standard input.
    Input = b'I',
    /// End of standard input.
    InputEnd = b'Z',
    /// Bytes from standard output.
    Output = b'O',
    /// Bytes from standard error.
    Error = b'E',
    /// Exit status as decimal text; 128 + N for a command that signal N ended.
    Status = b'S',
    /// Why the command could not start, as text.
    Failure = b'F',
}

use Kind::{Argument, Error, Failure, Hello, Input, InputEnd, Output, Start, Status, Token, Variable};

const KINDS: [Kind; 11] = [Token, Hello, Argument, Variable, Start, Input, InputEnd, Output, Error, Status, Failure];

/// Writes one frame.
pub fn send(to: &mut impl Write, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut frame = Vec::with_capacity(5 + bytes.len());
    frame.push(kind as u8);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(bytes);
    to.write_all(&frame)
}

/// Reads one frame; `None` at a clean end.
pub fn receive(from: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut tag = [0];
    loop {
        match from.read(&mut tag) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    let kind = KINDS.into_iter().find(|kind| *kind as u8 == tag[0]);
    let Some(kind) = kind.filter(|_| length <= LONGEST) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame of the lab's agent"));
    };
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Some((kind, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_as_written() {
        let mut wire = Vec::new();
        for (index, kind) in KINDS.into_iter().enumerate() {
            send(&mut wire, kind, &vec![7; index * 100]).unwrap();
        }
        let mut from = wire.as_slice();
        for (index, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(receive(&mut from).unwrap(), Some((kind, vec![7; index * 100])));
        }
        assert_eq!(receive(&mut from).unwrap(), None);
    }

    #[test]
    fn foreign_and_cut_frames_are_errors() {
        assert!(receive(&mut &b"GET / HTTP/1.1\r\n"[..]).is_err());
        assert!(receive(&mut &b"O\xff\xff\xff\xff"[..]).is_err());
        assert!(receive(&mut &b"O\0\0\0\x05abc"[..]).is_err());
    }
}
