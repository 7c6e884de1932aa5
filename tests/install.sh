# What the tests in other languages share, to be sourced: installs what they need, and finds the binary.
# Status 2 of the script that sources it: it could not run.

# Each of "tool" or "tool:package" whose tool is not in PATH, and what is in `missing` already, from
# Debian, where it may.
install_debian() {
  local tool
  PATH=$PATH:/usr/sbin
  for tool; do
    command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "this test needs ${missing[*]}; install them, or run it as root on Debian" >&2
    exit 2
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update >/dev/null
  apt-get install --yes --no-install-recommends "${missing[@]}" >/dev/null
}
missing=()

# A folder that is named after what is in it is made once, and whole: `install_into FOLDER COMMAND...`.
install_into() {
  local folder=$1
  shift
  if [ -f "$folder/.ok" ]; then return; fi
  rm -rf "$folder"
  mkdir -p "$folder"
  if ! "$@" "$folder" >"$folder.log" 2>&1; then
    echo "packages cannot be installed; the end of $folder.log:" >&2
    tail -5 "$folder.log" >&2
    exit 2
  fi
  touch "$folder/.ok"
}

# Sets NODE_MODULES to where the packages that a package.json names are: `install_node FILE HOME`.
install_node() {
  local folder
  folder=$2/node-$(cksum <"$1" | cut -d' ' -f1)
  install_into "$folder" npm_install "$1"
  export NODE_MODULES=$folder/node_modules
}
npm_install() {
  cp "$1" "$2" &&
    (cd "$2" && npm install --no-audit --no-fund --no-update-notifier --ignore-scripts)
}

# Sets VITALD, to the debug build unless it is set.
build_vitald() {
  if [ -n "${VITALD:-}" ]; then return; fi
  cargo build --locked --quiet
  VITALD=${CARGO_TARGET_DIR:-target}/debug/vitald
}

# Each of "tool@version" from crates.io, in a folder that stays, and in PATH. Without optimisation: it
# takes a third of the time to build, and is run for seconds.
install_cargo() {
  local tool home=${CARGO_TOOLS_HOME:-$HOME/.cache/vitald-cargo}
  for tool; do
    install_into "$home/$tool" cargo_install "$tool"
    PATH=$home/$tool/bin:$PATH
  done
}
cargo_install() {
  CARGO_TARGET_DIR=$2/target cargo install --locked --debug --root "$2" "$1" && rm -rf "$2/target"
}
