//! Manual pages in mdoc, which man-db and mandoc read.

use std::fmt::{Display, Write};

use crate::help::{Help, Opt, Usage};

/// When what the pages say was last changed.
const DATE: &str = "November 29, 2026";

/// Columns of a line of text: mandoc asks for no more than 80.
const COLUMNS: usize = 78;

/// vitald(1). What stands in no other place is in `command.mdoc`.
pub fn command(help: &Help) -> String {
    let mut page = Page::new("VITALD", 1, "vitald", "live view of a host's vital signs");
    let [description, rest] = halves(include_str!("command.mdoc"));
    page.line("Sh", "SYNOPSIS");
    help.usages.iter().for_each(|usage| page.synopsis(usage));
    page.text.push_str(description);
    page.line("Bl", "-tag -width Ds");
    for usage in &help.usages {
        page.line("It", format_args!("Li \"{}\"", escaped(&usage.call)));
        page.prose(&sentence(&usage.meaning));
    }
    page.line("El", "");
    page.line("Sh", "OPTIONS");
    let own = help.own_options().map(|(word, option)| {
        let meaning = format!("with {word}: {}", option.meaning);
        Opt { meaning, ..option }
    });
    page.options(help.options.iter().cloned().chain(own));
    page.line("Ss", "Options of vitald watch");
    page.prose(&help.watching);
    page.options(help.watch_options.iter().cloned());
    page.line("Sh", "ENVIRONMENT");
    page.prose("An option beats its variable, which beats the file, which beats the defaults.");
    page.line("Bl", "-tag -width VITALD_INTERVAL");
    for option in &help.options {
        if let Some(variable) = &option.variable {
            let (name, rest) = variable.split_once(", ").unwrap_or((variable, ""));
            page.line("It", format_args!("Ev {name}"));
            page.text.push_str("As\n");
            let end = if rest.is_empty() { " ." } else { " :" };
            page.line("Fl", format_args!("\\-{}{end}", escaped(&option.long)));
            page.prose(&if rest.is_empty() { String::new() } else { format!("{rest}.") });
        }
    }
    page.line("El", "");
    page.text.push_str(rest);
    page.text
}

/// vitald.toml(5), of the file that has every key with its default.
pub fn configuration(example: &str) -> String {
    let mut page = Page::new("VITALD.TOML", 5, "vitald.toml", "configuration of vitald");
    let [description, rest] = halves(include_str!("configuration.mdoc"));
    page.text.push_str(description);
    let mut is_list = false;
    let mut section = "";
    for block in example.split("\n\n").skip(1) {
        let block = block.trim();
        match Block::read(block) {
            Block::Section("[[alert]]", alert) => {
                page.end_list(&mut is_list);
                if section != "[[alert]]" {
                    page.line("Pp", "");
                    page.prose("What is built in:");
                }
                page.literal(alert);
                section = "[[alert]]";
            }
            Block::Section(head, _) => {
                page.end_list(&mut is_list);
                let name = head.trim_matches(['[', ']']).to_ascii_uppercase();
                page.line("Sh", format_args!("{name} KEYS"));
                page.prose(&format!("These keys stand below {head}."));
                section = head;
            }
            Block::Key { comment, key, value, is_set } => {
                if section.is_empty() {
                    page.line("Sh", "GENERAL KEYS");
                    page.prose("These keys stand before every section.");
                    section = "top";
                }
                page.begin_list(&mut is_list);
                page.line("It", format_args!("Ic {key}"));
                page.prose(&comment);
                page.prose(if is_set { "Default:" } else { "Default: none; for example" });
                page.line("Li", escaped(value));
            }
            Block::Comment(text) => {
                page.end_list(&mut is_list);
                page.line("Sh", "ALERT RULES");
                page.prose("Each begins with [[alert]], and has a name.");
                page.terms(text);
            }
        }
    }
    page.end_list(&mut is_list);
    page.text.push_str(rest);
    page.text
}

/// What a page has before and behind that which is made.
fn halves(text: &str) -> [&str; 2] {
    let (before, behind) = text.split_once(".\\\" MADE\n").expect("a page says where it is made");
    [before, behind]
}

/// What stands between two empty lines of the configuration.
enum Block<'b> {
    /// The head of a section with what follows at once.
    Section(&'b str, &'b str),
    Key {
        comment: String,
        key: &'b str,
        value: &'b str,
        is_set: bool,
    },
    /// Text without a key.
    Comment(&'b str),
}

