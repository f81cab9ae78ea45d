#!/bin/bash
# Makes all that a release has, into dist/ (or $DIST).
#
#   packaging/release.sh VERSION [TARGET…]
#
# Targets: aarch64-unknown-linux-musl, armv7-unknown-linux-musleabihf, x86_64-unknown-linux-musl; without
# any, all three. VERSION is that of Cargo.toml, with or without a leading v.
#
# A target gets an archive, a .deb, a .rpm and an OCI image; the release an install.sh, an SBOM and
# SHA256SUMS. On Debian 12 for x86-64 with Rust, a C compiler, Python and git it installs the rest by
# itself (see toolchain.sh); as root, or with sudo.
#
# The same commit, toolchain and SOURCE_DATE_EPOCH (default: the time of the commit) give the same bytes,
# whatever the folder. BUILDINFO names what was used.
set -euo pipefail
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"
umask 022
export LC_ALL=C TZ=UTC

dist=$(realpath -m "${DIST:-$repository/dist}")
build=${CARGO_TARGET_DIR:-$repository/target}

# archive FOLDER FILE: the folder as a .tar.gz, the same whenever and by whomever it is made.
archive() {
  tar --directory "$(dirname "$1")" --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" \
    --owner=0 --group=0 --numeric-owner --create "$(basename "$1")" | gzip -9n > "$2"
}

# All targets by one cargo: what runs at build time is compiled once, and while one target is linked by one
# core, another one is compiled by the next.
compile() { # TARGET…
  say "compiling for $*"
  local target name arguments=()
  for target in "$@"; do
    # cargo does not see that std was made anew.
    if ! cmp -s "$cache/toolchain/$target.done" "$build/$target/toolchain"; then
      rm -rf "${build:?}/$target"
      mkdir -p "$build/$target"
      cp "$cache/toolchain/$target.done" "$build/$target/toolchain"
    fi
    arguments+=(--target "$target")
  done
  (
    cd "$repository"
    eval "$("$packaging/toolchain.sh" env)"
    for target in "$@"; do
      name=${target//-/_}
      export "CARGO_TARGET_${name^^}_RUSTFLAGS=--remap-path-prefix=$repository=/leeward --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$cache/toolchain=/toolchain -C force-unwind-tables=no"
    done
    CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$build cargo build --quiet --release --locked --package leeward "${arguments[@]}"
  )
}

# The tree that archive and packages are cut from.
stage() { # TARGET FOLDER
  local target=$1 to=$2 binary=$build/$1/release/leeward qemu run=()
  read -r _ _ _ _ qemu < <(target_facts "$target")
  [ "$qemu" = x86_64 ] || run=("qemu-$qemu-static")
  rm -rf "$to"
  mkdir -p "$to"/{completions,man,systemd}
  install -m755 "$binary" "$to/leeward"
  "${run[@]}" "$binary" completions bash > "$to/completions/leeward.bash"
  "${run[@]}" "$binary" completions zsh > "$to/completions/_leeward"
  "${run[@]}" "$binary" completions fish > "$to/completions/leeward.fish"
  "${run[@]}" "$binary" man --dir "$to/man" > /dev/null
  install -m644 "$repository"/{LICENSE,README.md,CHANGELOG.md} "$to/"
  install -m644 "$repository"/systemd/* "$packaging/package/agent.toml" "$to/systemd/"
}

packages() { # TARGET STAGED WORK
  local target=$1 staged=$2 work=$3 debian arch format file
  read -r debian _ < <(target_facts "$target")
  arch=$debian
  [ "$arch" != armhf ] || arch=arm7
  mkdir -p "$work/man" "$work/doc"
  for file in "$staged"/man/*.1; do gzip -9n < "$file" > "$work/man/${file##*/}.gz"; done
  gzip -9n < "$repository/CHANGELOG.md" > "$work/doc/CHANGELOG.md.gz"
  cat <<CHANGELOG | gzip -9n > "$work/doc/changelog.Debian.gz"
leeward ($version-1) stable; urgency=medium

  * Release $version. What is new is told in CHANGELOG.md.

 -- Leeward maintainers <maintainers@leeward.dev>  $(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
CHANGELOG
  find "$work" "$staged" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  for format in deb rpm; do
    (cd "$repository" && VERSION=$version ARCH=$arch STAGED=$staged WORK=$work \
      timeout 300 "$nfpm" package --config packaging/package/nfpm.yaml --packager "$format" --target "$dist/" > /dev/null)
  done
}

image() { # TARGET STAGED
  local debian platform
  read -r debian _ _ platform _ < <(target_facts "$1")
  python3 "$packaging/image/oci.py" --version "$version" --platform "$platform" --created "$SOURCE_DATE_EPOCH" \
    --revision "$revision" --file "usr/bin/leeward=$2/leeward" \
    --file "etc/ssl/certs/ca-certificates.crt=$cache/toolchain/roots.pem" "$dist/leeward-$version-oci-$debian.tar"
}

build_info() {
  echo "version $version"
  echo "commit $revision$(git -C "$repository" diff --quiet HEAD || echo ' (with changes)')"
  echo "source_date_epoch $SOURCE_DATE_EPOCH"
  cargo --version
  sort -u "$cache/toolchain/versions"
  dpkg-query -W -f '${Package}_${Version}\n' gcc-12-aarch64-linux-gnu gcc-12-arm-linux-gnueabihf gcc-12 2> /dev/null
  cut -d' ' -f1 "$packaging/tools.txt"
}

main() {
  case ${1:-} in
    -h | --help) usage; exit 0 ;;
    '' | -*) usage >&2; exit 64 ;;
  esac
  version=${1#v}; shift
  local targets=${*:-$ALL_TARGETS} target declared name
  declared=$(sed -n 's/^version = "\(.*\)"/\1/p' "$repository/Cargo.toml" | head -1)
  [ "$version" = "$declared" ] || die "Cargo.toml says $declared, not $version"
  for target in $targets; do target_facts "$target" > /dev/null; done
  : "${SOURCE_DATE_EPOCH:=$(git -C "$repository" log -1 --format=%ct)}"
  export SOURCE_DATE_EPOCH
  revision=$(git -C "$repository" rev-parse HEAD)

  # shellcheck disable=SC2086  # a list of words
  "$packaging/toolchain.sh" setup $targets
  need_nfpm
  rm -rf "$dist"; mkdir -p "$dist"
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
  # shellcheck disable=SC2086  # a list of words
  compile $targets
  for target in $targets; do
    say "packing for $target"
    name=leeward-$version-$target
    stage "$target" "$work/$target/$name"
    archive "$work/$target/$name" "$dist/$name.tar.gz"
    packages "$target" "$work/$target/$name" "$work/$target.packages"
    image "$target" "$work/$target/$name"
  done
  sed "s/@VERSION@/$version/" "$packaging/install.sh" > "$dist/install.sh"
  chmod 755 "$dist/install.sh"
  # shellcheck disable=SC2086  # a list of words
  python3 "$packaging/sbom.py" --repository "$repository" --version "$version" --created "$SOURCE_DATE_EPOCH" \
    --toolchain "$cache/toolchain/versions" $targets > "$dist/sbom.cdx.json"
  build_info > "$dist/BUILDINFO"
  (cd "$dist" && sha256sum -- * > "$work/sums" && mv "$work/sums" SHA256SUMS)
  say "done"
  ls -l "$dist" >&2
}

main "$@"; exit
