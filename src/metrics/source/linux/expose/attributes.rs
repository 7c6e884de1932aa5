//! Small files of /sys, each of them one value, read now and then and a few at a time.
//!
//! There may be thousands of them, one an interface, a sensor, a core, and a driver may take its
//! time to answer: some kernels sleep 10 ms to tell the frequency of one core, and a sensor behind
//! a slow bus takes as long. So values are kept, and a refresh stops when its time is up and goes
//! on from there the next time. Files that have never been read come first and have more time, for
//! a series that comes and goes is worse than one that is old; a file that stays keeps its value
//! when others come and go. Nothing is held open, for descriptors are few.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use crate::metrics::exposition::Exposition;

/// How old a value may become before it is read again. Half would read everything twice for two
/// scrapers; with double a temperature would be as old as the common scrape interval.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// How long one refresh may take, beside the file that it is at when time is up. A read takes about
/// 5 us: this is 1,000 of them, what 40 interfaces have. With a fifth they would be a minute old;
/// more would delay a tick by what a viewer could see.
pub const REFRESH_MAX: Duration = Duration::from_millis(5);

/// How long it may take for files that have never been read. Half would leave out some of 64
/// interfaces; there is hardly ever a reason for double.
pub const FIRST_MAX: Duration = Duration::from_millis(10);

/// How often a directory is listed again: devices come and go seldom.
pub const LISTED_EVERY: Duration = Duration::from_secs(30);

/// The most that is read of one file. Lists of frequency governors have about 80 bytes, names of
/// interfaces' aliases 256.
const BYTES_MAX: usize = 1024;

/// Files at most: 64 interfaces have 1,300. Beyond it files are not read at all.
const FILES_MAX: usize = 4096;

/// A file's place among [`Attributes`].
#[derive(Clone, Copy, Debug)]
pub struct Place(usize);

/// Files and their latest values.
#[derive(Default)]
pub struct Attributes {
    files: Vec<Attribute>,
    /// Those of before the latest [`Attributes::restart`] that have not been added again.
    former: HashMap<PathBuf, Attribute>,
    /// Where the next refresh begins.
    next: usize,
}

struct Attribute {
    path: PathBuf,
    value: Option<String>,
    read_at: Option<Duration>,
    kept_for: Duration,
}

impl Attribute {
    fn read(&mut self, now: Duration) {
        self.read_at = Some(now);
        self.value = read(&self.path);
    }
}

impl Attributes {
    /// Begins the list of files anew. One that is added again keeps its value.
    pub fn restart(&mut self) {
        let files = self.files.drain(..).map(|file| (file.path.clone(), file));
        self.former = files.collect();
        self.next = 0;
    }

    /// Adds a file.
    pub fn add(&mut self, path: PathBuf) -> Place {
        self.add_kept_for(KEPT_FOR, path)
    }

    /// Adds a file whose value may become as old as that.
    pub fn add_kept_for(&mut self, kept_for: Duration, path: PathBuf) -> Place {
        if self.files.len() == FILES_MAX {
            return Place(FILES_MAX);
        }
        let file = self.former.remove(&path);
        let file = file.unwrap_or(Attribute { path, value: None, read_at: None, kept_for });
        self.files.push(file);
        Place(self.files.len() - 1)
    }

    /// Reads what has never been read, and then what has not been for a while, as far as time
    /// allows.
    pub fn refresh(&mut self, now: Duration, out: &Exposition<'_>) {
        self.former = HashMap::new();
        let began = out.now();
        let spent = || out.now().saturating_sub(began);
        for file in self.files.iter_mut().filter(|file| file.read_at.is_none()) {
            file.read(now);
            if spent() >= FIRST_MAX {
                return;
            }
        }
        let count = self.files.len();
        for step in 0..count {
            let place = (self.next + step) % count;
            let file = &mut self.files[place];
            if file.read_at.is_some_and(|read_at| now < read_at + file.kept_for) {
                continue;
            }
            file.read(now);
            if spent() >= REFRESH_MAX {
                self.next = place + 1;
                return;
            }
        }
    }

    /// What a file said, without white space around it; `None` before it was read, and of one that
    /// is not there or gives nothing but an error.
    pub fn text(&self, place: Place) -> Option<&str> {
        self.line(place).map(str::trim)
    }

    /// The same, without the line end alone: node_exporter leaves blanks around labels.
    pub fn line(&self, place: Place) -> Option<&str> {
        self.files.get(place.0)?.value.as_deref()
    }

    /// The number that a file said.
    pub fn number(&self, place: Place) -> Option<f64> {
        self.text(place).and_then(number)
    }
}

/// The content of a small file, without its line end.
pub fn read(path: &std::path::Path) -> Option<String> {
    let mut bytes = [0; BYTES_MAX];
    let length = File::open(path).and_then(|mut file| file.read(&mut bytes)).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).trim_end_matches('\n').to_owned())
}

