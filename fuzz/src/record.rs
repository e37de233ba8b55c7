//! A record reads back as it was written, and what is read from a share is bounded by the rules of what is written.

use volume::{OnDelete, Record, SubPath, record::ClaimRef, record::LONGEST_TEXT, record::RecordError, record::VERSION};

use super::{assert_below_share, assert_readable, texts};

/// One text is what a share holds; several are name, directory, namespace and name of a claim, and a size.
pub fn check(input: &[u8]) {
    match &texts(input)[..] {
        [text] => match Record::from_text(text) {
            Ok(record) => written(&record),
            Err(error) => assert_readable(&error),
        },
        [name, path, rest @ ..] => made(name, path, rest),
        [] => {}
    }
}

fn made(name: &str, path: &str, rest: &[String]) {
    let path: SubPath = match path.parse() {
        Ok(path) => path,
        Err(error) => return assert_readable(&error),
    };
    let claim = match rest {
        [namespace, name, ..] => Some(ClaimRef { namespace: namespace.clone(), name: name.clone() }),
        _ => None,
    };
    let size_bytes: u64 = rest.get(2).and_then(|size| size.parse().ok()).unwrap_or(0);
    let on_delete = if size_bytes.is_multiple_of(2) { OnDelete::Delete } else { OnDelete::Retain };
    written(&Record { size_bytes, on_delete, claim, ..Record::new(name, path) });
}

fn written(record: &Record) {
    assert_eq!(record.version, VERSION);
    assert_below_share(record.path.as_str());
    let text = match record.to_text() {
        Ok(text) => text,
        Err(error) => {
            assert!(matches!(error, RecordError::Long { .. }), "{error:?}");
            return assert_readable(&error);
        }
    };
    assert!(text.len() <= LONGEST_TEXT && !text.contains(['\0', '\n']), "no text of a symbolic link: {text:?}");
    let again = Record::from_text(&text).expect("what was written can be read");
    assert_eq!(again, *record);
    assert_eq!(again.to_text().expect("it has just been written"), text);
}
