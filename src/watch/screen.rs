//! Standard output: lines, and a head over them.
//!
//! Promises: a line is written whole and at once; the head stands again before it has left a
//! terminal of any height, and whenever the columns change. Writes to what it is given; knows no
//! network. Imports nothing of the crate but the columns.

use std::io::{self, Write};

use serde_json::Value;

use super::columns::Column;
use super::{format, heads};

/// Lines from one head to the next where there is no terminal to ask.
const LINES_DEFAULT: usize = 20;

/// Lines that a head and the cursor take of a terminal.
const LINES_TAKEN: usize = 3;

/// Where lines go to.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    /// Lines since the head.
    lines: usize,
    /// Paths of the columns that the last head was for.
    paths: Vec<String>,
    has_head: bool,
}

impl<W: Write> Screen<W> {
    /// Nothing has been written yet.
    pub fn new(out: W) -> Screen<W> {
        Screen { out, lines: 0, paths: Vec::new(), has_head: false }
    }

    /// The next line has the head over it again.
    pub fn forget_head(&mut self) {
        self.has_head = false;
    }

    /// Writes a sample's line, after the head where that is due. `rows` is the height of the
    /// terminal, if there is one.
    ///
    /// # Errors
    /// Those of writing.
    pub fn sample(
        &mut self,
        sample: &Value,
        columns: &[Column],
        rows: Option<u16>,
    ) -> io::Result<()> {
        let is_same = self.paths.iter().eq(columns.iter().map(|column| &column.path));
        let mut text = String::new();
        if !self.has_head || !is_same || self.lines >= lines_per_head(rows) {
            self.paths = columns.iter().map(|column| column.path.clone()).collect();
            (self.has_head, self.lines) = (true, 0);
            for line in heads::lines(columns) {
                text.push_str(&line);
                text.push('\n');
            }
        }
        self.lines += 1;
        text.push_str(&format::time_of_day(sample["t"].as_u64()));
        for column in columns {
            text.push(' ');
            text.push_str(&column.cell);
        }
        self.line(&text)
    }

    /// Writes a line.
    ///
    /// # Errors
    /// Those of writing.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(format!("{text}\n").as_bytes())?;
        self.out.flush()
    }
}

/// How many lines a head is for. A terminal says 0 where it does not know.
fn lines_per_head(rows: Option<u16>) -> usize {
    match rows {
        None | Some(0) => LINES_DEFAULT,
        Some(rows) => usize::from(rows).saturating_sub(LINES_TAKEN).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn column(path: &str) -> Column {
        let (group, head, cell) = ("g".to_owned(), "h".to_owned(), " 1".to_owned());
        Column { path: path.to_owned(), group, head, width: 2, cell }
    }

    /// The numbers of the lines that are heads' second ones.
    fn heads(text: &[u8]) -> Vec<usize> {
        let text = String::from_utf8(text.to_vec()).unwrap();
        let lines = text.lines().enumerate();
        lines.filter(|(_, line)| line.contains("UTC")).map(|(number, _)| number).collect()
    }

    fn written(rows: Option<u16>, lines: usize) -> Vec<u8> {
        let mut screen = Screen::new(Vec::new());
        for _ in 0..lines {
            screen.sample(&json!({"t": 0}), &[column("a")], rows).unwrap();
        }
        screen.out
    }

    #[test]
    fn the_head_is_repeated_every_20_lines_or_as_a_terminal_is_high() {
        assert_eq!(heads(&written(None, 41)), [1, 23, 45]);
        assert_eq!(heads(&written(Some(0), 21)), [1, 23]);
        assert_eq!(heads(&written(Some(24), 22)), [1, 24], "23 lines are seen above the cursor");
        assert_eq!(heads(&written(Some(1), 2)), [1, 4], "however low it is");
    }

    #[test]
    fn the_head_comes_when_columns_change_and_when_it_is_asked_for() {
        let mut screen = Screen::new(Vec::new());
        for path in ["a", "a", "b", "b"] {
            screen.sample(&json!({"t": 0}), &[column(path)], None).unwrap();
        }
        screen.forget_head();
        screen.sample(&json!({"t": 0}), &[column("b")], None).unwrap();
        assert_eq!(heads(&screen.out), [1, 5, 9]);
    }

    #[test]
    fn a_line_has_the_time_and_the_cells() {
        let text = String::from_utf8(written(None, 1)).unwrap();
        assert_eq!(text, "         g-\n     UTC  h\n00:00:00  1\n");
    }
}
