//! Standard output: lines, and a head over them.
//!
//! Promises: a line is written whole and at once; the head stands again before it has left a
//! terminal of any size, and whenever the columns change. Writes to what it is given; knows no
//! network. Imports nothing of the crate but the columns.

use std::io::{self, Write};

use serde_json::Value;

use super::columns::Column;
use super::{format, heads};

/// Lines from one head to the next where there is no terminal to ask.
const LINES_DEFAULT: usize = 20;

/// The size of a terminal in characters; it says 0 where it does not know.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How high it is.
    pub rows: u16,
    /// How wide it is.
    pub columns: u16,
}

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

    /// Writes a sample's line, after the head where that is due. `size` is that of the terminal, if
    /// there is one.
    ///
    /// # Errors
    /// Those of writing.
    pub fn sample(
        &mut self,
        sample: &Value,
        columns: &[Column],
        size: Option<Size>,
    ) -> io::Result<()> {
        let is_same = self.paths.iter().eq(columns.iter().map(|column| &column.path));
        let mut text = String::new();
        let head = heads::lines(columns);
        if !self.has_head || !is_same || self.lines >= lines_per_head(&head, size) {
            self.paths = columns.iter().map(|column| column.path.clone()).collect();
            (self.has_head, self.lines) = (true, 0);
            for line in head {
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

/// How many lines a head is for: as many as a terminal shows below it and above the cursor.
fn lines_per_head(head: &[String], size: Option<Size>) -> usize {
    let Some(size) = size.filter(|size| size.rows > 0) else { return LINES_DEFAULT };
    // A line that is too wide goes on in the next row.
    let wide = head.first().map_or(0, |line| line.chars().count());
    let rows_per_line = match usize::from(size.columns) {
        0 => 1,
        columns => wide.div_ceil(columns).max(1),
    };
    let shown = usize::from(size.rows).saturating_sub(1) / rows_per_line;
    shown.saturating_sub(head.len()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::definition::Unit;
    use serde_json::json;

    fn column(path: &str) -> Column {
        let (group, head, cell) = ("g".to_owned(), "h".to_owned(), " 1".to_owned());
        Column { path: path.to_owned(), group, head, unit: Unit::Number, width: 2, cell }
    }

    /// The numbers of the lines that are heads' second ones.
    fn heads(text: &[u8]) -> Vec<usize> {
        let text = String::from_utf8(text.to_vec()).unwrap();
        let lines = text.lines().enumerate();
        lines.filter(|(_, line)| line.contains("UTC")).map(|(number, _)| number).collect()
    }

    /// So many lines, each of 11 characters.
    fn written(size: Option<(u16, u16)>, lines: usize) -> Vec<u8> {
        let mut screen = Screen::new(Vec::new());
        for _ in 0..lines {
            let size = size.map(|(rows, columns)| Size { rows, columns });
            screen.sample(&json!({"t": 0}), &[column("a")], size).unwrap();
        }
        screen.out
    }

    #[test]
    fn the_head_is_repeated_every_20_lines_or_as_a_terminal_is_high() {
        assert_eq!(heads(&written(None, 41)), [1, 23, 45]);
        assert_eq!(heads(&written(Some((0, 80)), 21)), [1, 23]);
        let tall = written(Some((24, 80)), 22);
        assert_eq!(heads(&tall), [1, 24], "23 lines are seen above the cursor");
        assert_eq!(heads(&written(Some((1, 80)), 2)), [1, 4], "however low it is");
    }

    #[test]
    fn the_head_is_repeated_sooner_where_lines_are_wider_than_the_terminal() {
        assert_eq!(heads(&written(Some((24, 11)), 22)), [1, 24], "they just fit");
        assert_eq!(heads(&written(Some((24, 10)), 10)), [1, 12], "11 lines of two rows are seen");
        assert_eq!(heads(&written(Some((24, 1)), 2)), [1, 4], "however narrow it is");
        assert_eq!(heads(&written(Some((24, 0)), 22)), [1, 24], "it does not know its width");
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