impl<'b> Block<'b> {
    fn read(block: &'b str) -> Block<'b> {
        if block.starts_with('[') {
            return Block::Section(block.lines().next().expect("a block has a line"), block);
        }
        let last = block.lines().next_back().expect("a block has a line");
        let bare = last.strip_prefix("# ").unwrap_or(last);
        match bare.split_once(" = ") {
            Some((key, value)) if !key.contains(' ') => {
                let comment = block.lines().filter(|line| *line != last);
                let comment: Vec<&str> =
                    comment.map(|line| line.trim_start_matches("# ")).collect();
                Block::Key { comment: comment.join(" "), key, value, is_set: bare == last }
            }
            _ => Block::Comment(block),
        }
    }
}

/// What is written so far.
struct Page {
    text: String,
}

impl Page {
    fn new(title: &str, section: u8, name: &str, summary: &str) -> Page {
        let mut page = Page { text: ".\\\" Made by cargo run --example pages.\n".to_owned() };
        page.line("Dd", DATE);
        page.line("Dt", format_args!("{title} {section}"));
        page.line("Os", "");
        page.line("Sh", "NAME");
        page.line("Nm", name);
        page.line("Nd", summary);
        page
    }

    /// A macro with its arguments.
    fn line(&mut self, name: &str, rest: impl Display) {
        let line = format!(".{name} {rest}");
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn synopsis(&mut self, usage: &Usage) {
        self.line("Nm", "");
        for word in usage.call.split(' ').skip(1) {
            let bare = word.trim_matches(['[', ']']);
            match (word.starts_with('['), bare.strip_prefix("--")) {
                (false, _) => self.line("Cm", word),
                (true, Some(long)) => self.line("Op", format_args!("Fl \\-{}", escaped(long))),
                (true, None) => self.line("Op", format_args!("Ar {}", bare.to_ascii_lowercase())),
            }
        }
    }

    fn options(&mut self, options: impl Iterator<Item = Opt>) {
        self.line("Bl", "-tag -width Ds");
        for option in options {
            let mut names = String::new();
            if let Some(short) = option.short {
                write!(names, "Fl {short} , ").expect("a String takes it");
            }
            write!(names, "Fl \\-{}", escaped(&option.long)).expect("a String takes it");
            if let Some(value) = &option.value {
                write!(names, " Ar {}", value.to_ascii_lowercase()).expect("a String takes it");
            }
            self.line("It", names);
            self.prose(&sentence(&option.meaning));
            if let Some(default) = &option.default {
                self.prose(&format!("Default: {default}."));
            }
        }
        self.line("El", "");
    }

    /// Text, with each sentence on lines of its own, as mdoc wants it.
    fn prose(&mut self, text: &str) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            let (word, has_ended) = (escaped(word), line.ends_with(['.', '!', '?']));
            if has_ended || line.len() + 1 + word.len() > COLUMNS {
                self.text_line(&line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        self.text_line(&line);
    }

    fn text_line(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        if line.starts_with(['.', '\'']) {
            self.text.push_str("\\&");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn begin_list(&mut self, is_list: &mut bool) {
        if !std::mem::replace(is_list, true) {
            self.line("Bl", "-tag -width Ds");
        }
    }

    fn end_list(&mut self, is_list: &mut bool) {
        if std::mem::replace(is_list, false) {
            self.line("El", "");
        }
    }

    /// A comment that ends with terms: a word, two spaces or more, and what it means, which goes
    /// on in lines that begin with spaces.
    fn terms(&mut self, comment: &str) {
        // What goes on is indented behind the sign and its space.
        let lines = comment.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
        let (mut intro, mut terms) = (Vec::new(), Vec::<(&str, String)>::new());
        for line in lines {
            match (line.split_once("  "), terms.last_mut()) {
                (Some(("", rest)), Some(last)) => last.1.push_str(&format!(" {}", rest.trim())),
                (Some((term, meaning)), _) => terms.push((term, meaning.trim().to_owned())),
                (None, _) => intro.push(line),
            }
        }
        self.prose(&intro.join(" "));
        self.line("Bl", "-tag -width Ds");
        for (term, meaning) in terms {
            self.line("It", format_args!("Ic {term}"));
            self.prose(&sentence(&meaning));
        }
        self.line("El", "");
    }

    fn literal(&mut self, text: &str) {
        self.line("Bd", "-literal -offset indent");
        for line in text.lines() {
            self.text_line(&escaped(line));
        }
        self.line("Ed", "");
    }
}

/// A meaning of the help as a sentence.
fn sentence(meaning: &str) -> String {
    // What begins with a word that is typed is left as it is.
    let first = meaning.split(' ').next().unwrap_or_default();
    let mut letters = meaning.chars();
    match letters.next() {
        Some(letter) if !first.contains([':', ',']) => {
            format!("{}{}.", letter.to_ascii_uppercase(), letters.as_str())
        }
        _ => format!("{meaning}."),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq")
}
