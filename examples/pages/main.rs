//! Writes what packages carry beside the binary: `vitald.1`, `vitald.toml.5`, completions for bash,
//! zsh and fish, and the annotated configuration.
//!
//! ```sh
//! cargo run --example pages             # into packaging/
//! ```
//!
//! All of it is made of what `vitald --help` and `vitald check` print, so that nothing is said
//! twice; the files are kept, and a test here says when they must be written anew.

mod completions;
mod help;
mod manual;

use std::path::Path;
use std::{fs, io};

use help::Help;
use vitald::cli::HELP;
use vitald::config::Config;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    for (name, text) in pages() {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("each name has a folder before it"))?;
        fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Each file below `packaging`, with its text.
fn pages() -> [(&'static str, String); 6] {
    let help = Help::read(HELP);
    let example = Config::default().to_toml();
    [
        ("man/vitald.1", manual::command(&help)),
        ("man/vitald.toml.5", manual::configuration(&example)),
        ("completions/vitald.bash", completions::bash(&help)),
        ("completions/_vitald", completions::zsh(&help)),
        ("completions/vitald.fish", completions::fish(&help)),
        ("vitald.example.toml", example),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_what_would_be_written_now() {
        for (name, text) in pages() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name);
            let kept = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(kept, text, "{name} is old; write it anew: cargo run --example pages");
        }
    }

    #[test]
    fn each_option_of_the_help_is_in_each_page() {
        let help = Help::read(HELP);
        let pages = pages();
        let page = |name: &str| &pages.iter().find(|(page, _)| *page == name).unwrap().1;
        for option in help.all() {
            let long = &option.long;
            let shown = long.replace('-', "\\-");
            assert!(page("man/vitald.1").contains(&format!("Fl \\-{shown}")), "{long}");
            assert!(page("completions/vitald.bash").contains(&format!("--{long}")), "{long}");
            assert!(page("completions/_vitald").contains(&format!("--{long}")), "{long}");
            assert!(page("completions/vitald.fish").contains(&format!("-l {long} ")), "{long}");
            if let Some(short) = option.short {
                assert!(page("man/vitald.1").contains(&format!("Fl {short}")), "{short}");
                assert!(page("completions/_vitald").contains(&format!("-{short}")), "{short}");
                assert!(page("completions/vitald.fish").contains(&format!("-s {short} ")));
            }
        }
        for command in help.commands() {
            for (name, text) in &pages[..5] {
                let is_there = text.contains(command.word) || name.ends_with(".5");
                assert!(is_there, "{} is not in {name}", command.word);
            }
        }
    }

    #[test]
    fn the_help_has_each_option_that_is_read_and_no_other() {
        let source =
            concat!(include_str!("../../src/cli.rs"), include_str!("../../src/cli/watch.rs"));
        let read = |(at, _): (usize, &str)| {
            let name = &source[at + "Long(\"".len()..];
            name[..name.find('"').unwrap()].to_owned()
        };
        let mut read: Vec<String> = source.match_indices("Long(\"").map(read).collect();
        let help = Help::read(HELP);
        let mut told: Vec<String> = help.all().map(|option| option.long.clone()).collect();
        for list in [&mut read, &mut told] {
            list.sort();
            list.dedup();
        }
        assert_eq!(read, told);
    }

    #[test]
    fn each_key_of_the_file_is_in_its_page() {
        let (pages, example) = (pages(), Config::default().to_toml());
        let page = &pages.iter().find(|(name, _)| name.ends_with(".5")).unwrap().1;
        let mut keys = 0;
        for line in example.lines() {
            let line = line.strip_prefix("# ").unwrap_or(line);
            if let Some((key, _)) = line.split_once(" = ")
                && !key.contains(' ')
            {
                keys += 1;
                let is_there = page.lines().any(|line| line == format!(".It Ic {key}"));
                assert!(is_there || page.contains(&format!("\n{key} = ")), "{key}");
            }
        }
        assert!(keys > 20, "{keys} keys");
    }
}
