//! The log files: `functions-v1-00000001.jsonl`, `functions-v1-00000002.jsonl`, …; one JSON object a line. A full file is
//! followed by the next number; the oldest is deleted when there are too many.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::LogRecord;

/// Bounds of the log on disk: at most `file_bytes * files`, and a line.
#[derive(Debug, Clone, Copy)]
pub struct FileLimits {
    pub file_bytes: u64,
    pub files: usize,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self { file_bytes: 16 << 20, files: 8 }
    }
}

/// The number in it is that of the format: files of a later one are not read, and those of this one stay as they are.
const PREFIX: &str = "functions-v1-";
/// How much of the files is read back at start. Bytes.
const READ_BACK_BYTES: u64 = 2 << 20;

/// The file that is being written.
pub(super) struct LogFiles {
    dir: PathBuf,
    limits: FileLimits,
    number: u64,
    bytes: u64,
    file: BufWriter<File>,
}

impl LogFiles {
    /// Goes on with the newest file.
    pub(super) fn open(dir: &Path, limits: FileLimits) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let number = numbers(dir)?.last().copied().unwrap_or(1);
        let mut file = append_to(dir, number)?;
        let bytes = file.seek(SeekFrom::End(0))?;
        let mut files =
            Self { dir: dir.to_owned(), limits, number, bytes, file: BufWriter::new(file) };
        // A line that a crash cut short must not swallow the next one.
        if bytes > 0 {
            files.write(b"\n")?;
        }
        Ok(files)
    }

    pub(super) fn append(&mut self, record: &LogRecord) -> io::Result<()> {
        if self.bytes >= self.limits.file_bytes {
            self.rotate()?;
        }
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.write(&line)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.number += 1;
        self.file = BufWriter::new(append_to(&self.dir, self.number)?);
        self.bytes = 0;
        let numbers = numbers(&self.dir)?;
        let surplus = numbers.len().saturating_sub(self.limits.files.max(1));
        numbers[..surplus].iter().try_for_each(|old| fs::remove_file(path(&self.dir, *old)))
    }
}

/// The newest lines in the files of `dir`, oldest first. Lines that cannot be read are skipped.
pub(super) fn read_newest(dir: &Path) -> io::Result<Vec<LogRecord>> {
    fs::create_dir_all(dir)?;
    let (mut tails, mut left) = (Vec::new(), READ_BACK_BYTES);
    for number in numbers(dir)?.into_iter().rev() {
        let tail = read_tail(&path(dir, number), left)?;
        left -= tail.len() as u64;
        tails.push(tail);
        if left == 0 {
            break;
        }
    }
    let lines = tails.iter().rev().flat_map(|tail| tail.split(|byte| *byte == b'\n'));
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn read_tail(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(max_bytes)))?;
    let mut tail = Vec::new();
    file.take(max_bytes).read_to_end(&mut tail)?;
    Ok(tail)
}

/// The numbers of the files that exist, in order.
fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    let number = |name: &str| name.strip_prefix(PREFIX)?.strip_suffix(".jsonl")?.parse().ok();
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name.to_str()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{PREFIX}{number:08}.jsonl"))
}

fn append_to(dir: &Path, number: u64) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path(dir, number))
}

#[cfg(test)]
mod tests {
    use super::{super::record::tests::record, *};

    #[test]
    fn the_files_stay_within_their_limits() {
        let dir = tempfile::tempdir().unwrap();
        let limits = FileLimits { file_bytes: 1000, files: 3 };
        let mut files = LogFiles::open(dir.path(), limits).unwrap();
        for n in 0..100 {
            files.append(&record(&format!("{n}"))).unwrap();
        }
        files.flush().unwrap();
        assert_eq!(numbers(dir.path()).unwrap().len(), 3);
        let size = |number: &u64| fs::metadata(path(dir.path(), *number)).unwrap().len();
        let total: u64 = numbers(dir.path()).unwrap().iter().map(size).sum();
        assert!(total < 3 * 1500, "{total}");
        let newest = read_newest(dir.path()).unwrap();
        assert_eq!(newest.last().unwrap().message, "99");
    }
}
