//! The data model: what one sample of the host looks like in memory.
//!
//! Owns the column types, the traits through which tables walk a snapshot without knowing its
//! structs, and the macro that turns the table in `definition` into those structs.
//! Promises: a figure the host cannot give is `None`; walking a snapshot never allocates.
//! May import: `definition`, `selection`, `selected`.

use super::definition::{Kind, TOPICS, Topic};

pub use super::definition::{
    Cgroup, Cpu, Disk, Filesystem, Load, Memory, Network, Pressure, Server, Snapshot, Sockets,
    System, Temperature,
};

/// One figure; `None` where the host cannot give it, or not yet.
pub type Figure = Option<f64>;
/// A count since the start, which only rises.
pub type Counter = Figure;
/// The most that there was at one time, which only rises as well.
pub type Mark = Figure;
/// A yes or no; `None` where unknown.
pub type Flag = Option<bool>;
/// A name or a label, kept from tick to tick so that it is not allocated again.
pub type Text = String;
/// A figure for each of several like things, by position.
pub type List = Vec<Figure>;

/// What one column of one record holds, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// One figure.
    Figure(Figure),
    /// A yes or no.
    Flag(Flag),
    /// A text.
    Text(&'a str),
    /// Several figures.
    List(&'a [Figure]),
}

/// What a column's type holds, known without a value; apart from [`Column`], which tables walk
/// without knowing the type.
pub trait Typed {
    /// What it holds.
    const KIND: Kind;
}

/// A type that can be a column.
pub trait Column {
    /// Its content.
    fn value(&self) -> Value<'_>;
    /// Forgets the content and keeps the memory.
    fn clear(&mut self);
    /// The figure, to be set by code that walks tables; `None` for another kind.
    fn figure_mut(&mut self) -> Option<&mut Figure> {
        None
    }
}

impl Typed for Figure {
    const KIND: Kind = Kind::Figure;
}

impl Column for Figure {
    fn value(&self) -> Value<'_> {
        Value::Figure(*self)
    }
    fn clear(&mut self) {
        *self = None;
    }
    fn figure_mut(&mut self) -> Option<&mut Figure> {
        Some(self)
    }
}

impl Typed for Flag {
    const KIND: Kind = Kind::Flag;
}

impl Column for Flag {
    fn value(&self) -> Value<'_> {
        Value::Flag(*self)
    }
    fn clear(&mut self) {
        *self = None;
    }
}

impl Typed for Text {
    const KIND: Kind = Kind::Text;
}

impl Column for Text {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
    fn clear(&mut self) {
        self.clear();
    }
}

impl Typed for List {
    const KIND: Kind = Kind::List;
}

impl Column for List {
    fn value(&self) -> Value<'_> {
        Value::List(self)
    }
    fn clear(&mut self) {
        self.clear();
    }
}

/// One of the two ends of what a figure was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extreme {
    /// The smallest.
    Least,
    /// The largest.
    Most,
}

/// One row of a topic: columns by position, as the topic's `fields` name them.
pub trait Record {
    /// The content of the column at `index`; an unknown figure beyond the last.
    fn value(&self, index: usize) -> Value<'_>;

    /// The least or the most that the column at `index` was; of a single sample, what it is.
    fn extreme(&self, index: usize, _extreme: Extreme) -> Value<'_> {
        self.value(index)
    }

    /// The figure at `index`; a flag counts as 1 or 0, so that a rule can watch a link.
    fn figure(&self, index: usize) -> Figure {
        match self.value(index) {
            Value::Figure(figure) => figure,
            Value::Flag(flag) => flag.map(f64::from),
            Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The first column as text: the key, for a row of a list.
    fn key(&self) -> &str {
        match self.value(0) {
            Value::Text(key) => key,
            _ => "",
        }
    }
}

/// The rows of a topic that is a list.
pub trait Rows {
    /// How many there are.
    fn count(&self) -> usize;
    /// The row at `index`, if there is one.
    fn row(&self, index: usize) -> Option<&dyn Record>;
}

impl<R: Record> Rows for Vec<R> {
    fn count(&self) -> usize {
        self.len()
    }
    fn row(&self, index: usize) -> Option<&dyn Record> {
        self.get(index).map(|record| record as &dyn Record)
    }
}

impl<'a> dyn Rows + 'a {
    /// Every row.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Record> {
        (0..self.count()).filter_map(|index| self.row(index))
    }
}

/// The content of one topic.
pub enum Content<'a> {
    /// A single record.
    One(&'a dyn Record),
    /// A list of records.
    Many(&'a dyn Rows),
}

/// A sample, or what several came to: the content of topics by their position in the table.
pub trait Topics {
    /// The content of that topic; `None` where it is left out.
    fn topic(&self, position: usize) -> Option<Content<'_>>;
}

impl Topics for Snapshot {
    fn topic(&self, position: usize) -> Option<Content<'_>> {
        (position < TOPICS.len()).then(|| self.content(position))
    }
}

/// A type that can be a topic: a record or a list of them.
pub trait Container {
    /// The content, for code that walks tables.
    fn content(&self) -> Content<'_>;
}

impl<R: Record> Container for Vec<R> {
    fn content(&self) -> Content<'_> {
        Content::Many(self)
    }
}

