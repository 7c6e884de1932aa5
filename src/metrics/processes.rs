//! The process table: its rows, what of it is wanted, and how it is told.
//!
//! Owns the data model that every system's reader fills in: a [`Table`] holds the rows of each
//! order that was asked for, with the memory of the scan before. Ranking is in `ranking`. Promises:
//! rows have fixed bounds ([`ROWS_MAX`], [`NAME_BYTES_MAX`], [`COMMAND_BYTES_MAX`]); a figure that
//! is not known is `null`; what a process calls itself is text without control characters; a
//! command line is told only to those who may see it. May import: rounding.

pub mod ranking;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::definition::Unit;
use super::selected::Rounded;

/// Rows of one order. The page shows 20; a hundred are three screens, and what their details cost
/// (three small files each) is a millisecond or two.
pub const ROWS_MAX: usize = 100;

/// Processes that one scan takes in, in the order in which the system lists them; those beyond are
/// left out. The usual pid_max of a small host.
pub const PROCESSES_MAX: usize = 32_768;

/// Bytes of a name. The kernel's own threads have names of up to 63.
pub const NAME_BYTES_MAX: usize = 64;

/// Bytes of a command line, which is cut behind them: a line of a wide terminal.
pub const COMMAND_BYTES_MAX: usize = 256;

/// By what rows are ranked, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Use of processors, then resident memory.
    Cpu,
    /// Resident memory.
    Memory,
    /// Bytes read from and written to storage in a second, then resident memory.
    Io,
}

/// Every order, by its index.
pub const ORDERS: [Order; 3] = [Order::Cpu, Order::Memory, Order::Io];

impl Order {
    /// The order of that name.
    pub fn parse(name: &str) -> Option<Order> {
        ORDERS.into_iter().find(|order| order.name() == name)
    }

    /// As requests and answers call it.
    pub fn name(self) -> &'static str {
        match self {
            Order::Cpu => "cpu",
            Order::Memory => "memory",
            Order::Io => "io",
        }
    }
}

/// What somebody asks of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The order.
    pub order: Order,
    /// Rows at most, up to [`ROWS_MAX`].
    pub limit: usize,
    /// Whether who asks may see command lines.
    pub with_commands: bool,
}

impl Question {
    /// What answers both, which ask for the same order.
    #[must_use]
    pub fn and(self, other: Question) -> Question {
        Question {
            order: self.order,
            limit: self.limit.max(other.limit),
            with_commands: self.with_commands || other.with_commands,
        }
    }
}

/// What all who watch ask of a scan together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    rows: [usize; ORDERS.len()],
    commands: bool,
}

impl Wanted {
    /// Adds a question.
    pub fn add(&mut self, question: Question) {
        let rows = &mut self.rows[question.order as usize];
        *rows = question.limit.min(ROWS_MAX).max(*rows);
        self.commands |= question.with_commands;
    }

    /// Takes an order back.
    pub fn remove(&mut self, order: Order) {
        self.rows[order as usize] = 0;
    }

    /// How many rows of an order are wanted; 0 when nobody asks for it.
    pub fn rows(&self, order: Order) -> usize {
        self.rows[order as usize]
    }

    /// Whether command lines are wanted.
    pub fn commands(&self) -> bool {
        self.commands
    }

    /// Whether what answers this answers `question` too.
    pub fn covers(&self, question: Question) -> bool {
        let rows = self.rows(question.order);
        rows > 0
            && rows >= question.limit.min(ROWS_MAX)
            && (self.commands || !question.with_commands)
    }
}

/// One process. Texts keep their memory from scan to scan; one that is empty is not known, but for
/// the name, which may be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its number.
    pub pid: u32,
    /// Who runs it (the effective user): the name, or the number as text.
    pub user: String,
    /// What the kernel calls it, at most [`NAME_BYTES_MAX`].
    pub name: String,
    /// Its command line, at most [`COMMAND_BYTES_MAX`]; kernel threads have none.
    pub command: String,
    /// Percent of one processor since the scan before: 100 is one processor full.
    pub cpu_usage: Option<f64>,
    /// Resident memory in bytes.
    pub rss: Option<u64>,
    /// Bytes read from storage in a second. Not known for an interval in which it has waited for a
    /// child that ended: the kernel adds all that the child has ever read to its parent's.
    pub read_bytes_per_s: Option<f64>,
    /// Bytes written to storage in a second; not known as above.
    pub write_bytes_per_s: Option<f64>,
    /// Threads.
    pub threads: Option<u32>,
    /// The letter of its first thread's state, as `ps` has it: R running, S sleeping, D waiting for
    /// storage, Z ended and not yet waited for, T stopped, I idle, and others.
    pub state: Option<char>,
    /// When it started, in Unix milliseconds.
    pub started_ms: Option<u64>,
}

