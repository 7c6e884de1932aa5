# bash completion for vitald; made by cargo run --example pages, of what vitald --help prints

_vitald() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local command="" options each
    # bash takes --option=value for three words.
    if [ "$word" = "=" ]; then
        word=""
    elif [ "$before" = "=" ] && [ "$COMP_CWORD" -ge 2 ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $before in
        -c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        -l | --listen) COMPREPLY=(); return ;;
        -i | --interval) COMPREPLY=(); return ;;
        --token-file) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --allow-host) COMPREPLY=(); return ;;
        --allow-origin) COMPREPLY=(); return ;;
        --max-connections) COMPREPLY=(); return ;;
        --log-level) mapfile -t COMPREPLY < <(compgen -W "error warn info debug trace" -- "$word"); return ;;
        --topics) COMPREPLY=(); return ;;
        --count) COMPREPLY=(); return ;;
    esac
    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $each in
            once | watch | check) command=$each; break ;;
        esac
    done
    case $command in
        watch) options="-i --interval --topics --json --count --token-file -c --config -V --version -h --help" ;;
        once) options="-c --config -l --listen -i --interval --token-file --no-auth --allow-host --allow-origin --max-connections --log-level -V --version -h --help --pretty" ;;
        check) options="-c --config -l --listen -i --interval --token-file --no-auth --allow-host --allow-origin --max-connections --log-level -V --version -h --help" ;;
        *) options="once watch check -c --config -l --listen -i --interval --token-file --no-auth --allow-host --allow-origin --max-connections --log-level -V --version -h --help" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}
complete -o filenames -F _vitald vitald
