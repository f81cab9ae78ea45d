#!/bin/sh
# Installs Leeward @VERSION@ on this machine: binary, systemd unit, user and folders.
#
#   install.sh [--from FOLDER|URL] [--archive]
#
# Takes the .deb or .rpm where there is dpkg or rpm, else the archive (--archive: in any case). Everything
# is fetched first and checked against SHA256SUMS; a mismatch installs nothing.
#
# --from  where the release lies. Default: the folder of this script when SHA256SUMS is beside it, so that
#         a release on a stick installs itself with no network; else the release's page.
set -eu

version=@VERSION@
from=
archive=

die() { echo "install.sh: $*" >&2; exit 1; }

parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --from) [ $# -ge 2 ] || die "--from wants a folder or a URL"; from=$2; shift 2 ;;
      --archive) archive=yes; shift ;;
      -h | --help) sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p }' "$0"; exit 0 ;;
      *) die "what is $1? (--help tells)" ;;
    esac
  done
  [ -z "$from" ] || return 0
  here=$(cd "$(dirname "$0")" && pwd)
  if [ -f "$here/SHA256SUMS" ]; then from=$here; else
    from=https://github.com/leeward-dev/leeward/releases/download/v$version
  fi
}

# A 32-bit system on a 64-bit processor has a 64-bit uname; the size of a `long` tells what programs run.
architecture() {
  machine=$(uname -m)
  [ "$(getconf LONG_BIT 2> /dev/null || echo 64)" = 64 ] || case $machine in aarch64 | arm64) machine=armv7l ;; esac
  case $machine in
    aarch64 | arm64) target=aarch64-unknown-linux-musl deb=arm64 rpm=aarch64 ;;
    armv7* | armv8l) target=armv7-unknown-linux-musleabihf deb=armhf rpm=armv7hl ;;
    x86_64 | amd64) target=x86_64-unknown-linux-musl deb=amd64 rpm=x86_64 ;;
    *) die "no release for $machine" ;;
  esac
}

# fetch NAME: into the working folder, from wherever the release lies.
fetch() {
  case $from in
    http://* | https://*)
      if command -v curl > /dev/null; then
        curl -fsSL --retry 5 --retry-delay 2 --connect-timeout 30 --max-time 1800 -o "$work/$1" "$from/$1"
      else
        wget -q -T 30 -O "$work/$1" "$from/$1"
      fi
      ;;
    *) cp "$from/$1" "$work/$1" ;;
  esac || die "cannot get $1 from $from"
}

verify() { # NAME
  grep -E "^[0-9a-f]{64}  $1\$" "$work/SHA256SUMS" > "$work/sum" || die "SHA256SUMS does not name $1"
  (cd "$work" && sha256sum -c sum > /dev/null 2>&1) || die "$1 is not what SHA256SUMS says; nothing was installed"
}

obtain() { # NAME
  fetch SHA256SUMS
  fetch "$1"
  verify "$1"
}

from_archive() {
  command -v systemd-sysusers > /dev/null || die "this machine has no systemd; see the archive for the bare binary"
  name=leeward-$version-$target
  obtain "$name.tar.gz"
  tar -xzf "$work/$name.tar.gz" -C "$work"
  cd "$work/$name"
  # Beside the old one and renamed over it: a power cut leaves the one or the other.
  install -m755 leeward /usr/bin/.leeward.new
  sync
  mv -f /usr/bin/.leeward.new /usr/bin/leeward
  install -Dm644 systemd/leeward.service /usr/lib/systemd/system/leeward.service
  install -Dm644 systemd/leeward.sysusers.conf /usr/lib/sysusers.d/leeward.conf
  install -Dm644 systemd/leeward.tmpfiles.conf /usr/lib/tmpfiles.d/leeward.conf
  install -Dm644 completions/leeward.bash /usr/share/bash-completion/completions/leeward
  mkdir -p /usr/share/man/man1
  install -m644 man/*.1 /usr/share/man/man1/
  systemd-sysusers leeward.conf
  mkdir -p /etc/leeward
  [ -e /etc/leeward/agent.toml ] || install -m640 systemd/agent.toml /etc/leeward/agent.toml
  systemd-tmpfiles --create leeward.conf || true
  systemctl enable leeward.service > /dev/null 2>&1 || true
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart leeward.service
  fi
}

main() {
  parse "$@"
  [ "$(id -u)" = 0 ] || die "must run as root"
  architecture
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  if [ -z "$archive" ] && command -v dpkg > /dev/null; then
    package=leeward_$version-1_$deb.deb
    obtain "$package"
    dpkg -i "$work/$package"
  elif [ -z "$archive" ] && command -v rpm > /dev/null; then
    package=leeward-$version-1.$rpm.rpm
    obtain "$package"
    rpm -U --replacepkgs "$work/$package"
  else
    from_archive
  fi
  echo "Installed Leeward $version for $machine. Next: edit /etc/leeward/agent.toml, then"
  echo "  leeward check && systemctl start leeward"
}

main "$@"
