# What fish completes, compared; prints what is not as it should be.
source packaging/completions/vitald.fish
function completes
    set found (complete -C "vitald $argv[1]" | string replace -r '\t.*' '')
    test "$found" = "$argv[2]"; or echo "vitald $argv[1]: $found, not $argv[2]"
end
completes w watch
completes "--log-level d" debug
completes "watch --to" "--token-file --topics"
completes "once --p" --pretty
completes "watch --p" ""
completes "--config READ" README.md
