//! Min, mean and max of the figures of a selection, over the samples of a window.
//!
//! Owns the sums, and what it needs of the newest sample: its time, its rows, its texts and flags.
//! A mean is over the samples in which the figure was known. Of what only rises (counts since the
//! start, high-water marks) the newest value that was known takes the mean's place. Rows are those
//! of the newest sample, in its order, matched by key; elements of a list are matched by position.
//! Promises: no code for a single metric; no allocation while the rows stay the same, nor when a
//! window ends; of what is gone at most `GONE_ROWS_MAX` rows a topic are held, until the window
//! ends. May import: `definition`, `selected`, `selection`, `snapshot`, `tally`.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::definition::{Field, Kind, TOPICS};
use super::selected::Selected;
use super::selection::{Mask, Part, Scope, Selection};
use super::snapshot::{
    Content, Extreme, Figure, Flag, Record, Rows, Snapshot, Text, Topics, Value,
};
use super::tally::Tally;

/// Rows of a topic that are remembered after they went, so that a link that flaps keeps what it
/// had. Half would do for that; without a bound, rows under ever new names would add up to as many
/// as a window has samples for each one that there is at a time.
const GONE_ROWS_MAX: usize = 16;

/// What the figures of a selection came to in a window.
#[derive(Debug)]
pub struct Aggregate {
    selection: Selection,
    /// One for each part of the selection, in its order.
    tables: Vec<Table>,
    samples: u32,
    sequence: u64,
    time_ms: u64,
}

impl Aggregate {
    /// An empty window over `selection`.
    pub fn new(selection: &Selection) -> Aggregate {
        let table = |part: &Part| {
            let topic = &TOPICS[part.topic];
            match topic.key {
                Some(_) => Table::Many(Keyed { fields: topic.fields, rows: Vec::new(), count: 0 }),
                None => Table::One(Row::new(topic.fields, part.scope.of_record())),
            }
        };
        Aggregate {
            selection: selection.clone(),
            tables: selection.parts().iter().map(table).collect(),
            samples: 0,
            sequence: 0,
            time_ms: 0,
        }
    }

    /// Adds the next sample. Topics that are not selected cost nothing.
    pub fn add(&mut self, snapshot: &Snapshot) {
        self.samples = self.samples.saturating_add(1);
        self.sequence = snapshot.sequence;
        self.time_ms = snapshot.time_ms;
        for (part, table) in self.selection.parts().iter().zip(&mut self.tables) {
            match (snapshot.content(part.topic), table) {
                (Content::One(record), Table::One(row)) => row.add(record),
                (Content::Many(rows), Table::Many(table)) => table.add(rows, &part.scope),
                // The table of topics decides both.
                _ => {}
            }
        }
    }

    /// Samples in the window.
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// The sequence of the newest sample; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When the newest sample was taken, in Unix milliseconds; 0 before the first.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Begins the next window. Until it has a sample the rows, texts and flags are those of the
    /// last, and every figure is unknown.
    pub fn clear(&mut self) {
        self.samples = 0;
        for table in &mut self.tables {
            match table {
                Table::One(row) => row.clear(),
                Table::Many(table) => table.clear(),
            }
        }
    }

    /// Writes each topic with its means as an entry of `map`, as [`Selected`] does, and then the
    /// entries `min` and `max`: the same with figures alone, in rows beside their key.
    ///
    /// # Errors
    /// Those of `map`.
    pub fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let selected = || Selected::new(self, &self.selection);
        selected().serialize_into(map)?;
        map.serialize_entry("min", &selected().extreme(Extreme::Least))?;
        map.serialize_entry("max", &selected().extreme(Extreme::Most))
    }
}

impl Serialize for Aggregate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_into(&mut map)?;
        map.end()
    }
}

impl Topics for Aggregate {
    fn topic(&self, position: usize) -> Option<Content<'_>> {
        let parts = self.selection.parts();
        let part = parts.binary_search_by_key(&position, |part| part.topic).ok()?;
        Some(match &self.tables[part] {
            Table::One(row) => Content::One(row),
            Table::Many(table) => Content::Many(table),
        })
    }
}

/// What one topic came to.
#[derive(Debug)]
enum Table {
    One(Row),
    Many(Keyed),
}

/// Rows that a key tells apart.
#[derive(Debug)]
struct Keyed {
    fields: &'static [Field],
    /// Those of the newest sample in its order, then those that are gone, the latest first.
    rows: Vec<Row>,
    /// How many of them the newest sample has.
    count: usize,
}

impl Keyed {
    fn add(&mut self, records: &dyn Rows, scope: &Scope) {
        let mut count = 0;
        for record in records.iter() {
            let Some(columns) = scope.of_row(record.key()) else { continue };
            self.place(count, record.key(), columns);
            self.rows[count].add(record);
            count += 1;
        }
        self.count = count;
        self.rows.truncate(count + GONE_ROWS_MAX);
    }

    /// Gets the row with this key to `index`, at most one past the last; those between move on, so
    /// that their order stays. The steady case finds it there.
    fn place(&mut self, index: usize, key: &str, columns: Mask) {
        match self.rows[index..].iter().position(|row| row.key() == key) {
            Some(0) => {}
            Some(distance) => self.rows[index..=index + distance].rotate_right(1),
            None => self.rows.insert(index, Row::new(self.fields, columns)),
        }
    }

    fn clear(&mut self) {
        self.rows.truncate(self.count);
        self.rows.iter_mut().for_each(Row::clear);
    }
}

impl Rows for Keyed {
    fn count(&self) -> usize {
        self.count
    }

    fn row(&self, index: usize) -> Option<&dyn Record> {
        self.rows[..self.count].get(index).map(|row| row as &dyn Record)
    }
}

