//! What a Prometheus server reads: text format 0.0.4 and OpenMetrics 1.0.
//!
//! [`Exposition`] collects families of samples in whatever order they are found and writes them
//! sorted by name, each family whole, as both formats ask. Owns what it has been given until it is
//! written. Promises: names are valid, texts are escaped, no series comes twice, and it stops
//! growing at the limit it was made with: [`Exposition::is_too_long`] then says so, and what there
//! is of it is not for sending. It has no clock of its own. May import: std only.
//!
//! Formats: <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::borrow::Cow;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::ops::Range;
use std::time::Duration;

pub mod own;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text format 0.0.4, which every Prometheus reads.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// What a family's samples mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever rises, but for a restart. The name ends with `_total`.
    Counter,
    /// Rises and falls.
    Gauge,
    /// The one who reads has to know.
    Untyped,
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number, written with every digit.
    Whole(u64),
    /// Any number, written with as many digits as tell it from its neighbours.
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Number {
        Number::Whole(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Number {
        Number::Real(value)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Number {
        Number::Whole(value.into())
    }
}

/// A family of an [`Exposition`], to add samples to.
#[derive(Clone, Copy, Debug)]
pub struct FamilyId(usize);

struct Family {
    /// The name of its samples.
    name: Cow<'static, str>,
    help: Cow<'static, str>,
    kind: Kind,
}

/// One sample: whose it is, and where its line is.
struct Sample {
    family: usize,
    line: Range<usize>,
}

/// Families of samples on their way to a Prometheus server.
pub struct Exposition<'a> {
    format: Format,
    bytes_max: usize,
    clock: &'a dyn Fn() -> Duration,
    families: Vec<Family>,
    samples: Vec<Sample>,
    /// The lines of all samples.
    lines: Vec<u8>,
    /// Where each family is, by the name under which it is announced.
    places: BTreeMap<Cow<'static, str>, usize>,
    /// A hash of each series. Two that share one by chance, once in 10^12 answers of 3,000 series,
    /// lose one of them, which costs less than keeping every series twice.
    series: HashSet<u64>,
    bytes: usize,
}

/// Bytes that a family's two announcements take beside its name, twice, and its help.
const ANNOUNCEMENT_BYTES: usize = "# HELP  \n# TYPE  unknown\n".len();

/// What OpenMetrics ends with.
const END: &[u8] = b"# EOF\n";

impl<'a> Exposition<'a> {
    /// An empty one of at most `bytes_max` bytes. `clock` is monotonic time since any origin, by
    /// which collectors are timed.
    pub fn new(format: Format, bytes_max: usize, clock: &'a dyn Fn() -> Duration) -> Self {
        Exposition {
            format,
            bytes_max,
            clock,
            families: Vec::new(),
            samples: Vec::new(),
            lines: Vec::new(),
            places: BTreeMap::new(),
            series: HashSet::new(),
            bytes: 0,
        }
    }

    /// The time at this very moment.
    pub fn now(&self) -> Duration {
        (self.clock)()
    }

    /// The family called `name`: a new one, or the one there is, whose help and kind stay. `None`
    /// when it cannot be: the name is none for its kind, another family has it, or there is no
    /// room.
    pub fn family(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        kind: Kind,
    ) -> Option<FamilyId> {
        let name = name.into();
        if !is_name(&name) || is_total(&name) != (kind == Kind::Counter) || self.is_too_long() {
            return None;
        }
        let announced = announced(&name, kind);
        if let Some(&place) = self.places.get(announced) {
            let known = &self.families[place];
            return (known.kind == kind && known.name == name).then_some(FamilyId(place));
        }
        let place = self.families.len();
        let help = help.into();
        let escapes = help.bytes().filter(|byte| is_escaped(*byte)).count();
        self.bytes += ANNOUNCEMENT_BYTES + 2 * name.len() + help.len() + escapes;
        let key = match announced.len() == name.len() {
            true => name.clone(),
            false => Cow::Owned(announced.to_owned()),
        };
        self.places.insert(key, place);
        self.families.push(Family { name, help, kind });
        Some(FamilyId(place))
    }

    /// Adds a sample. The first of a series stays; one that there is no room for is left out, and so
    /// is a count below nothing.
    pub fn sample(
        &mut self,
        family: Option<FamilyId>,
        labels: &[(&str, &str)],
        value: impl Into<Number>,
    ) {
        let Some(FamilyId(place)) = family else { return };
        let value = value.into();
        // A file that says a count is below nothing has not been read right.
        let is_nonsense = self.families[place].kind == Kind::Counter
            && matches!(value, Number::Real(value) if value.is_nan() || value < 0.0);
        if is_nonsense || self.is_too_long() {
            return;
        }
        let start = self.lines.len();
        self.lines.extend_from_slice(self.families[place].name.as_bytes());
        write_labels(labels, &mut self.lines);
        let mut hasher = DefaultHasher::new();
        self.lines[start..].hash(&mut hasher);
        if !self.series.insert(hasher.finish()) {
            self.lines.truncate(start);
            return;
        }
        self.lines.push(b' ');
        write_number(value, &mut self.lines);
        self.lines.push(b'\n');
        self.bytes += self.lines.len() - start;
        self.samples.push(Sample { family: place, line: start..self.lines.len() });
    }

    /// A gauge without labels; nothing where there is no value.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        value: Option<impl Into<Number>>,
    ) {
        self.single(name, help, Kind::Gauge, value);
    }

    /// A counter without labels; nothing where there is no value.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        value: Option<impl Into<Number>>,
    ) {
        self.single(name, help, Kind::Counter, value);
    }

    fn single(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        value: Option<impl Into<Number>>,
    ) {
        if let Some(value) = value {
            let family = self.family(name, help, kind);
            self.sample(family, &[], value);
        }
    }

    /// Runs one collector, and tells under its name how long it took and whether it found anything.
    pub fn collector(&mut self, name: &str, collect: impl FnOnce(&mut Self) -> bool) {
        let began = self.now();
        let is_found = collect(self);
        let took = self.now().saturating_sub(began);
        let labels = [("collector", name)];
        let help = "Duration of a collector scrape.";
        let family = self.family("node_scrape_collector_duration_seconds", help, Kind::Gauge);
        self.sample(family, &labels, took.as_secs_f64());
        let help = "Whether a collector succeeded.";
        let family = self.family("node_scrape_collector_success", help, Kind::Gauge);
        self.sample(family, &labels, is_found);
    }

    /// Whether there was more than it may hold.
    pub fn is_too_long(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// As many bytes as it may be written with: an end, which is not in the sum, has six.
    pub fn len_max(&self) -> usize {
        self.bytes + END.len()
    }

    /// Appends all of it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Exactly: more would count for as long as it is sent.
        out.reserve_exact(self.len_max());
        let mut samples: Vec<&Sample> = self.samples.iter().collect();
        // Stable: within a family they stay in the order in which they came.
        samples.sort_by_key(|sample| sample.family);
        for (announced, &place) in &self.places {
            let family = &self.families[place];
            let first = samples.partition_point(|sample| sample.family < place);
            let own = samples[first..].iter().take_while(|sample| sample.family == place);
            let mut own = own.peekable();
            if own.peek().is_none() {
                continue;
            }
            match self.format {
                Format::Text => {
                    write_line(out, "HELP", &family.name, |out| {
                        write_escaped(&family.help, false, out)
                    });
                    write_line(out, "TYPE", &family.name, |out| {
                        out.extend_from_slice(type_name(family.kind, "untyped").as_bytes());
                    });
                }
                Format::OpenMetrics => {
                    write_line(out, "TYPE", announced, |out| {
                        out.extend_from_slice(type_name(family.kind, "unknown").as_bytes());
                    });
                    write_line(out, "HELP", announced, |out| {
                        write_escaped(&family.help, true, out)
                    });
                }
            }
            for sample in own {
                out.extend_from_slice(&self.lines[sample.line.clone()]);
            }
        }
        if self.format == Format::OpenMetrics {
            out.extend_from_slice(END);
        }
    }
}

