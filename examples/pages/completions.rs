//! What shells complete: words, options, and values where they are files or a choice of few.

use std::fmt::Write;

use crate::help::{Help, Opt};

const MADE: &str = "made by cargo run --example pages, of what vitald --help prints";

/// Every spelling, as in `-c --config`.
fn spellings<'o>(options: impl IntoIterator<Item = &'o Opt>) -> String {
    let mut words = Vec::new();
    for option in options {
        words.extend(option.short.map(|short| format!("-{short}")));
        words.push(format!("--{}", option.long));
    }
    words.join(" ")
}

/// The options that go with `watch`: its own, and those that need no server here.
fn with_watch(help: &Help) -> Vec<Opt> {
    let common = help
        .options
        .iter()
        .filter(|option| matches!(option.long.as_str(), "config" | "help" | "version"));
    help.watch_options.iter().chain(common).cloned().collect()
}

/// A script for bash, with or without bash-completion.
pub fn bash(help: &Help) -> String {
    let words: Vec<&str> = help.commands().map(|command| command.word).collect();
    let mut values = String::new();
    let mut done = Vec::new();
    for option in help.all().filter(|option| option.value.is_some()) {
        if done.contains(&option.long) {
            continue;
        }
        let names = spellings([&option]).replace(' ', " | ");
        let reply = match option.choices() {
            _ if option.is_file() => "$(compgen -f -- \"$word\")".to_owned(),
            choices if choices.is_empty() => String::new(),
            choices => format!("$(compgen -W \"{}\" -- \"$word\")", choices.join(" ")),
        };
        let reply = match reply.is_empty() {
            true => "COMPREPLY=()".to_owned(),
            false => format!("mapfile -t COMPREPLY < <({})", &reply[2..reply.len() - 1]),
        };
        writeln!(values, "        {names}) {reply}; return ;;").expect("a String takes it");
        done.push(option.long);
    }
    let mut own = String::new();
    for (word, option) in help.own_options() {
        let all = spellings(help.options.iter().chain([&option]));
        writeln!(own, "        {word}) options=\"{all}\" ;;").expect("a String takes it");
    }
    let watch = spellings(&with_watch(help));
    let serve = spellings(&help.options);
    let cases = words.join(" | ");
    let words = words.join(" ");
    format!(
        r#"# bash completion for vitald; {MADE}

_vitald() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
    local command="" options each
    # bash takes --option=value for three words.
    if [ "$word" = "=" ]; then
        word=""
    elif [ "$before" = "=" ] && [ "$COMP_CWORD" -ge 2 ]; then
        before=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    case $before in
{values}    esac
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $each in
            {cases}) command=$each; break ;;
        esac
    done
    case $command in
        watch) options="{watch}" ;;
{own}        check) options="{serve}" ;;
        *) options="{words} {serve}" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}}
complete -o filenames -F _vitald vitald
"#
    )
}

/// A function for zsh, `_vitald` in its path.
pub fn zsh(help: &Help) -> String {
    let specs = |options: &[Opt]| {
        let lines: Vec<String> = options.iter().map(zsh_option).collect();
        lines.join(" \\\n                ")
    };
    let mut own = String::new();
    for (word, option) in help.own_options() {
        let mut options = help.options.clone();
        options.push(option);
        let line = format!(
            "        {word})\n            _arguments -s \\\n                {} \\\n                \
             '1:command:({word})'\n            ;;\n",
            specs(&options)
        );
        own.push_str(&line);
    }
    let commands: Vec<String> = help
        .commands()
        .map(|command| {
            format!(
                "                {}",
                zsh_quoted(&format!("{}:{}", command.word, command.meaning))
            )
        })
        .collect();
    let (commands, serve) = (commands.join("\n"), specs(&help.options));
    let watch = specs(&with_watch(help));
    let words: Vec<&str> = help.commands().map(|command| command.word).collect();
    let words = words.join("|");
    format!(
        r#"#compdef vitald
# zsh completion for vitald; {MADE}

_vitald() {{
    local -a commands
    local command each
    for each in ${{words[2,CURRENT-1]}}; do
        case $each in
            {words}) command=$each; break ;;
        esac
    done
    case $command in
        watch)
            _arguments -s \
                {watch} \
                '*:address:_hosts'
            ;;
{own}        check)
            _arguments -s \
                {serve} \
                '1:command:(check)'
            ;;
        *)
            commands=(
{commands}
            )
            _arguments -s \
                {serve} \
                '1:command:{{_describe command commands}}'
            ;;
    esac
}}

_vitald "$@"
"#
    )
}

fn zsh_option(option: &Opt) -> String {
    let long = &option.long;
    let star = if option.is_repeatable() { "*" } else { "" };
    let value = match (&option.value, option.choices()) {
        (None, _) => String::new(),
        (Some(value), _) if option.is_file() => format!(":{value}:_files"),
        (Some(value), choices) if choices.is_empty() => format!(":{value}: "),
        (Some(value), choices) => format!(":{value}:({})", choices.join(" ")),
    };
    let joint = if option.value.is_some() { "=" } else { "" };
    let escaped = option.meaning.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    let meaning = format!("[{escaped}]{value}");
    match option.short {
        Some(short) => {
            let plus = if option.value.is_some() { "+" } else { "" };
            let excluded = match star {
                "" => format!("'(-{short} --{long})'"),
                _ => "'*'".to_owned(),
            };
            format!("{excluded}{{-{short}{plus},--{long}{joint}}}{}", zsh_quoted(&meaning))
        }
        None => zsh_quoted(&format!("{star}--{long}{joint}{meaning}")),
    }
}

fn zsh_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Commands for fish.
pub fn fish(help: &Help) -> String {
    let words: Vec<&str> = help.commands().map(|command| command.word).collect();
    let words = words.join(" ");
    let mut text = format!("# fish completion for vitald; {MADE}\n\ncomplete -c vitald -f\n");
    let mut push = |condition: &str, rest: &str| {
        let condition = if condition.is_empty() { "" } else { &format!(" -n '{condition}'") };
        writeln!(text, "complete -c vitald{condition} {rest}").expect("a String takes it");
    };
    let none_yet = format!("not __fish_seen_subcommand_from {words}");
    for command in help.commands() {
        push(&none_yet, &format!("-a {} -d {}", command.word, fish_quoted(command.meaning)));
    }
    for option in &help.options {
        let is_common = with_watch(help)
            .iter()
            .any(|other| other.long == option.long && other.meaning == option.meaning);
        let condition = if is_common { "" } else { "not __fish_seen_subcommand_from watch" };
        push(condition, &fish_option(option));
    }
    for option in &help.watch_options {
        push("__fish_seen_subcommand_from watch", &fish_option(option));
    }
    for (word, option) in help.own_options() {
        push(&format!("__fish_seen_subcommand_from {word}"), &fish_option(&option));
    }
    text
}

fn fish_option(option: &Opt) -> String {
    let short = option.short.map(|short| format!("-s {short} ")).unwrap_or_default();
    let value = match (&option.value, option.choices()) {
        (None, _) => String::new(),
        (Some(_), _) if option.is_file() => "-r -F ".to_owned(),
        (Some(_), choices) if choices.is_empty() => "-x ".to_owned(),
        (Some(_), choices) => format!("-x -a '{}' ", choices.join(" ")),
    };
    format!("{short}-l {} {value}-d {}", option.long, fish_quoted(&option.meaning))
}

fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
