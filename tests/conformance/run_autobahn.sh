#!/usr/bin/env bash
# The Autobahn test suite as a fuzzing client against a WebSocket endpoint that echoes.
#
#   run_autobahn.sh URL OUTDIR [CASES]
#
#   URL            on loopback: ws://127.0.0.1:9001/
#   OUTDIR         gets index.json, index.html and a page for each case
#   CASES          patterns with spaces between; unless given, all
#   ENGINE         auto: wstest, the reference, if there is a Python 2.7 with pip, else kosoku
#                  (Python 3.10 or newer), which lets a server pass that never closes TCP
#   PY2            the Python 2.7; looked for in ~/.pyenv and on the path unless given
#   AUTOBAHN_HOME  where the engines are kept: ~/.cache/autobahn-conform unless given. The first run
#                  installs them there from PyPI, by name and version
#   LIMIT          seconds that a run may take: 540 unless given
#
# Last come the cases that passed without being strict, those that the server did not agree to play,
# those that failed, and "N passed, N failed".
# Status 1: a case failed; 2: it could not run. NON-STRICT, INFORMATIONAL and UNIMPLEMENTED pass.
set -euo pipefail
url=${1:?URL}
out=$(mkdir -p "${2:?OUTDIR}" && cd "$2" && pwd)
cases=${3:-*}
engine=${ENGINE:-auto}
limit=${LIMIT:-540}
home=${AUTOBAHN_HOME:-$HOME/.cache/autobahn-conform}

case $url in
  ws://127.0.0.1[:/]* | ws://localhost[:/]*) ;;
  *)
    echo "loopback only: $url" >&2
    exit 2
    ;;
esac
mkdir -p "$home"

# Shims of pyenv are on the path even when no version stands behind them: ask for pip.
find_python2() {
  local python
  for python in "$HOME"/.pyenv/versions/2.7.*/bin/python2.7 "$(command -v python2.7 || true)"; do
    if [ -x "$python" ] && "$python" -m pip --version >/dev/null 2>&1; then
      echo "$python"
      return
    fi
  done
}

# The suite pins what it depends on, so its own version is enough. Builds four packages with gcc.
install_wstest() {
  if [ -z "$python2" ]; then return 1; fi
  if [ -f "$home/py27/.ok" ]; then return; fi
  rm -rf "$home/py27"
  "$python2" -m pip install -q --disable-pip-version-check --no-warn-script-location \
    --target "$home/py27" autobahntestsuite==25.10.1 >"$home/pip27.log" 2>&1 &&
    touch "$home/py27/.ok"
}

install_kosoku() {
  if [ -f "$home/py3/.ok" ]; then return; fi
  rm -rf "$home/py3"
  python3 -m venv "$home/py3" &&
    "$home/py3/bin/pip" install -q --disable-pip-version-check kosoku==0.1.0 \
      >"$home/pip3.log" 2>&1 &&
    touch "$home/py3/.ok"
}

run_wstest() {
  python3 - "$url" "$out" "$cases" >"$out/spec.json" <<'PYTHON'
import json, sys

url, out, cases = sys.argv[1:]
print(json.dumps({
    "outdir": out,
    "servers": [{"agent": "server", "url": url}],
    "cases": cases.split(),
    "exclude-cases": [],
    "exclude-agent-cases": {},
}))
PYTHON
  timeout "$limit" "$python2" -c 'import site, sys
site.addsitedir(sys.argv.pop(1))
sys.argv[0] = "wstest"
from autobahntestsuite.wstest import run
run()' "$home/py27" -m fuzzingclient -s "$out/spec.json" >"$out/run.log" 2>&1
}

run_kosoku() {
  local arguments=() pattern
  set -f
  for pattern in $cases; do [ "$pattern" = '*' ] || arguments+=(-i "$pattern"); done
  set +f
  case $url in ws://*/?*) echo "note: kosoku sends the request to the path in $url" >&2 ;; esac
  timeout "$limit" "$home/py3/bin/kosoku" -m fuzzingclient "$url" -o "$out" -p 2 \
    ${arguments[@]+"${arguments[@]}"} >"$out/run.log" 2>&1
}

python2=${PY2:-$(find_python2)}
if [ "$engine" = auto ]; then
  engine=kosoku
  if [ -n "$python2" ]; then engine=wstest; fi
fi
if [ "$engine" = wstest ] && ! install_wstest; then
  echo "note: wstest cannot be set up (see $home/pip27.log), using kosoku" >&2
  engine=kosoku
fi
if [ "$engine" = kosoku ] && ! install_kosoku; then
  echo "kosoku cannot be set up (see $home/pip3.log)" >&2
  exit 2
fi

rm -f "$out/index.json"
started=$(date +%s)
status=0
"run_$engine" || status=$?
seconds=$(($(date +%s) - started))
if [ ! -s "$out/index.json" ]; then
  echo "no report after $seconds s (status $status); the last of $out/run.log:" >&2
  tail -5 "$out/run.log" >&2
  exit 2
fi
# wstest leaves a case without a connection out of its report; kosoku reports each.
wanted=$(grep -oE 'will run [0-9]+ test cases' "$out/run.log" | grep -oE '[0-9]+' | head -1 || true)
python3 - "$out/index.json" "$engine" "$seconds" "${wanted:-0}" <<'PYTHON'
import json, sys
from collections import Counter

GOOD = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED")
path, engine, seconds, wanted = sys.argv[1:]
results = {}
with open(path) as report:
    for agent in json.load(report).values():
        results.update(agent)


def listed(wants):
    cases = [case for case, result in results.items() if wants(result)]
    return sorted(cases, key=lambda case: [int(number) for number in case.split(".")])


def counted(what):
    return dict(Counter(result[what] for result in results.values()))


failed = listed(lambda result: not {result["behavior"], result["behaviorClose"]} <= set(GOOD))
print("engine %s, %s s, %d cases: %s; close: %s" % (
    engine, seconds, len(results), counted("behavior"), counted("behaviorClose")))
print("non-strict: " + " ".join(listed(lambda result: result["behavior"] == "NON-STRICT")))
print("unimplemented: " + " ".join(listed(lambda result: result["behavior"] == "UNIMPLEMENTED")))
for case in failed[:40]:
    print("failed %s: %s, close %s, remote code %s" % (
        case, results[case]["behavior"], results[case]["behaviorClose"],
        results[case].get("remoteCloseCode")))
lost = max(int(wanted) - len(results), 0 if results else 1)
if lost:
    print("no result for %d cases (the server was not there, or it died)" % lost)
print("failing: " + " ".join(failed))
print("%d passed, %d failed" % (len(results) - len(failed), len(failed) + lost))
sys.exit(bool(failed or lost))
PYTHON
