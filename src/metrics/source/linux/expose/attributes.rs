//! Small files of /sys, each of them one value, read now and then and a few at a time.
//!
//! There may be thousands of them, one an interface, a sensor, a core, and a driver may take its
//! time to answer: some kernels sleep 10 ms to tell the frequency of one core, and a sensor behind
//! a slow bus takes as long. So values are kept, and a refresh stops when its time is up and goes
//! on from there the next time. Nothing is held open, for descriptors are few.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use crate::metrics::exposition::Exposition;

/// How old a value may become before it is read again. Half would read everything twice for two
/// scrapers; with double a temperature would be as old as the common scrape interval.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// How long one refresh may take, beside the file that it is at when time is up. A read takes about
/// 5 us: this is 200 of them.
const REFRESH_MAX: Duration = Duration::from_millis(1);

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
    /// Where the next refresh begins.
    next: usize,
}

struct Attribute {
    path: PathBuf,
    value: Option<String>,
    read_at: Option<Duration>,
}

impl Attributes {
    /// Adds a file.
    pub fn add(&mut self, path: PathBuf) -> Place {
        if self.files.len() < FILES_MAX {
            self.files.push(Attribute { path, value: None, read_at: None });
            return Place(self.files.len() - 1);
        }
        Place(FILES_MAX)
    }

    /// Reads what has not been read for a while, as far as time allows.
    pub fn refresh(&mut self, now: Duration, out: &Exposition<'_>) {
        let began = out.now();
        let count = self.files.len();
        for step in 0..count {
            let place = (self.next + step) % count;
            let file = &mut self.files[place];
            if file.read_at.is_some_and(|read_at| now < read_at + KEPT_FOR) {
                continue;
            }
            file.read_at = Some(now);
            file.value = read(&file.path);
            if out.now().saturating_sub(began) >= REFRESH_MAX {
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

    #[test]
    fn a_refresh_stops_when_its_time_is_up_and_the_next_goes_on() {
        let folder = std::env::temp_dir().join(format!("vitald-attributes-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut attributes = Attributes::default();
        let places: Vec<Place> = (0..5)
            .map(|index| {
                fs::write(folder.join(index.to_string()), format!("{index}\n")).unwrap();
                attributes.add(folder.join(index.to_string()))
            })
            .collect();
        // Each look at the clock finds 0.4 ms more: time is up at the third file.
        let time = Cell::new(Duration::ZERO);
        let clock = || {
            time.set(time.get() + Duration::from_micros(400));
            time.get()
        };
        let out = Exposition::new(Format::Text, 0, &clock);
        let known = |attributes: &Attributes| -> Vec<bool> {
            places.iter().map(|place| attributes.number(*place).is_some()).collect()
        };
        attributes.refresh(Duration::ZERO, &out);
        assert_eq!(known(&attributes), [true, true, true, false, false]);
        attributes.refresh(Duration::from_secs(1), &out);
        assert_eq!(known(&attributes), [true; 5]);
        fs::write(folder.join("0"), "7").unwrap();
        attributes.refresh(Duration::from_secs(5), &out);
        assert_eq!(attributes.number(places[0]), Some(0.0), "it is kept for ten seconds");
        attributes.refresh(Duration::from_secs(10), &out);
        assert_eq!(attributes.number(places[0]), Some(7.0));
        fs::remove_dir_all(&folder).unwrap();
        attributes.refresh(Duration::from_secs(20), &out);
        attributes.refresh(Duration::from_secs(20), &out);
        assert_eq!(known(&attributes), [false; 5]);
    }
}
