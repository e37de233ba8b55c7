//! Files, written and read as programs do.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::Failure;

const BLOCK: usize = 1 << 20;
const SMALL: [u8; 4096] = [7; 4096];

/// Writes a file of so many MiB, waits until the server has it, and reads it again from the server; then makes, reads and removes small files. The directory
/// is empty afterwards.
pub(crate) fn work(directory: &Path, mebibytes: usize, files: usize) -> Result<Value, Failure> {
    let whole = directory.join("whole");
    let begun = Instant::now();
    let mut file = File::create(&whole)?;
    let block = vec![7; BLOCK];
    for _ in 0..mebibytes {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    // What the server has need not be in memory.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    drop(file);
    let (mut file, mut read, mut block) = (File::open(&whole)?, 0, block);
    loop {
        match file.read(&mut block)? {
            0 => break,
            count => read += count,
        }
    }
    let sequential = begun.elapsed();
    if read != mebibytes * BLOCK {
        return Err(format!("{read} bytes were read of {mebibytes} MiB").into());
    }
    fs::remove_file(&whole)?;

    let begun = Instant::now();
    for number in 0..files {
        let path = directory.join(format!("small-{number}"));
        fs::write(&path, SMALL)?;
        if fs::read(&path)? != SMALL {
            return Err(format!("{} does not hold what was written", path.display()).into());
        }
        fs::remove_file(&path)?;
    }
    Ok(json!({ "sequential_us": micros(sequential), "small_us": micros(begun.elapsed()) }))
}

/// Lets one writer work in each directory for so long, all at once; tells how many MiB each has brought to the server.
pub(crate) fn race(directories: &[PathBuf], time: Duration) -> Result<Value, Failure> {
    let until = Instant::now() + time;
    let writers: Vec<_> =
        directories.iter().cloned().map(|at| thread::spawn(move || write_until(&at, until))).collect();
    let mut written = Vec::new();
    for writer in writers {
        let done = writer.join().map_err(|_| "a writer has panicked")?;
        written.push(done.map_err(|error| error.to_string())?);
    }
    Ok(json!({ "mebibytes": written }))
}

/// A MiB counts when the server has it.
fn write_until(directory: &Path, until: Instant) -> std::io::Result<usize> {
    let path = directory.join("raced");
    let (mut file, block, mut count) = (File::create(&path)?, vec![7; BLOCK], 0);
    while Instant::now() < until {
        file.write_all(&block)?;
        file.sync_all()?;
        count += 1;
    }
    fs::remove_file(&path)?;
    Ok(count)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