impl Row {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        let Row { user, name, command, .. } = std::mem::take(self);
        *self = Row { user, name, command, ..Row::default() };
        self.user.clear();
        self.name.clear();
        self.command.clear();
    }
}

/// What a scan has found.
#[derive(Debug, Default)]
pub struct Table {
    /// When the scan began, in Unix milliseconds.
    pub time_ms: u64,
    /// Processes that it has seen.
    pub total: usize,
    /// Those of them whose first thread ran or was ready to.
    pub running: Option<usize>,
    /// What it answers.
    pub covers: Wanted,
    /// Rows, each once; only the first `used` are of this scan.
    rows: Vec<Row>,
    used: usize,
    /// For each order the places of its rows, the most first.
    places: [Vec<u16>; ORDERS.len()],
}

impl Table {
    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.places.iter_mut().for_each(Vec::clear);
        (self.total, self.running, self.covers) = (0, None, Wanted::default());
    }

    /// Appends a process to an order. `fill` makes its row, which is empty, unless another order
    /// has it already.
    pub fn push(&mut self, order: Order, pid: u32, fill: impl FnOnce(&mut Row)) {
        let found = self.rows().iter().position(|row| row.pid == pid);
        let place = found.unwrap_or_else(|| {
            if self.used == self.rows.len() {
                self.rows.push(Row::default());
            }
            let row = &mut self.rows[self.used];
            row.clear();
            row.pid = pid;
            fill(row);
            self.used += 1;
            self.used - 1
        });
        self.places[order as usize].push(place as u16);
    }

    /// The rows, in no order.
    pub fn rows(&self) -> &[Row] {
        &self.rows[..self.used]
    }

    /// The row at a place, to add to it.
    pub fn row_mut(&mut self, place: usize) -> Option<&mut Row> {
        self.rows[..self.used].get_mut(place)
    }

    /// The rows of an order.
    pub fn ranked(&self, order: Order) -> impl ExactSizeIterator<Item = &Row> {
        self.places[order as usize].iter().map(|place| &self.rows[usize::from(*place)])
    }

    /// The answer to a question, if this table has it.
    pub fn view(&self, question: Question) -> Option<View<'_>> {
        self.covers.covers(question).then_some(View { table: self, question })
    }
}

// Places are counted in 16 bits.
const _: () = assert!(ROWS_MAX * ORDERS.len() <= u16::MAX as usize);

/// A table as one who asks sees it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    table: &'a Table,
    question: Question,
}

impl View<'_> {
    /// What is told of all processes, as an object: `{"t","sort","total","running"}`.
    pub fn head(&self) -> impl Serialize {
        self.told(None::<()>)
    }

    /// The rows, each as an object.
    pub fn rows(&self) -> impl Iterator<Item = impl Serialize> {
        let Question { order, limit, with_commands } = self.question;
        self.table.ranked(order).take(limit).map(move |row| Shown { row, with_commands })
    }

    fn told<R>(&self, rows: Option<R>) -> Told<R> {
        let Table { time_ms, total, running, .. } = *self.table;
        Told { t: time_ms, sort: self.question.order.name(), total, running, rows }
    }
}

#[derive(Serialize)]
struct Told<R> {
    t: u64,
    sort: &'static str,
    total: usize,
    running: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<R>,
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.told(Some(Sequence(|| self.rows()))).serialize(serializer)
    }
}

/// A list that is made while it is written.
struct Sequence<F>(F);

impl<F, I> Serialize for Sequence<F>
where
    F: Fn() -> I,
    I: Iterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

struct Shown<'a> {
    row: &'a Row,
    with_commands: bool,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = self.row;
        let mut map = serializer.serialize_map(Some(11))?;
        map.serialize_entry("pid", &row.pid)?;
        map.serialize_entry("user", &some(&row.user))?;
        map.serialize_entry("name", &row.name)?;
        let command = some(&row.command).filter(|_| self.with_commands);
        map.serialize_entry("command", &command)?;
        map.serialize_entry("cpu_usage", &Rounded(row.cpu_usage, Unit::Percent))?;
        map.serialize_entry("rss", &row.rss)?;
        let per_second = Unit::BytesPerSecond;
        map.serialize_entry("read_bytes_per_s", &Rounded(row.read_bytes_per_s, per_second))?;
        map.serialize_entry("write_bytes_per_s", &Rounded(row.write_bytes_per_s, per_second))?;
        map.serialize_entry("threads", &row.threads)?;
        map.serialize_entry("state", &row.state)?;
        map.serialize_entry("started", &row.started_ms)?;
        map.end()
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Appends what a process says of itself to `out`, up to `bytes_max` bytes in all, an ellipsis for
/// what is cut among them. Bytes that are no UTF-8, control characters and those that turn the
/// direction of writing become U+FFFD: a name cannot reach into a terminal or disguise itself.
pub fn push_text(out: &mut String, bytes: &[u8], bytes_max: usize) {
    const ELLIPSIS: char = '\u{2026}';
    let mut chunks = bytes.utf8_chunks();
    // Where to cut if it comes to that.
    let mut cut = out.len();
    loop {
        let Some(chunk) = chunks.next() else { return };
        let replaced = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        for character in chunk.valid().chars().map(shown).chain(replaced) {
            if out.len() + ELLIPSIS.len_utf8() <= bytes_max {
                cut = out.len();
            }
            if out.len() + character.len_utf8() > bytes_max {
                out.truncate(cut);
                if cut + ELLIPSIS.len_utf8() <= bytes_max {
                    out.push(ELLIPSIS);
                }
                return;
            }
            out.push(character);
        }
    }
}

