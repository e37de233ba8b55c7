//! What holds for every input of the parsers, one module for each of them: `check` panics where it does not hold.
//!
//! The programs in `fuzz_targets` look for such inputs. `e2e/tests/seeds.rs` takes this file as a module and runs the
//! inputs of `seeds`, so that what was once found is looked at by every `cargo test`.

use std::error::Error;

pub mod mount_options;
pub mod mountinfo;
pub mod nfs_replies;
pub mod parameters;
pub mod record;
pub mod rpc;
pub mod template;
pub mod volume_context;
pub mod volume_id;
pub mod xdr;

/// A target and its property.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by the name of its program and of its directory of seeds.
pub const TARGETS: [Target; 10] = [
    ("mount_options", mount_options::check),
    ("mountinfo", mountinfo::check),
    ("nfs_replies", nfs_replies::check),
    ("parameters", parameters::check),
    ("record", record::check),
    ("rpc", rpc::check),
    ("template", template::check),
    ("volume_context", volume_context::check),
    ("volume_id", volume_id::check),
    ("xdr", xdr::check),
];

/// Between the texts of one input: a byte that UTF-8 does not have, so that every text can be one of them.
const SEPARATOR: u8 = 0xff;

/// A person can read no more than this of one message, and nobody may make the program write more.
const LONGEST_MESSAGE: usize = 4096;

/// The texts of an input.
fn texts(input: &[u8]) -> Vec<String> {
    input.split(|&byte| byte == SEPARATOR).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// The texts of an input, two by two: keys and values.
fn pairs(input: &[u8]) -> Vec<(String, String)> {
    texts(input).chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

/// An error is one short line, whatever text has caused it: it ends up in events and logs.
fn assert_readable(error: &dyn Error) {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    assert!(!message.is_empty(), "an error without a word: {error:?}");
    assert!(!message.contains(char::is_control), "a control character in {message:?}");
    assert!(message.len() <= LONGEST_MESSAGE, "{} bytes of message: {message}", message.len());
}

/// The rules of a directory below a share (docs/parameters.md), written without the code that holds to them.
fn assert_below_share(path: &str) {
    let components: Vec<&str> = path.split('/').collect();
    assert!(!components.iter().any(|component| matches!(*component, "" | "." | "..")), "{path:?} goes elsewhere");
    assert!(components.iter().all(|component| component.len() <= 255), "{path:?} has a component that is too long");
    assert!(!components[0].eq_ignore_ascii_case(".berth"), "{path:?} is the driver's own");
    assert!(!path.contains(char::is_control), "a control character in {path:?}");
    assert!(path.len() <= 1024, "{} bytes of path", path.len());
}
