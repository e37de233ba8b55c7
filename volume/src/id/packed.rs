//! The second form of an id, `berth2://PACKED#KEY`: for servers and shares whose names leave no room in the first.
//!
//! Server and share are written as in the first form, with escapes of a letter for what makes such names long: suffixes
//! that a cloud gives to all of its servers, UUIDs, and the first label of the server where it is a directory of the share
//! as well. Letters and rules are as they are for ever: an id is only read if it is written as it would be written now, so
//! another word would make ids that exist unreadable. What is to be packed otherwise needs another form.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::escape_byte;
use crate::{path::SharePath, server::Server};

/// How an id of this form begins.
pub(super) const SCHEME: &str = "berth2://";

/// What a server's name may have in it, each after `%` and its letter. Hexadecimal digits are no letters here.
const WORDS: [(char, &str); 10] = [
    // Azure Files, where accounts have names of up to 24 characters, with and without a private endpoint.
    ('g', ".privatelink.file.core.windows.net"),
    ('h', ".file.core.windows.net"),
    ('i', ".privatelink.file.core.usgovcloudapi.net"),
    ('j', ".file.core.usgovcloudapi.net"),
    ('k', ".privatelink.file.core.chinacloudapi.cn"),
    ('l', ".file.core.chinacloudapi.cn"),
    // Amazon FSx: svm-….fs-….fsx.REGION.amazonaws.com.
    ('m', ".fsx."),
    ('n', ".amazonaws.com"),
    ('o', ".amazonaws.com.cn"),
    ('p', ".svc.cluster.local"),
];
/// The server's first label, as a directory of the share.
const LABEL: char = 's';
/// A UUID in lower case, as 22 characters of base64url (RFC 4648 §5) for its 16 bytes.
const UUID: char = 'u';

const UUID_TEXT: usize = 36;
const UUID_PACKED: usize = 22;
/// Where a UUID has its hyphens (RFC 9562 §4).
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Server and share.
pub(super) fn pack(server: &Server, share: &SharePath) -> String {
    let mut packed = String::new();
    let text = server.to_string();
    write(&mut packed, &text, &WORDS);
    let label = label(&text);
    if share.components().next().is_none() {
        packed.push('/');
    }
    for component in share.components() {
        packed.push('/');
        if component == label {
            packed.extend(['%', LABEL]);
        } else {
            write(&mut packed, component, &[]);
        }
    }
    packed
}

/// The texts of server and share; `None` if it is no packed pair. Whether it is the only way to write them remains to be
/// seen.
pub(super) fn unpack(packed: &str) -> Option<(String, String)> {
    let (server, share) = packed.find('/').map(|slash| packed.split_at(slash))?;
    let server = read(server, None)?;
    let share = read(share, Some(label(&server)))?;
    Some((server, share))
}

fn label(server: &str) -> &str {
    server.split(['.', ':']).next().unwrap_or_default()
}

fn write(packed: &mut String, text: &str, words: &[(char, &str)]) {
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        let rest = text.get(at..).unwrap_or_default();
        // The longest: one word may be the beginning of another.
        let word = words.iter().filter(|(_, word)| rest.starts_with(word)).max_by_key(|(_, word)| word.len());
        at += if let Some((letter, word)) = word {
            packed.extend(['%', *letter]);
            word.len()
        } else if let Some(uuid) = rest.get(..UUID_TEXT).and_then(uuid) {
            packed.extend(['%', UUID]);
            BASE64_URL_SAFE_NO_PAD.encode_string(uuid.to_be_bytes(), packed);
            UUID_TEXT
        } else {
            escape_byte(packed, byte);
            1
        };
    }
}

fn uuid(text: &str) -> Option<u128> {
    let good = text.bytes().enumerate().all(|(at, byte)| match byte {
        b'-' => HYPHENS.contains(&at),
        b'0'..=b'9' | b'a'..=b'f' => !HYPHENS.contains(&at),
        _ => false,
    });
    good.then(|| u128::from_str_radix(&text.replace('-', ""), 16).ok()).flatten()
}

fn read(packed: &str, label: Option<&str>) -> Option<String> {
    let mut bytes = Vec::with_capacity(packed.len());
    let mut rest = packed;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character != '%' {
            bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let letter = rest.chars().next()?;
        let after = &rest[letter.len_utf8()..];
        rest = if let Some((_, word)) = WORDS.iter().find(|(of, _)| *of == letter) {
            bytes.extend(word.bytes());
            after
        } else if letter == UUID {
            let (uuid, after) = after.split_at_checked(UUID_PACKED)?;
            let uuid: [u8; 16] = BASE64_URL_SAFE_NO_PAD.decode(uuid).ok()?.try_into().ok()?;
            let mut text = format!("{:032x}", u128::from_be_bytes(uuid));
            for at in HYPHENS {
                text.insert(at, '-');
            }
            bytes.extend(text.bytes());
            after
        } else if letter == LABEL {
            bytes.extend(label?.bytes());
            after
        } else {
            let digits = rest.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            &rest[2..]
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(server: &str, share: &str) -> String {
        let text = pack(&server.parse().expect("a server"), &share.parse().expect("a share"));
        assert_eq!(unpack(&text), Some((server.to_owned(), share.to_owned())), "{text}");
        text
    }

    #[test]
    fn looks_as_documented() {
        for (server, share, expected) in [
            (
                "f0123456789abcdef0123456.privatelink.file.core.windows.net",
                "/f0123456789abcdef0123456/pvc-0f5b2c2e-6f0e-4a35-9d9b-0a1b2c3d4e5f",
                "f0123456789abcdef0123456%g/%s/pvc-%uD1ssLm8OSjWdmwobLD1OXw",
            ),
            (
                "svm-0123456789abcdef0.fs-0123456789abcdef0.fsx.us-gov-west-1.amazonaws.com",
                "/vol1",
                "svm-0123456789abcdef0.fs-0123456789abcdef0%mus-gov-west-1%n/vol1",
            ),
            ("a.file.core.windows.net", "/a/a.b", "a%h/%s/a.b"),
            ("a.privatelink.file.core.usgovcloudapi.net", "/b", "a%i/b"),
            ("a.file.core.usgovcloudapi.net", "/b", "a%j/b"),
            ("a.privatelink.file.core.chinacloudapi.cn", "/b", "a%k/b"),
            ("a.file.core.chinacloudapi.cn", "/b", "a%l/b"),
            ("fs-1.fsx.cn-north-1.amazonaws.com.cn", "/", "fs-1%mcn-north-1%o/"),
            ("nfs.storage.svc.cluster.local:20049", "/é#", "nfs.storage%p:20049/%c3%a9%23"),
            ("10.0.0.2", "/%u/10", "10.0.0.2/%25u/%s"),
        ] {
            assert_eq!(packed(server, share), expected);
        }
    }

    #[test]
    fn what_is_no_packed_pair_is_refused() {
        for text in
            ["", "nfs", "nfs/%", "nfs/%q", "nfs/%u", "nfs/%uD1ssLm8OSjWdmwobLD1OX", "nfs/%ff", "nfs/%+1", "%s/a"]
        {
            assert_eq!(unpack(text), None, "{text}");
        }
    }
}
