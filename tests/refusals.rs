//! Each wrong value of the configuration, with the exact sentence that it is refused with: those
//! that fit on a line are in `fixtures/refusals.txt`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use vitald::Config;
use vitald::cli::{self, HELP};

const CASES: &str = include_str!("fixtures/refusals.txt");

/// What is said, and the sentence that answers it.
#[derive(Default)]
struct Case {
    file: String,
    words: Vec<&'static str>,
    variables: Vec<(&'static str, &'static str)>,
    sentence: &'static str,
}

fn cases() -> Vec<Case> {
    let (mut cases, mut case) = (Vec::new(), Case::default());
    for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_at_checked(2) {
            _ if line == ">" => case.file.push('\n'),
            Some(("> ", text)) => case.file.extend([text, "\n"]),
            Some(("$ ", word)) => case.words.push(word),
            Some(("@ ", variable)) => case.variables.push(variable.split_once('=').expect("a =")),
            _ => cases.push(Case { sentence: line, ..std::mem::take(&mut case) }),
        }
    }
    cases
}

/// The sentence that answers what is said.
fn refusal(case: &Case) -> String {
    let mut words = vec!["vitald"];
    if !case.file.is_empty() {
        words.extend(["-c", "/f"]);
    }
    match case.words.is_empty() {
        true => words.push("check"),
        false => words.extend(&case.words),
    }
    let environment = |name: &str| {
        case.variables.iter().find(|variable| variable.0 == name).map(|(_, value)| value.into())
    };
    let files = |path: &Path| match path.to_str() {
        Some("/f") => Ok(case.file.clone().into_bytes()),
        Some("/etc/group") => Ok(b"root:x:0:\n".to_vec()),
        Some("/empty") => Ok(Vec::new()),
        Some("/spaced") => Ok(b"hush hush\n".to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    match cli::parse(words.iter().map(OsString::from), environment, files) {
        Ok(command) => format!("accepted as {command:?}"),
        Err(sentence) => sentence,
    }
}

fn refusal_of(file: &str) -> String {
    refusal(&Case { file: file.to_owned(), ..Case::default() })
}

#[test]
fn each_wrong_value_is_told_in_the_sentence_that_is_written_here() {
    let wrong: Vec<String> = cases()
        .iter()
        .filter(|case| refusal(case) != case.sentence)
        .map(|case| {
            let Case { file, words, variables, sentence } = case;
            format!("{file}{words:?} {variables:?}\n  wanted {sentence}\n  got {}", refusal(case))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The keys that `vitald check` prints, each behind its section as sentences have it.
fn keys() -> Vec<(&'static str, String)> {
    let text: &'static str = Config::default().to_toml().leak();
    let (mut section, mut keys) = ("", Vec::new());
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && !key.contains(' ')
        {
            keys.push((section, key.to_owned()));
        }
    }
    // An alert has one of the two.
    keys.push(("[[alert]]", "below".to_owned()));
    keys
}

#[test]
fn each_key_is_refused_where_its_type_is_wrong_and_where_its_value_is() {
    let cases = cases();
    for (section, key) in keys() {
        let mut about = Vec::new();
        for case in &cases {
            // FILE:LINE: SECTION "NAME" KEY: SENTENCE
            let Some((place, _)) = case.sentence.split_once(&format!("{key}: ")) else { continue };
            let place = place.trim_start_matches("/f:").trim_start_matches(char::is_numeric);
            let place = place.trim_start_matches(": ").split('"').next().unwrap_or_default();
            if case.sentence.starts_with("/f:") && place.trim_end() == section {
                about.push(case.sentence);
            }
        }
        let is_type = |sentence: &&str| sentence.contains(&format!("{key}: this is a"));
        let is_type = |sentence: &&str| is_type(sentence) || sentence.contains(": this is true");
        let (types, values): (Vec<&str>, Vec<&str>) = about.into_iter().partition(is_type);
        assert!(!types.is_empty(), "{section} {key}: a case of a wrong type is missing");
        // What is true or false has no wrong value.
        let is_flag = ["no_auth", "enabled"].contains(&key.as_str());
        assert!(is_flag || !values.is_empty(), "{section} {key}: a wrong value is missing");
    }
}

#[test]
fn each_section_is_refused_where_it_is_none_and_where_a_key_in_it_is() {
    let sentences: Vec<&str> = cases().iter().map(|case| case.sentence).collect();
    let mut sections: Vec<&str> = keys().iter().map(|(section, _)| *section).collect();
    sections.dedup();
    for section in sections.into_iter().filter(|section| !section.is_empty()) {
        let form = format!(": write a section that begins with {section}");
        assert!(sentences.iter().any(|sentence| sentence.ends_with(&form)), "{section}");
        let is_unknown = |sentence: &&str| {
            sentence.contains(&format!(": {section} ")) && sentence.contains(" no such key: ")
        };
        assert!(sentences.iter().any(is_unknown), "{section}: an unknown key is missing");
    }
}

#[test]
fn each_option_with_a_value_and_each_variable_is_refused_where_it_is_wrong() {
    let sentences: Vec<&str> = cases().iter().map(|case| case.sentence).collect();
    let is_there = |name: &str| {
        let beginning = format!("{name}: ");
        assert!(sentences.iter().any(|sentence| sentence.starts_with(&beginning)), "{name}");
    };
    for line in HELP.lines() {
        let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("--"));
        // The value of an option is in capitals, and two spaces are before what it means.
        if let (Some(option), Some(value)) = (words.next(), words.next())
            && line.starts_with("  ")
            && value.bytes().all(|byte| byte.is_ascii_uppercase())
        {
            is_there(option);
        }
        line.split(['[', ',', ' ', ']'])
            .filter(|word| word.starts_with("VITALD_"))
            .for_each(is_there);
    }
}

#[test]
fn what_is_too_long_or_too_many_is_told_with_what_may_be() {
    let text = |bytes: usize| "x".repeat(bytes);
    let list = |count: usize, text: &str| {
        let items: Vec<String> = (0..count).map(|n| format!("{text}{n}\"")).collect();
        items.join(", ")
    };
    let dashboard = |key: &str, list: String| format!("[dashboard]\n{key} = [{list}]\n");
    let command = |words: String| format!("[[alert]]\nname = \"cpu\"\ncommand = [{words}]\n");
    let origin = format!("\"http://{}", text(30));
    for (file, sentence) in [
        (
            format!("\ntoken_file = \"{}\"\n", text(4097)),
            "/f:2: token_file: the text has 4097 bytes: write 4096 at most",
        ),
        (
            dashboard("hosts", list(33, "\"http://h")),
            "/f:2: [dashboard] hosts: there are 33: write 32 at most",
        ),
        (
            dashboard("hosts", list(32, &origin)),
            "/f:2: [dashboard] hosts: they have 1238 bytes together: write 1024 at most",
        ),
        (
            dashboard("frame_ancestors", list(33, "\"http://h")),
            "/f:2: [dashboard] frame_ancestors: there are 33: write 32 at most",
        ),
        (
            dashboard("frame_ancestors", list(16, &origin)),
            "/f:2: [dashboard] frame_ancestors: they have 614 bytes together: write 512 at most",
        ),
        (
            command(list(33, "\"x")),
            "/f:3: [[alert]] \"cpu\" command: it is too long: write at most 32 words",
        ),
        (
            command(list(2, &format!("\"{}", text(2048)))),
            "/f:3: [[alert]] \"cpu\" command: it is too long: write at most 4096 bytes",
        ),
        (
            format!("[[alert]]\nname = \"x\"\nmetric = \"{}\"\n", text(257)),
            "/f:3: [[alert]] \"x\" metric: it is too long: write at most 256 bytes",
        ),
        (
            (0..60)
                .map(|n| format!("[[alert]]\nname = \"{n}\"\nmetric = \"load.one\"\nabove = 1\n"))
                .collect(),
            "/f:238: [[alert]] name: this is one too many: write at most 64 alerts, the 5 \
             built-in ones included",
        ),
    ] {
        assert_eq!(refusal_of(&file), sentence);
    }
    let long: &'static str = text(4097).leak();
    let case = Case { variables: vec![("VITALD_TOKEN", long)], ..Case::default() };
    assert_eq!(refusal(&case), "VITALD_TOKEN: the token has 4097 bytes: write 4096 at most");
}

#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    for name in ["VITALD_LISTEN", "VITALD_INTERVAL", "VITALD_LOG", "VITALD_TOKEN"] {
        let environment =
            |asked: &str| (asked == name).then(|| OsStr::from_bytes(b"\xff").to_owned());
        let absent = |_: &Path| Err(io::ErrorKind::NotFound.into());
        let sentence = format!("{name}: the value is not UTF-8: write it as UTF-8");
        assert_eq!(cli::parse(["vitald".into()], environment, absent), Err(sentence));
    }
}