fn shown(character: char) -> char {
    let turns = matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    if character.is_control() || turns { char::REPLACEMENT_CHARACTER } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question(order: Order, limit: usize, with_commands: bool) -> Question {
        Question { order, limit, with_commands }
    }

    #[test]
    fn a_scan_answers_what_it_was_asked_and_less() {
        let mut wanted = Wanted::default();
        wanted.add(question(Order::Cpu, 10, false));
        wanted.add(question(Order::Cpu, 5, false));
        wanted.add(question(Order::Io, 1000, false));
        for (order, limit, with_commands, is_covered) in [
            (Order::Cpu, 10, false, true),
            (Order::Cpu, 1, false, true),
            (Order::Cpu, 11, false, false),
            (Order::Cpu, 1, true, false),
            (Order::Memory, 1, false, false),
            (Order::Io, ROWS_MAX, false, true),
            (Order::Io, 1000, false, true),
        ] {
            let asked = question(order, limit, with_commands);
            assert_eq!(wanted.covers(asked), is_covered, "{asked:?}");
        }
        wanted.remove(Order::Cpu);
        assert!(!wanted.covers(question(Order::Cpu, 1, false)));
    }

    #[test]
    fn a_table_is_told_as_the_contract_has_it() {
        let mut table = Table { time_ms: 5, total: 2, ..Table::default() };
        table.covers.add(question(Order::Cpu, 2, true));
        for pid in [7, 8] {
            table.push(Order::Cpu, pid, |row| row.name.push_str("a\"b"));
        }
        let row = table.row_mut(0).unwrap();
        row.command.push_str("a --b");
        (row.cpu_usage, row.rss, row.threads) = (Some(99.96), Some(4096), Some(1));
        (row.read_bytes_per_s, row.state, row.started_ms) = (Some(0.4), Some('R'), Some(1));
        let told = |with_commands| {
            let view = table.view(question(Order::Cpu, 1, with_commands)).unwrap();
            serde_json::to_string(&view).unwrap()
        };
        assert_eq!(
            told(true),
            "{\"t\":5,\"sort\":\"cpu\",\"total\":2,\"running\":null,\"rows\":[{\"pid\":7,\
             \"user\":null,\"name\":\"a\\\"b\",\"command\":\"a --b\",\"cpu_usage\":100,\
             \"rss\":4096,\"read_bytes_per_s\":0,\"write_bytes_per_s\":null,\"threads\":1,\
             \"state\":\"R\",\"started\":1}]}"
        );
        assert!(told(false).contains("\"command\":null"));
    }

    #[test]
    fn a_row_that_is_used_again_keeps_nothing() {
        let mut table = Table::default();
        table.push(Order::Cpu, 7, |row| {
            row.command.push_str("old");
            row.rss = Some(1);
        });
        table.clear();
        table.push(Order::Io, 9, |_| {});
        assert_eq!(table.rows(), [Row { pid: 9, ..Row::default() }]);
        assert_eq!((table.ranked(Order::Cpu).len(), table.ranked(Order::Io).len()), (0, 1));
    }

    #[test]
    fn a_text_ends_with_an_ellipsis_exactly_where_it_is_cut() {
        for (bytes, bytes_max, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abc\u{2026}"),
            ("\u{e4}\u{e4}\u{e4}", 6, "\u{e4}\u{e4}\u{e4}"),
            ("\u{e4}\u{e4}\u{e4}x", 6, "\u{e4}\u{2026}"),
            ("abcd", 3, "\u{2026}"),
            ("abc", 2, ""),
            ("", 0, ""),
        ] {
            let mut out = String::new();
            push_text(&mut out, bytes.as_bytes(), bytes_max);
            assert_eq!(out, expected, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_become_a_text_within_its_bound(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            bytes_max in 0..100usize,
        ) {
            let mut out = String::new();
            push_text(&mut out, &bytes, bytes_max);
            prop_assert!(out.len() <= bytes_max);
            prop_assert!(!out.contains(char::is_control));
            if let Ok(text) = str::from_utf8(&bytes)
                && text.len() <= bytes_max
                && !text.contains(|character| shown(character) != character)
            {
                prop_assert_eq!(out, text);
            }
        }
    }
}
