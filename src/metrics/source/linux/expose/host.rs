//! The collectors entropy, filefd, os, time and uname: the host as a whole.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::file::HeldFile;
use super::super::text;
use super::attributes::{Attributes, LISTED_EVERY, Listing, Place};
use crate::metrics::exposition::{Exposition, Kind};

/// The most that is read of os-release. It is under 1 KB.
const RELEASE_BYTES_MAX: u64 = 16 << 10;

/// Sources of the clock that are told apart.
const CLOCKS_MAX: usize = 8;

/// Labels of node_os_info and the names that os-release(5) has for them.
const RELEASE: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

/// Reads what there is one of.
pub struct Host {
    release_paths: [PathBuf; 2],
    release: Option<Release>,
    release_next: Option<Duration>,
    entropy: HeldFile,
    entropy_pool: HeldFile,
    clocks: Listing,
    clock_files: Attributes,
    clock_places: Vec<(String, [Place; 2])>,
}

/// What os-release says.
struct Release {
    values: [String; RELEASE.len()],
    /// Unix time at which support ends.
    support_end: Option<i64>,
}

impl Host {
    pub fn new(root: &Path) -> Host {
        let random = root.join("proc/sys/kernel/random");
        let held = |name: &str| HeldFile::of_one_record(random.join(name));
        Host {
            release_paths: ["etc/os-release", "usr/lib/os-release"].map(|path| root.join(path)),
            release: None,
            release_next: None,
            entropy: held("entropy_avail"),
            entropy_pool: held("poolsize").reopened(),
            clocks: Listing::new(root.join("sys/devices/system/clocksource"), CLOCKS_MAX),
            clock_files: Attributes::default(),
            clock_places: Vec::new(),
        }
    }

    pub fn entropy(
        &mut self,
        now: Duration,
        buffer: &mut Vec<u8>,
        out: &mut Exposition<'_>,
    ) -> bool {
        let mut read = |file: &mut HeldFile| {
            file.read(now, buffer).and_then(|bytes| text::number(bytes.trim_ascii()))
        };
        let (available, pool) = (read(&mut self.entropy), read(&mut self.entropy_pool));
        out.gauge("node_entropy_available_bits", "Bits of available entropy.", available);
        out.gauge("node_entropy_pool_size_bits", "Bits of entropy pool.", pool);
        available.is_some()
    }

    /// /etc/os-release (os-release(5)).
    pub fn release(&mut self, now: Duration, out: &mut Exposition<'_>) -> bool {
        if self.release_next.is_none_or(|next| now >= next) {
            self.release_next = Some(now + LISTED_EVERY);
            self.release = self.release_paths.iter().find_map(|path| read_release(path));
        }
        let Some(Release { values, support_end }) = &self.release else { return false };
        let labels: [(&str, &str); RELEASE.len()] =
            std::array::from_fn(|index| (RELEASE[index].0, values[index].as_str()));
        let help = "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, \
            image_version, name, pretty_name, variant, variant_id, version, version_codename, \
            version_id.";
        let family = out.family("node_os_info", help, Kind::Gauge);
        out.sample(family, &labels, 1);
        if let Some(version) = major_minor(&values[11]) {
            let help = "Metric containing the major.minor part of the OS version.";
            let family = out.family("node_os_version", help, Kind::Gauge);
            out.sample(family, &[labels[1], labels[2], labels[5]], version);
        }
        let help = "Metric containing the end-of-life date timestamp of the OS.";
        let support_end = support_end.map(|seconds| seconds as f64);
        out.gauge("node_os_support_end_timestamp_seconds", help, support_end);
        true
    }

