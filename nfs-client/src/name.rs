//! Names of directory entries, checked before they are sent.

use crate::Error;

/// Longest name that is sent, in bytes. Servers may allow less and answer NAMETOOLONG.
pub const MAX_NAME: usize = 255;

/// Refuses what a server could take for something else than one entry of one directory, and what is longer than
/// [`MAX_NAME`], with [`Error::BadName`]. Listings may hold such names; whatever else takes a name refuses them so.
pub fn check(name: &[u8]) -> Result<(), Error> {
    let reason = match name {
        b"" => "it is empty",
        b"." | b".." => "it would lead to another directory",
        _ if name.len() > MAX_NAME => "it is longer than 255 bytes",
        _ if name.contains(&b'/') => "it contains '/'",
        _ if name.contains(&0) => "it contains a NUL byte",
        _ => return Ok(()),
    };
    Err(Error::BadName { name: String::from_utf8_lossy(name).into_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_dot_slash_nul_empty_and_endless_names_are_refused() {
        for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b", &[b'x'; 256]] {
            assert!(matches!(check(name), Err(Error::BadName { .. })), "{name:?}");
        }
    }

    #[test]
    fn every_other_name_is_left_to_the_server() {
        for name in [&b"a"[..], b"...", b".berth", b"~abc", &[b'x'; 255], "ü".as_bytes(), &[0xff, 0xfe]] {
            assert!(check(name).is_ok(), "{name:?}");
        }
    }
}
