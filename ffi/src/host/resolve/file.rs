//! A file with a list of endpoints, read again when it changes. It is looked at once a second, which works on every
//! file system and with files that are replaced (write another, rename it over: the list is never seen half).

use super::{Answer, Found};
use grpclb_core::balancer::EndpointList;
use grpclb_core::time::{Duration, Instant};
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// A file that changed less long ago may change again without its stamp showing it: it is read again.
const FRESH: Duration = Duration::from_secs(2);

/// Lists are small; more is a mistake (`/dev/zero`, say).
const MAX_SIZE: u64 = 64 << 20;

/// One file.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    /// What was answered last; nothing at first.
    last: Option<Result<String, String>>,
    stamp: Option<Stamp>,
    /// When to look again. Nobody asked yet when there is none.
    due: Option<Instant>,
}

/// Tells one state of a file from another, most of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: (u64, u64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Stamp {
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let inode = (0, 0);
        Stamp { modified: metadata.modified().ok(), len: metadata.len(), inode }
    }

    fn is_fresh(&self) -> bool {
        let age = self.modified.map(|modified| modified.elapsed());
        // A time in the future is an error, and as good as fresh.
        !matches!(age, Some(Ok(age)) if age >= FRESH)
    }
}

impl File {
    pub(crate) fn new(path: PathBuf) -> File {
        File { path, last: None, stamp: None, due: None }
    }

    pub(crate) fn request(&mut self, now: Instant) {
        self.due = Some(now);
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Option<Answer> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        self.due = Some(now.after(INTERVAL));
        let found = self.look()?;
        // Only what is new is answered, but an error each time: the balancer counts them.
        if found.is_ok() && self.last.as_ref() == Some(&found) {
            return None;
        }
        let answer = match &found {
            Ok(text) => self.parse(text),
            Err(error) => Err(error.clone()),
        };
        self.last = Some(found);
        Some(answer)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The text, or why there is none; `None`: as it was.
    fn look(&mut self) -> Option<Result<String, String>> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", self.path.display());
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.stamp = None;
                return Some(Err(failed(&error)));
            }
        };
        let stamp = Stamp::of(&metadata);
        if self.stamp == Some(stamp) && !stamp.is_fresh() {
            return None;
        }
        if stamp.len == 0 && stamp.is_fresh() && self.last.is_some() {
            // Emptied to be written anew, most likely: see what comes.
            return None;
        }
        if stamp.len > MAX_SIZE {
            return Some(Err(failed(&format_args!("{} octets are no list", stamp.len))));
        }
        if metadata.is_dir() {
            return Some(Err(failed(&"it is a directory")));
        }
        let text = fs::read_to_string(&self.path).map_err(|error| failed(&error));
        self.stamp = text.is_ok().then_some(stamp);
        Some(text)
    }

    fn parse(&self, text: &str) -> Answer {
        EndpointList::new(text)
            .map(|line| line.map(|line| Found { address: line.address.into(), weight: line.weight }))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnedAddress;
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    /// A path of this test's own, removed at its end.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Temporary {
            let path = std::env::temp_dir().join(format!("grpclb-{}-{name}", std::process::id()));
            let _ = fs::remove_file(&path);
            Temporary(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn changes_are_seen_and_nothing_else() {
        let path = Temporary::new("changes");
        let mut file = File::new(path.0.clone());
        assert_eq!(file.poll(at(0)), None, "nobody asked");
        file.request(at(0));
        let error = file.poll(at(0)).expect("an answer").expect_err("no file yet");
        assert!(error.starts_with("cannot read ") && error.contains("changes"), "{error}");

        fs::write(&path.0, "127.0.0.1:1\n").unwrap();
        assert_eq!(file.poll(at(0)), None, "not due");
        assert_eq!(file.poll(at(1)).expect("an answer").expect("a list").len(), 1);
        assert_eq!(file.poll(at(2)), None, "unchanged");

        // Replaced by one of the same length.
        let other = Temporary::new("other");
        fs::write(&other.0, "127.0.0.1:2\n").unwrap();
        fs::rename(&other.0, &path.0).unwrap();
        let list = file.poll(at(3)).expect("an answer").expect("a list");
        assert_eq!(list[0].address, OwnedAddress::Ip("127.0.0.1:2".parse().unwrap()));

        // A moment's emptiness is not a list.
        fs::write(&path.0, "").unwrap();
        assert_eq!(file.poll(at(4)), None);
        fs::write(&path.0, "127.0.0.1:2 4\n127.0.0.1:3\n").unwrap();
        let list = file.poll(at(5)).expect("an answer").expect("a list");
        assert_eq!(list.iter().map(|found| found.weight).collect::<Vec<_>>(), [4, 1]);

        fs::write(&path.0, "127.0.0.1:2 x\n").unwrap();
        let error = file.poll(at(6)).expect("an answer").expect_err("not a weight");
        assert!(error.contains("line 1"), "{error}");
    }
}