/// The name under which OpenMetrics announces a family: a counter's without its suffix.
fn announced(name: &str, kind: Kind) -> &str {
    match kind {
        Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
        Kind::Gauge | Kind::Untyped => name,
    }
}

/// Whether it is a metric's name.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    bytes.next().is_some_and(is_first) && bytes.all(|byte| is_first(byte) || byte.is_ascii_digit())
}

/// Whether a name is a counter's: OpenMetrics tells them by it, and promtool asks that no other has
/// it.
fn is_total(name: &str) -> bool {
    name.strip_suffix("_total").is_some_and(|rest| !rest.is_empty())
}

fn type_name(kind: Kind, untyped: &'static str) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Untyped => untyped,
    }
}

fn write_line(out: &mut Vec<u8>, word: &str, name: &str, rest: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"# ");
    out.extend_from_slice(word.as_bytes());
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
    rest(out);
    out.push(b'\n');
}

/// Whether [`write_escaped`] may write two bytes for it.
fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'\\' | b'\n' | b'"')
}

/// Escapes backslashes and line ends, and quotes where the text stands in them or OpenMetrics asks.
/// There are hardly ever any.
fn write_escaped(text: &str, with_quotes: bool, out: &mut Vec<u8>) {
    if !text.bytes().any(is_escaped) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if with_quotes => out.extend_from_slice(b"\\\""),
            _ => out.push(byte),
        }
    }
}

fn write_labels(labels: &[(&str, &str)], out: &mut Vec<u8>) {
    for (index, (name, value)) in labels.iter().enumerate() {
        debug_assert!(is_name(name) && !name.contains(':'), "{name} is no label");
        out.push(if index == 0 { b'{' } else { b',' });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"=\"");
        write_escaped(value, true, out);
        out.push(b'"');
    }
    if !labels.is_empty() {
        out.push(b'}');
    }
}

fn write_number(value: Number, out: &mut Vec<u8>) {
    let result = match value {
        Number::Whole(value) => write!(out, "{value}"),
        Number::Real(value) if value.is_nan() => write!(out, "NaN"),
        Number::Real(value) if value.is_infinite() => {
            write!(out, "{}Inf", if value > 0.0 { '+' } else { '-' })
        }
        Number::Real(value) => write!(out, "{value}"),
    };
    result.expect("memory takes whatever is written to it");
}

#[cfg(test)]
pub(crate) mod tests;