/// What one record came to.
#[derive(Debug)]
struct Row {
    fields: &'static [Field],
    /// The columns that are selected; for each there is a cell.
    columns: Mask,
    cells: Vec<Cell>,
}

impl Row {
    fn new(fields: &'static [Field], columns: Mask) -> Row {
        let selected = fields.iter().enumerate().filter(|(index, _)| columns.has(*index));
        Row { fields, columns, cells: selected.map(|(_, field)| Cell::new(field)).collect() }
    }

    fn add(&mut self, record: &dyn Record) {
        let columns = (0..self.fields.len()).filter(|index| self.columns.has(*index));
        for (cell, index) in self.cells.iter_mut().zip(columns) {
            cell.add(record.value(index));
        }
    }

    fn clear(&mut self) {
        self.cells.iter_mut().for_each(Cell::clear);
    }

    fn cell(&self, index: usize) -> Option<&Cell> {
        self.columns.has(index).then(|| self.cells.get(self.columns.rank(index)))?
    }
}

impl Record for Row {
    fn value(&self, index: usize) -> Value<'_> {
        self.cell(index).map_or(Value::Figure(None), Cell::value)
    }

    fn extreme(&self, index: usize, extreme: Extreme) -> Value<'_> {
        self.cell(index).map_or(Value::Figure(None), |cell| cell.extreme(extreme))
    }
}

/// What one column of a record came to.
#[derive(Debug)]
enum Cell {
    Figure(Tally),
    /// A figure that only rises, and its newest value.
    Rising(Tally, Figure),
    List(Box<Tallies>),
    Flag(Flag),
    Text(Text),
}

impl Cell {
    fn new(field: &Field) -> Cell {
        match field.kind {
            Kind::Figure if field.only_rises => Cell::Rising(Tally::default(), None),
            Kind::Figure => Cell::Figure(Tally::default()),
            Kind::List => Cell::List(Box::default()),
            Kind::Flag => Cell::Flag(None),
            Kind::Text => Cell::Text(Text::new()),
        }
    }

    fn add(&mut self, value: Value<'_>) {
        match (self, value) {
            (Cell::Figure(tally), Value::Figure(figure)) => note(tally, figure),
            (Cell::Rising(tally, newest), Value::Figure(figure)) => {
                note(tally, figure);
                *newest = known(figure).or(*newest);
            }
            (Cell::List(tallies), Value::List(figures)) => tallies.add(figures),
            (Cell::Flag(newest), Value::Flag(flag)) => *newest = flag,
            (Cell::Text(newest), Value::Text(text)) if newest != text => {
                newest.clear();
                newest.push_str(text);
            }
            // The text that is there; or nothing else, for a column's kind is the same in every
            // sample.
            _ => {}
        }
    }

    fn clear(&mut self) {
        match self {
            Cell::Figure(tally) => *tally = Tally::default(),
            Cell::Rising(tally, newest) => (*tally, *newest) = (Tally::default(), None),
            Cell::List(tallies) => tallies.clear(),
            Cell::Flag(_) | Cell::Text(_) => {}
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Cell::Figure(tally) => Value::Figure(tally.figures().map(|[_, mean, _]| mean)),
            Cell::Rising(_, newest) => Value::Figure(*newest),
            Cell::List(tallies) => Value::List(&tallies.mean),
            Cell::Flag(flag) => Value::Flag(*flag),
            Cell::Text(text) => Value::Text(text),
        }
    }

    fn extreme(&self, extreme: Extreme) -> Value<'_> {
        match (self, extreme) {
            (Cell::Figure(tally) | Cell::Rising(tally, _), extreme) => {
                Value::Figure(tally.figures().map(|[min, _, max]| match extreme {
                    Extreme::Least => min,
                    Extreme::Most => max,
                }))
            }
            (Cell::List(tallies), Extreme::Least) => Value::List(&tallies.min),
            (Cell::List(tallies), Extreme::Most) => Value::List(&tallies.max),
            (Cell::Flag(_) | Cell::Text(_), _) => self.value(),
        }
    }
}

/// What a list of figures came to, element by element.
#[derive(Debug, Default)]
struct Tallies {
    /// As many as the longest list in the window had.
    tallies: Vec<Tally>,
    /// As many as the newest list has; kept beside the tallies because a list is read as a slice.
    min: Vec<Figure>,
    mean: Vec<Figure>,
    max: Vec<Figure>,
}

impl Tallies {
    fn add(&mut self, figures: &[Figure]) {
        if self.tallies.len() < figures.len() {
            self.tallies.resize(figures.len(), Tally::default());
        }
        for column in [&mut self.min, &mut self.mean, &mut self.max] {
            column.resize(figures.len(), None);
        }
        let columns = self.min.iter_mut().zip(&mut self.mean).zip(&mut self.max);
        for ((tally, figure), ((min, mean), max)) in
            self.tallies.iter_mut().zip(figures).zip(columns)
        {
            note(tally, *figure);
            let known = tally.figures();
            *min = known.map(|[min, _, _]| min);
            *mean = known.map(|[_, mean, _]| mean);
            *max = known.map(|[_, _, max]| max);
        }
    }

    fn clear(&mut self) {
        self.tallies.truncate(self.mean.len());
        self.tallies.fill(Tally::default());
        for column in [&mut self.min, &mut self.mean, &mut self.max] {
            column.fill(None);
        }
    }
}

fn note(tally: &mut Tally, figure: Figure) {
    if let Some(figure) = known(figure) {
        tally.add(figure);
    }
}

/// The figure, if it would be written as one.
fn known(figure: Figure) -> Figure {
    figure.filter(|figure| figure.is_finite())
}

#[cfg(test)]
mod tests;
