//! Writes numbered records to a file, each on the server's disk before the next is begun, and tells the largest gap between
//! two of them; reads such files again and says whether every byte is what was written.
//!
//! `lab-writer write FILE LOG MILLISECONDS` goes on for ever, with a pause of so many milliseconds after each record. A file
//! that is there already is gone on with, behind its last whole record. To LOG goes a line at the first record and one a
//! second: the time in milliseconds since 1970, the number of the last record, and the largest gap since the line before in
//! microseconds. After an error it writes a line that begins with `error`, and ends.
//!
//! `lab-writer check FILE…` prints the number of records of each file, and fails at the first that is not as it was written.
//!
//! Every byte of a record follows from the file's name and the record's number, so a record at a wrong place, in a wrong file
//! or from an earlier state of the disk is seen as well as a damaged one. Nothing but `std` is used: it runs where there are
//! no libraries.

use std::{
    convert::Infallible,
    env,
    fmt::Write as _,
    fs::{File, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant, SystemTime},
};

/// How often the log gets a line.
const TELL: Duration = Duration::from_secs(1);

/// Words of a record behind its number.
const WORDS: u64 = 6;

const USAGE: &str = "usage: lab-writer write FILE LOG MILLISECONDS | lab-writer check FILE…";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["write", file, log, pause] => pause.parse().map_err(io::Error::other).and_then(|pause| {
            let Err(error) = write(Path::new(file), Path::new(log), Duration::from_millis(pause));
            Err(error)
        }),
        ["check", files @ ..] => files.iter().try_for_each(|file| {
            let records = check(Path::new(file)).map_err(|error| io::Error::other(format!("{file}: {error}")))?;
            println!("{records} {file}");
            Ok(())
        }),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-writer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes records until something fails, and leaves the error in the log too.
fn write(file: &Path, log: &Path, pause: Duration) -> Result<Infallible, io::Error> {
    let mut told = OpenOptions::new().create(true).append(true).open(log)?;
    let Err(error) = go_on(file, &mut told, pause);
    writeln!(told, "error {error}")?;
    Err(error)
}

fn go_on(file: &Path, told: &mut File, pause: Duration) -> Result<Infallible, io::Error> {
    let name = name_of(file);
    let mut target = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(file)?;
    let (mut number, whole) = whole_records(&mut target, &name)?;
    // What lies behind is a record that was being written when the machine lost its power.
    target.set_len(whole)?;
    target.seek(SeekFrom::Start(whole))?;
    let (mut largest, mut last, mut line) = (Duration::ZERO, None::<Instant>, None::<Instant>);
    loop {
        number += 1;
        target.write_all(record(&name, number).as_bytes())?;
        target.sync_data()?;
        let now = Instant::now();
        largest = largest.max(last.map_or(Duration::ZERO, |last| now - last));
        last = Some(now);
        if line.is_none_or(|line| now - line >= TELL) {
            let since = SystemTime::UNIX_EPOCH.elapsed().map_err(io::Error::other)?;
            writeln!(told, "{} {number} {}", since.as_millis(), largest.as_micros())?;
            (largest, line) = (Duration::ZERO, Some(now));
        }
        thread::sleep(pause);
    }
}

/// The number of records of a file that holds nothing else.
fn check(file: &Path) -> Result<u64, io::Error> {
    let mut source = File::open(file)?;
    let length = source.metadata()?.len();
    let (records, whole) = whole_records(&mut source, &name_of(file))?;
    if whole == length {
        return Ok(records);
    }
    Err(io::Error::new(ErrorKind::InvalidData, format!("{} bytes behind record {records}", length - whole)))
}

/// How many whole records a file begins with, and their length in bytes. One that is not what was written is an error.
fn whole_records(source: &mut File, name: &str) -> Result<(u64, u64), io::Error> {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes)?;
    let (mut number, mut whole) = (0, 0);
    loop {
        let next = record(name, number + 1);
        let Some(found) = bytes.get(whole..whole + next.len()) else {
            return Ok((number, u64::try_from(whole).map_err(io::Error::other)?));
        };
        number += 1;
        if found != next.as_bytes() {
            let found = String::from_utf8_lossy(found);
            return Err(io::Error::new(ErrorKind::InvalidData, format!("record {number} is {found:?}")));
        }
        whole += next.len();
    }
}

