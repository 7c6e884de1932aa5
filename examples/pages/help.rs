//! The text of `vitald --help`, taken apart.
//!
//! It has sections that begin at the margin with a word and a colon. A usage is what is typed, two
//! spaces or more, and what it does. An option is indented by two; its value is in capitals, and
//! its meaning begins at a column of its own, goes on there in further lines, and ends with what is
//! in force without it in brackets. What does not look so is refused: who changes the help is told.

/// The whole text.
pub struct Help {
    pub usages: Vec<Usage>,
    /// Of serving, and of what reads the configuration.
    pub options: Vec<Opt>,
    /// What precedes the options of watching.
    pub watching: String,
    pub watch_options: Vec<Opt>,
}

/// A way to call it.
pub struct Usage {
    /// Such as `vitald once [--pretty]`.
    pub call: String,
    pub meaning: String,
}

/// The word that says what to do.
pub struct Command<'h> {
    pub word: &'h str,
    pub meaning: &'h str,
}

/// An option.
#[derive(Clone)]
pub struct Opt {
    pub short: Option<char>,
    /// Without the two dashes.
    pub long: String,
    /// What its value is called, if it takes one.
    pub value: Option<String>,
    /// A sentence without an end.
    pub meaning: String,
    /// The variable that says the same, with what is said of it.
    pub variable: Option<String>,
    /// What is in force without it.
    pub default: Option<String>,
}

impl Opt {
    /// What may be meant, where the meaning is a list: `error, warn or info`.
    pub fn choices(&self) -> Vec<&str> {
        let list = self.meaning.split(", ").flat_map(|part| part.split(" or "));
        let choices: Vec<&str> = list.collect();
        let is_word = |choice: &&str| choice.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_list = self.value.is_some() && choices.len() > 2 && choices.iter().all(is_word);
        if is_list { choices } else { Vec::new() }
    }

    /// Whether the value names a file.
    pub fn is_file(&self) -> bool {
        self.value.as_deref() == Some("FILE")
    }

    /// Whether it may be given several times.
    pub fn is_repeatable(&self) -> bool {
        self.meaning.contains("repeatable") || self.meaning.contains("several times")
    }
}

impl Help {
    /// Takes it apart.
    ///
    /// # Panics
    /// What is not in its form is named.
    pub fn read(text: &str) -> Help {
        let [_, usages, options, watching] = sections(text);
        let mut watching = watching.splitn(2, '\n');
        let intro = watching.next().expect("a text has a line").trim().to_owned();
        let usages = usages.lines().map(Usage::read).collect();
        let watch_options = Opt::read_all(watching.next().expect("it has options"));
        Help { usages, options: Opt::read_all(options), watching: intro, watch_options }
    }

    /// The words, in order.
    pub fn commands(&self) -> impl Iterator<Item = Command<'_>> {
        self.usages.iter().filter_map(|usage| {
            let word = usage.call.split(' ').nth(1)?;
            let is_word = word.bytes().all(|byte| byte.is_ascii_lowercase());
            is_word.then_some(Command { word, meaning: &usage.meaning })
        })
    }

    /// The options that stand in a usage alone, with its word.
    pub fn own_options(&self) -> impl Iterator<Item = (&str, Opt)> {
        self.usages.iter().filter_map(|usage| {
            let (before, after) = usage.call.split_once("[--")?;
            let (long, meaning) = (after.trim_end_matches(']').to_owned(), "print it indented");
            let word = before.trim().rsplit(' ').next()?;
            let meaning = meaning.to_owned();
            Some((
                word,
                Opt { short: None, long, value: None, meaning, variable: None, default: None },
            ))
        })
    }

    /// Every option.
    pub fn all(&self) -> impl Iterator<Item = Opt> {
        let listed = self.options.iter().chain(&self.watch_options).cloned();
        listed.chain(self.own_options().map(|(_, option)| option))
    }
}

/// What stands before the first section, and behind each head.
fn sections(text: &str) -> [&str; 4] {
    let [usage, options, watching] = ["Usage:", "\nOptions:\n", "\nWatching:"].map(|head| {
        let at = text.find(head).unwrap_or_else(|| panic!("there is no {head:?}"));
        (at, at + head.len())
    });
    let parts = [
        &text[..usage.0],
        &text[usage.1..options.0],
        &text[options.1..watching.0],
        &text[watching.1..],
    ];
    parts.map(|part| part.trim_end())
}

impl Usage {
    fn read(line: &str) -> Usage {
        let (call, meaning) = line.trim().split_once("  ").expect("two spaces precede a meaning");
        Usage { call: call.to_owned(), meaning: meaning.trim().to_owned() }
    }
}

impl Opt {
    fn read_all(text: &str) -> Vec<Opt> {
        let mut options: Vec<Opt> = Vec::new();
        for line in text.lines() {
            if !line.trim_start().starts_with('-') {
                let last = options.last_mut().expect("an option precedes what goes on");
                last.meaning.push(' ');
                last.meaning.push_str(line.trim());
                continue;
            }
            let (names, meaning) = line.trim().split_once("  ").expect("two spaces precede it");
            let (short, names) = match names.split_once(", ") {
                Some((short, names)) => (short.chars().nth(1), names),
                None => (None, names),
            };
            let (long, value) = match names.split_once(' ') {
                Some((long, value)) => (long, Some(value.to_owned())),
                None => (names, None),
            };
            let long = long.strip_prefix("--").expect("a long name begins with --").to_owned();
            let meaning = meaning.trim().to_owned();
            options.push(Opt { short, long, value, meaning, variable: None, default: None });
        }
        options.iter_mut().for_each(Opt::take_brackets);
        options
    }

    fn take_brackets(&mut self) {
        let meaning = self.meaning.clone();
        let mut parts = meaning.split('[');
        self.meaning = parts.next().unwrap_or_default().trim().to_owned();
        // An address in brackets is part of a meaning: [v6]:port.
        for part in parts {
            let inner = part.trim_end().strip_suffix(']');
            match inner.and_then(|inner| inner.split_once(' ')) {
                Some(("env", variable)) => self.variable = Some(variable.to_owned()),
                Some(("default", default)) => self.default = Some(default.to_owned()),
                _ => {
                    let joint = if self.meaning.ends_with(',') { " [" } else { "[" };
                    self.meaning.push_str(joint);
                    self.meaning.push_str(part.trim_end());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitald::cli::HELP;

    #[test]
    fn options_are_taken_apart() {
        let help = Help::read(HELP);
        let words: Vec<&str> = help.commands().map(|command| command.word).collect();
        assert_eq!(words, ["once", "watch", "check"]);
        let option = |long: &str| help.all().find(|option| option.long == long).unwrap();
        let listen = option("listen");
        assert_eq!((listen.short, listen.value.as_deref()), (Some('l'), Some("ADDR")));
        assert_eq!(
            listen.meaning,
            "host:port, [v6]:port or unix:/path; may be given several times"
        );
        assert_eq!(listen.variable.as_deref(), Some("VITALD_LISTEN, separated by commas"));
        assert_eq!(listen.default.as_deref(), Some("127.0.0.1:8485"));
        assert!(listen.is_repeatable() && listen.choices().is_empty());
        assert_eq!(option("log-level").choices(), ["error", "warn", "info", "debug", "trace"]);
        assert!(option("token-file").is_file() && option("pretty").value.is_none());
        assert_eq!(help.watch_options.len(), 5);
    }
}
