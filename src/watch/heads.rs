//! What stands over the columns: two lines, the groups and below them the names.
//!
//! Pure. Promises: each head is as wide as its column; within a group no two are alike, so far as
//! their names are not. Imports nothing of the crate but the columns.

use super::columns::Column;
use super::format;

/// The column of the time. Its name says that it is not the reader's own time.
const TIME: &str = "UTC";
/// How wide it is.
const TIME_WIDTH: usize = 8;

/// The longest head that is not shortened, and what is left of each word of a longer one.
const HEAD_MAX: usize = 9;
const WORD_MAX: usize = 4;

/// Ends of names that say a unit; the figures show it, or their size does.
const UNITS: [&str; 7] = ["_bytes_per_s", "_per_s", "_per_min", "_ms", "_mhz", "_s", "_bytes"];

/// Gives the columns, whose heads are the names of fields, short ones, and makes each as wide as
/// its head.
pub fn shorten(columns: &mut [Column]) {
    for group in columns.chunk_by_mut(|left, right| left.group == right.group) {
        let short: Vec<String> = group.iter().map(|column| short(&column.head)).collect();
        for (column, head) in group.iter_mut().zip(&short) {
            if short.iter().filter(|other| *other == head).count() == 1 {
                column.head.clone_from(head);
            }
            let wide = column.head.chars().count();
            if wide > column.width {
                column.width = wide;
                column.cell = format!("{:>wide$}", column.cell);
            }
        }
    }
}

fn short(name: &str) -> String {
    let name = UNITS.iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(name);
    if name.chars().count() <= HEAD_MAX {
        return name.to_owned();
    }
    let words: Vec<String> =
        name.split('_').map(|word| word.chars().take(WORD_MAX).collect()).collect();
    words.join("_")
}

/// The two lines.
pub fn lines(columns: &[Column]) -> [String; 2] {
    let (mut groups, mut names) = (" ".repeat(TIME_WIDTH), format::text(TIME, TIME_WIDTH));
    for group in columns.chunk_by(|left, right| left.group == right.group) {
        let width = group.iter().map(|column| column.width).sum::<usize>() + group.len() - 1;
        groups.push(' ');
        groups.push_str(&dashed(&group[0].group, width));
        for column in group {
            names.push(' ');
            names.push_str(&format::text(&column.head, column.width));
        }
    }
    [groups, names]
}

/// A name between dashes; of a path that is too long the end, where paths differ.
fn dashed(name: &str, width: usize) -> String {
    let name = format::printable(name);
    let extra = match name.contains(['/', '.']) {
        true => name.chars().count().saturating_sub(width),
        false => 0,
    };
    let shown: String = name.chars().skip(extra).take(width).collect();
    format!("{shown:-^width$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(group: &str, head: &str, width: usize) -> Column {
        let (group, head, cell) = (group.to_owned(), head.to_owned(), " ".repeat(width));
        Column { path: format!("{group}.{head}"), group, head, width, cell }
    }

    fn shortened(names: &[&str]) -> Vec<String> {
        let mut columns: Vec<Column> = names.iter().map(|name| column("g", name, 5)).collect();
        shorten(&mut columns);
        columns.into_iter().map(|column| column.head).collect()
    }

    #[test]
    fn heads_are_short_and_differ_within_their_group() {
        let names =
            ["read_bytes_per_s", "reads_per_s", "utilisation", "available", "rx_dropped_per_s"];
        assert_eq!(shortened(&names), ["read", "reads", "util", "available", "rx_drop"]);
        let names = ["CONNECTING", "CONNECTED", "DISCONNECTING", "DISCONNECTED"];
        let expected = ["CONN", "CONNECTED", "DISCONNECTING", "DISCONNECTED"];
        assert_eq!(shortened(&names), expected);
        assert_eq!(shortened(&["rx_bytes_per_s", "rx_per_s"]), ["rx_bytes_per_s", "rx_per_s"]);
    }

    #[test]
    fn a_group_stands_over_its_columns() {
        let columns = [
            column("cpu", "usage", 5),
            column("cpu", "wait", 5),
            column("a/b/c", "x", 3),
            column("memory", "x", 3),
        ];
        let [groups, names] = lines(&columns);
        assert_eq!(groups, "         ----cpu---- b/c mem");
        assert_eq!(names, "     UTC usage  wait   x   x");
    }

    proptest! {
        #[test]
        fn both_lines_are_as_wide_as_the_cells(names in prop::collection::vec("\\PC{0,20}", 0..6)) {
            let mut columns: Vec<Column> =
                names.iter().map(|name| column("", name, 5)).collect();
            shorten(&mut columns);
            let cells = columns.iter().map(|column| 1 + column.cell.chars().count());
            let width = TIME_WIDTH + cells.sum::<usize>();
            for line in lines(&columns) {
                prop_assert_eq!(line.chars().count(), width);
            }
        }
    }
}