/// A whole number: decimal, negative or, with 0x before it, hexadecimal; or a plain decimal one.
pub fn number(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(|value| value as f64);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain && digits.len() <= 24)
}

/// The names in a directory, sorted as node_exporter sorts them and bounded, for an order that is
/// always the same.
pub fn names(path: &std::path::Path, limit: usize) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.take(limit).collect();
    names.sort();
    names
}

/// The names in a directory, looked at now and then.
#[derive(Debug)]
pub struct Listing {
    path: PathBuf,
    limit: usize,
    names: Vec<String>,
    next: Option<Duration>,
}

impl Listing {
    /// Of at most `limit` names.
    pub fn new(path: PathBuf, limit: usize) -> Listing {
        Listing { path, limit, names: Vec::new(), next: None }
    }

    /// The directory.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The names, if they have changed since the last time.
    pub fn changed(&mut self, now: Duration) -> Option<&[String]> {
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + LISTED_EVERY);
        let names = names(&self.path, self.limit);
        if names == self.names {
            return None;
        }
        self.names = names;
        Some(&self.names)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::*;
    use crate::metrics::exposition::Format;

    #[test]
    fn a_number_is_decimal_or_hexadecimal() {
        assert_eq!(number("-1"), Some(-1.0));
        assert_eq!(number("0x1003"), Some(4099.0));
        assert_eq!(number("45.5"), Some(45.5));
        for text in ["", "-", "0x", "1e3", "nan", "inf", "1 2", "unknown", &"9".repeat(400)] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    /// Files in a folder of their own, and a clock that finds `step` more at each look.
    struct Trial {
        folder: PathBuf,
        attributes: Attributes,
        places: Vec<Place>,
        step: Duration,
    }

    impl Trial {
        fn new(name: &str, step_ms: u64) -> Trial {
            let folder = format!("vitald-attributes-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            fs::create_dir_all(&folder).unwrap();
            let step = Duration::from_millis(step_ms);
            Trial { folder, attributes: Attributes::default(), places: Vec::new(), step }
        }

        fn add(&mut self, name: &str) {
            fs::write(self.folder.join(name), format!("{name}\n")).unwrap();
            self.places.push(self.attributes.add(self.folder.join(name)));
        }

        fn refresh(&mut self, second: u64) {
            let time = Cell::new(Duration::ZERO);
            let clock = || {
                time.set(time.get() + self.step);
                time.get()
            };
            let out = Exposition::new(Format::Text, 0, &clock);
            self.attributes.refresh(Duration::from_secs(second), &out);
        }

        fn known(&self) -> Vec<Option<f64>> {
            self.places.iter().map(|place| self.attributes.number(*place)).collect()
        }
    }

    impl Drop for Trial {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    #[test]
    fn a_refresh_stops_when_its_time_is_up_and_the_next_goes_on() {
        // Time for new files is up at the third, and for others at the second.
        let mut trial = Trial::new("time", 4);
        ["0", "1", "2", "3", "4"].into_iter().for_each(|name| trial.add(name));
        trial.refresh(0);
        assert_eq!(trial.known(), [Some(0.0), Some(1.0), Some(2.0), None, None]);
        trial.refresh(1);
        assert_eq!(trial.known(), [0.0, 1.0, 2.0, 3.0, 4.0].map(Some));
        for name in ["0", "1", "2"] {
            fs::write(trial.folder.join(name), "7").unwrap();
        }
        trial.refresh(9);
        assert_eq!(trial.known()[0], Some(0.0), "it is kept for ten seconds");
        trial.refresh(10);
        assert_eq!(trial.known()[..3], [Some(7.0), Some(7.0), Some(2.0)]);
        trial.refresh(10);
        assert_eq!(trial.known()[2], Some(7.0));
        fs::remove_dir_all(&trial.folder).unwrap();
        (0..3).for_each(|_| trial.refresh(30));
        assert_eq!(trial.known(), [None; 5]);
    }

    #[test]
    fn who_stays_keeps_its_value_and_who_comes_is_read_first() {
        let mut trial = Trial::new("list", 4);
        ["1", "2", "3"].into_iter().for_each(|name| trial.add(name));
        trial.refresh(0);
        trial.attributes.restart();
        trial.places.clear();
        ["2", "3", "8", "9"].into_iter().for_each(|name| trial.add(name));
        fs::write(trial.folder.join("2"), "7").unwrap();
        // The others are due, and there is time for two readings.
        trial.refresh(60);
        assert_eq!(trial.known(), [7.0, 3.0, 8.0, 9.0].map(Some));
        trial.refresh(60);
        assert_eq!(trial.known()[0], Some(7.0));
    }
}
