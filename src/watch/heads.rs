//! What stands over the columns: the groups, below them the names, and below those the units.
//!
//! Pure. Promises: each head is as wide as its column; within a group no two are alike, so far as
//! their names are not. May import: the columns, the units of the metrics.

use super::columns::Column;
use super::format;
use crate::metrics::definition::Unit;

/// The column of the time. Its name says that it is not the reader's own time.
const TIME: &str = "UTC";
/// How wide it is.
const TIME_WIDTH: usize = 8;

/// The longest head that is not shortened, and what is left of each word of a longer one.
const HEAD_MAX: usize = 9;
const WORD_MAX: usize = 4;

/// Ends of names that say a unit, which stands below.
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

/// The lines: two, and a third where a column has a unit.
pub fn lines(columns: &[Column]) -> Vec<String> {
    let (mut groups, mut names) = (" ".repeat(TIME_WIDTH), format::text(TIME, TIME_WIDTH));
    let mut units = " ".repeat(TIME_WIDTH);
    for group in columns.chunk_by(|left, right| left.group == right.group) {
        let width = group.iter().map(|column| column.width).sum::<usize>() + group.len() - 1;
        groups.push(' ');
        groups.push_str(&dashed(&group[0].group, width));
        for column in group {
            names.push(' ');
            names.push_str(&format::text(&column.head, column.width));
            units.push(' ');
            units.push_str(&format::text(sign(column.unit), column.width));
        }
    }
    let mut lines = vec![groups, names];
    lines.extend(Some(units).filter(|units| !units.trim().is_empty()));
    lines
}

/// What a unit is written as. Durations have theirs in the cell, where it varies.
fn sign(unit: Unit) -> &'static str {
    match unit {
        Unit::Percent => "%",
        Unit::Bytes => "B",
        Unit::BytesPerSecond => "B/s",
        Unit::PerSecond => "/s",
        Unit::PerMinute => "/min",
        Unit::Milliseconds => "ms",
        Unit::Megahertz => "MHz",
        Unit::Celsius => "C",
        Unit::Count | Unit::Seconds | Unit::Number | Unit::Nothing => "",
    }
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
        let path = format!("{group}.{head}");
        Column { path, group, head, unit: Unit::Number, width, cell }
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
        let expected = ["         ----cpu---- b/c mem", "     UTC usage  wait   x   x"];
        assert_eq!(lines(&columns), expected);
    }

    #[test]
    fn a_unit_stands_below_each_name_that_has_one() {
        let in_unit = |head: &str, unit| Column { unit, ..column("vda", head, 6) };
        let columns = [
            in_unit("await", Unit::Milliseconds),
            in_unit("x", Unit::Count),
            in_unit("busy", Unit::Percent),
        ];
        assert_eq!(lines(&columns)[2], "             ms             %");
    }

    proptest! {
        #[test]
        fn all_lines_are_as_wide_as_the_cells(names in prop::collection::vec("\\PC{0,20}", 0..6)) {
            let mut columns: Vec<Column> =
                names.iter().map(|name| column("", name, 5)).collect();
            columns.iter_mut().for_each(|column| column.unit = Unit::BytesPerSecond);
            shorten(&mut columns);
            let cells = columns.iter().map(|column| 1 + column.cell.chars().count());
            let width = TIME_WIDTH + cells.sum::<usize>();
            for line in lines(&columns) {
                prop_assert_eq!(line.chars().count(), width);
            }
        }
    }
}