/// A record: its number, and words that follow from the file's name and the number.
fn record(name: &str, number: u64) -> String {
    let mut text = format!("{number:016x}");
    for word in 0..WORDS {
        let mut hasher = DefaultHasher::new();
        (name, number, word).hash(&mut hasher);
        // Writing to a string cannot fail.
        let _ = write!(text, " {:016x}", hasher.finish());
    }
    text.push('\n');
    text
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A file of the process's own that goes with the value.
    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn of(test: &str, records: impl IntoIterator<Item = String>) -> Self {
            let path = env::temp_dir().join(format!("lab-writer-{test}-{}", std::process::id()));
            fs::write(&path, records.into_iter().collect::<String>()).unwrap();
            Self(path)
        }

        fn name(&self) -> String {
            name_of(&self.0)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // One that is left is one in the system's folder for such files.
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn what_was_written_is_found_again() {
        let scratch = Scratch::of("whole", []);
        fs::write(&scratch.0, (1..=3).map(|number| record(&scratch.name(), number)).collect::<String>()).unwrap();
        assert_eq!(check(&scratch.0).unwrap(), 3);
    }

    #[test]
    fn what_was_not_written_so_is_seen() {
        let scratch = Scratch::of("broken", []);
        let name = scratch.name();
        let (one, two, three) = (record(&name, 1), record(&name, 2), record(&name, 3));
        let turned = two.replace(|letter: char| letter.is_ascii_digit(), "7");
        for (what, text) in [
            ("a lost record", format!("{one}{three}")),
            ("a damaged one", format!("{one}{turned}{three}")),
            ("one twice", format!("{one}{one}")),
            ("one of another file", format!("{one}{}", record("another", 2))),
            ("a hole", format!("{one}{}", "\0".repeat(two.len()))),
            ("a torn one", format!("{one}{}", &two[..9])),
        ] {
            fs::write(&scratch.0, text).unwrap();
            assert!(check(&scratch.0).is_err(), "{what}");
        }
    }

    #[test]
    fn a_writer_goes_on_behind_the_last_whole_record_and_tells_its_gaps() {
        let (scratch, log) = (Scratch::of("on", []), Scratch::of("on-log", []));
        let name = scratch.name();
        fs::write(&scratch.0, format!("{}{}", record(&name, 1), &record(&name, 2)[..20])).unwrap();
        let (file, lines) = (scratch.0.clone(), log.0.clone());
        // It ends with the process.
        thread::spawn(move || write(&file, &lines, Duration::from_millis(5)));
        let end = Instant::now() + Duration::from_secs(30);
        let text = loop {
            let text = fs::read_to_string(&log.0).unwrap();
            if text.lines().count() >= 3 || Instant::now() > end {
                break text;
            }
            thread::sleep(Duration::from_millis(20));
        };
        let lines: Vec<Vec<u64>> =
            text.lines().map(|line| line.split(' ').map(|word| word.parse().unwrap()).collect()).collect();
        assert!(lines.len() >= 3, "{text}");
        assert_eq!((lines[0][1], lines[0][2]), (2, 0), "the first record after the whole one");
        assert!(lines[1][1] > lines[0][1] && lines[1][2] >= 5000, "{text}");
        let mut written = File::open(&scratch.0).unwrap();
        assert!(whole_records(&mut written, &name).unwrap().0 >= lines[2][1]);
    }

    #[test]
    fn an_error_is_told_and_ends_it() {
        let log = Scratch::of("error-log", []);
        let error = write(Path::new("/proc/no such file"), &log.0, Duration::ZERO).unwrap_err();
        assert_eq!(fs::read_to_string(&log.0).unwrap(), format!("error {error}\n"));
    }
}