    /// The time of day, and where the kernel has it from.
    pub fn time(&mut self, wall_ms: u64, now: Duration, out: &mut Exposition<'_>) -> bool {
        let help = "System time in seconds since epoch (1970).";
        out.gauge("node_time_seconds", help, Some(wall_ms as f64 / 1000.0));
        let folder = self.clocks.path().to_owned();
        if let Some(names) = self.clocks.changed(now) {
            self.clock_files.restart();
            let numbers = names.iter().filter_map(|name| name.strip_prefix("clocksource"));
            let files = ["available_clocksource", "current_clocksource"];
            let places = numbers.map(|number| {
                let path = folder.join(format!("clocksource{number}"));
                (number.to_owned(), files.map(|file| self.clock_files.add(path.join(file))))
            });
            self.clock_places = places.collect();
        }
        self.clock_files.refresh(now, out);
        for (index, (name, help)) in [
            (
                "node_time_clocksource_available_info",
                "Available clocksources read from '/sys/devices/system/clocksource'.",
            ),
            (
                "node_time_clocksource_current_info",
                "Current clocksource read from '/sys/devices/system/clocksource'.",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let family = out.family(name, help, Kind::Gauge);
            for (number, places) in &self.clock_places {
                let sources = self.clock_files.text(places[index]).unwrap_or_default();
                for source in sources.split_ascii_whitespace() {
                    out.sample(family, &[("device", number), ("clocksource", source)], 1);
                }
            }
        }
        true
    }
}

/// /proc/sys/fs/file-nr: handles allocated, unused, and the most.
pub fn file_handles(bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    let mut words = text::words(bytes).map(text::number);
    let (allocated, most) = (words.next().flatten(), words.nth(1).flatten());
    out.gauge("node_filefd_allocated", "File descriptor statistics: allocated.", allocated);
    out.gauge("node_filefd_maximum", "File descriptor statistics: maximum.", most);
    allocated.is_some()
}

/// What uname(2) says.
pub fn kernel_name(out: &mut Exposition<'_>) -> bool {
    let name = rustix::system::uname();
    let help = "Labeled system information as provided by the uname system call.";
    let family = out.family("node_uname_info", help, Kind::Gauge);
    let labels = [
        ("sysname", name.sysname()),
        ("release", name.release()),
        ("version", name.version()),
        ("machine", name.machine()),
        ("nodename", name.nodename()),
        ("domainname", name.domainname()),
    ];
    let texts = labels.map(|(label, text)| (label, text.to_string_lossy()));
    let labels: [(&str, &str); 6] = std::array::from_fn(|at| (texts[at].0, texts[at].1.as_ref()));
    out.sample(family, &labels, 1);
    true
}

fn read_release(path: &Path) -> Option<Release> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(RELEASE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let value = |name: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| unquote(value))
    };
    let values = RELEASE.map(|(_, name)| value(name).unwrap_or_default());
    Some(Release { values, support_end: value("SUPPORT_END").and_then(|date| midnight(&date)) })
}

/// The Unix time of a date's beginning in UTC: 2026-06-30.
fn midnight(date: &str) -> Option<i64> {
    let mut parts = date.split('-').map(|part| text::number(part.as_bytes()));
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || date.len() != 10 || !(1..=days).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the day that comes and goes is their last.
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    // From 0000-03-01 to 1970-01-01.
    Some((i64::try_from(days).ok()? - 719_468) * 86_400)
}

/// A shell's word: quotes of either kind around it, and backslashes before what would end it.
fn unquote(word: &str) -> String {
    let word = word.trim();
    if let Some(inner) = word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return inner.to_owned();
    }
    let inner = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let mut letters = inner.unwrap_or(word).chars();
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        text.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    text
}

/// The number that a version begins with: 12 of 12, 24.04 of 24.04.1.
fn major_minor(version: &str) -> Option<f64> {
    let is_digit = |letter: char| letter.is_ascii_digit();
    let major = version.find(|letter| !is_digit(letter)).unwrap_or(version.len());
    let minor = version[major..].strip_prefix('.').unwrap_or_default();
    let minor = &minor[..minor.find(|letter| !is_digit(letter)).unwrap_or(minor.len())];
    let version = format!("{}.{minor}", &version[..major]);
    version.parse().ok().filter(|_| major > 0 && version.len() <= 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_their_quotes() {
        assert_eq!(unquote("debian"), "debian");
        assert_eq!(unquote("\"Debian GNU/Linux 12 (bookworm)\""), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(unquote("'it is'"), "it is");
        assert_eq!(unquote(r#""a \"b\" \$c""#), "a \"b\" $c");
        assert_eq!(unquote("\""), "\"");
        assert_eq!(unquote("\\"), "");
    }

    #[test]
    fn a_date_begins_at_midnight_in_utc() {
        for (date, seconds) in [
            ("1970-01-01", Some(0)),
            ("2000-02-29", Some(951_782_400)),
            ("2026-06-30", Some(1_782_777_600)),
            ("2029-04-25", Some(1_871_769_600)),
            ("1969-12-31", Some(-86_400)),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("2026-00-01", None),
            ("2026-6-30", None),
            ("2026-06-30-1", None),
            ("0000-01-01", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(midnight(date), seconds, "{date}");
        }
    }

    #[test]
    fn a_version_is_its_first_two_numbers() {
        let seen = ["12", "24.04.1", "3.20_alpha", "", "rolling", ".5", "7."].map(major_minor);
        assert_eq!(seen, [Some(12.0), Some(24.04), Some(3.20), None, None, None, Some(7.0)]);
    }
}