impl Snapshot {
    /// The figure that a scalar path names: `memory.usage`, `disks.vda.utilisation`,
    /// `filesystems./.usage`. A mount may hold dots: its key is what stands between the first and
    /// the last dot. `None` if the path is unknown, the thing is gone, or the host has no figure.
    pub fn value(&self, path: &str) -> Option<f64> {
        let (name, rest) = path.split_once('.')?;
        let position = Topic::position(name)?;
        let topic = &TOPICS[position];
        match self.content(position) {
            Content::One(record) => record.figure(topic.field(rest)?),
            Content::Many(rows) => {
                let (key, field) = rest.rsplit_once('.')?;
                let record = rows.iter().find(|record| record.key() == key)?;
                record.figure(topic.field(field)?)
            }
        }
    }
}

/// Turns the table of metrics into structs, their column tables and the snapshot that holds them.
macro_rules! define_metrics {
    ($(
        $topic:ident: $Record:ident $(by $key:ident($key_help:literal))?, $help:literal {
            $(
                $field:ident $(as $path:literal)?: $Column:ident, $unit:ident, $field_help:literal;
            )+
        }
    )+) => {
        $(
            #[doc = $help]
            #[derive(Clone, Debug, Default, PartialEq)]
            pub struct $Record {
                $( #[doc = $key_help] pub $key: Text, )?
                $( #[doc = $field_help] pub $field: $Column, )+
            }

            impl $Record {
                /// The columns, in the order of JSON.
                pub const FIELDS: &'static [Field] = &[
                    $( Field {
                        name: stringify!($key),
                        kind: Kind::Text,
                        is_counter: false,
                        only_rises: false,
                        unit: Unit::Nothing,
                        help: $key_help,
                    }, )?
                    $( Field {
                        name: [$( $path, )? stringify!($field)][0],
                        kind: <$Column as Typed>::KIND,
                        is_counter: matches!(stringify!($Column).as_bytes(), b"Counter"),
                        only_rises: matches!(
                            stringify!($Column).as_bytes(),
                            b"Counter" | b"Mark"
                        ),
                        unit: Unit::$unit,
                        help: $field_help,
                    }, )+
                ];

                /// Forgets every value and keeps the memory.
                pub fn clear(&mut self) {
                    $( self.$key.clear(); )?
                    $( Column::clear(&mut self.$field); )+
                }

                /// The figure of the column at `index`; `None` if there is none there.
                pub fn figure_mut(&mut self, index: usize) -> Option<&mut Figure> {
                    // A table of functions: a record may have a hundred columns.
                    const COLUMNS: &[fn(&mut $Record) -> &mut dyn Column] =
                        &[$( |record| &mut record.$key, )? $( |record| &mut record.$field, )+];
                    COLUMNS.get(index)?(self).figure_mut()
                }

                $(
                    /// The row at `index` of `rows`, which is at most one past the last, made to
                    /// carry this key. The steady case finds it there and writes nothing; a row of
                    /// another key gives way to a new one without figures.
                    pub fn at<'a>(rows: &'a mut Vec<Self>, index: usize, $key: &str) -> &'a mut Self {
                        let index = index.min(rows.len());
                        let fresh = || Self { $key: $key.to_owned(), ..Self::default() };
                        match rows.get_mut(index) {
                            None => rows.push(fresh()),
                            Some(row) if row.$key != $key => *row = fresh(),
                            Some(_) => {}
                        }
                        &mut rows[index]
                    }
                )?
            }

            // A selection keeps the columns of a record in 128 bits.
            const _: () = assert!($Record::FIELDS.len() <= 128);

            impl Record for $Record {
                fn value(&self, index: usize) -> Value<'_> {
                    const COLUMNS: &[fn(&$Record) -> &dyn Column] =
                        &[$( |record| &record.$key, )? $( |record| &record.$field, )+];
                    COLUMNS.get(index).map_or(Value::Figure(None), |column| column(self).value())
                }
            }

            impl Container for $Record {
                fn content(&self) -> Content<'_> {
                    Content::One(self)
                }
            }
        )+

        /// Every topic, in the order of JSON.
        pub static TOPICS: &[Topic] = &[$( Topic {
            name: stringify!($topic),
            help: $help,
            fields: $Record::FIELDS,
            key: [$( Some(stringify!($key)), )? None][0],
        }, )+];

        /// The names of the topics, in the same order.
        pub const TOPIC_NAMES: &[&str] = &[$( stringify!($topic), )+];

        /// One sample of the host.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Snapshot {
            /// The number of the base tick that this sample belongs to.
            pub sequence: u64,
            /// When it was taken, in Unix milliseconds.
            pub time_ms: u64,
            $(
                #[doc = $help]
                pub $topic: $crate::metrics::snapshot::container!($Record $($key)?),
            )+
        }

        impl Snapshot {
            /// The content of the topic at `position` in [`TOPICS`].
            ///
            /// # Panics
            /// If there is no such topic.
            pub fn content(&self, position: usize) -> Content<'_> {
                let topics: [&dyn Container; TOPIC_NAMES.len()] = [$( &self.$topic, )+];
                topics[position].content()
            }
        }
    };
}
pub(super) use define_metrics;

/// The type of a topic: its record, or a list of them where a key tells them apart.
macro_rules! container {
    ($Record:ident) => { $Record };
    ($Record:ident $key:ident) => { Vec<$Record> };
}
pub(super) use container;
