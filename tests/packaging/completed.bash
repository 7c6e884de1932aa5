# What bash completes, compared; prints what is not as it should be.
. packaging/completions/vitald.bash
completes() {
  local wanted=$1
  shift
  COMP_WORDS=(vitald "$@")
  COMP_CWORD=$#
  COMPREPLY=()
  _vitald
  [ "${COMPREPLY[*]}" = "$wanted" ] || echo "vitald $*: ${COMPREPLY[*]}, not $wanted"
}
completes "watch" w
completes "debug" --log-level d
completes "warn" --log-level = wa
completes "--topics --token-file" watch --to
completes "--pretty" once --p
completes "" watch --p
completes "README.md" --config READ
completes "" --listen ""
