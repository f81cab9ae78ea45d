#!/bin/bash
# A cross toolchain for static musl binaries, made of Debian's packages only and private to one folder.
#
#   packaging/toolchain.sh setup [TARGET…]    makes it, where it is not made yet
#   eval "$(packaging/toolchain.sh env)"      points cargo at it: cargo build --release --target TARGET
#
# It lies in $LEEWARD_CACHE/toolchain (~/.cache/leeward/toolchain). PATH, rustup and the system's compiler
# stay as they are; of the system it installs Debian's cross compilers and qemu's user emulators.
#
# Why: rustup carries no ARM std where its servers cannot be reached. Debian's security suite carries a
# current compiler (rustc-web) and the sources of its std (rust-web-src), so std is built here, once a
# target, and laid where that compiler looks for it.
set -euo pipefail
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"

root=$cache/toolchain
rust_source=$root/rust/usr/lib/rustlib/src/rust
# 64-bit time on 32-bit ARM. Without it std and the libc crate use musl's old calls, and 2038 is the end.
export RUST_LIBC_UNSTABLE_MUSL_V1_2_3=1

apt_private() { APT_CONFIG=$root/apt/apt.conf timeout 900 "$@"; }

# An index of our own: foreign architectures are seen without `dpkg --add-architecture`, after which a mirror
# that lacks one of them would break the machine's own `apt-get update`. The security suite is read for
# amd64 only, since only the compiler comes from there; musl comes from the main suite.
index() {
  mkdir -p "$root"/apt/{state/lists/partial,cache/archives/partial,parts}
  : > "$root/apt/status"
  # shellcheck disable=SC2016  # the dollars are apt's
  apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' | grep '/debian' | sort -u |
    while read -r uri suite component; do
      local architectures="amd64 arm64 armhf"
      case $suite in *-security) architectures=amd64 ;; esac
      printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nArchitectures: %s\nSigned-By: %s\n\n' \
        "$uri" "$suite" "$component" "$architectures" /usr/share/keyrings/debian-archive-keyring.gpg
    done > "$root/apt/parts/debian.sources"
  cat > "$root/apt/apt.conf" <<CONF
Dir::State "$root/apt/state"; Dir::State::status "$root/apt/status"; Dir::Cache "$root/apt/cache";
Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "$root/apt/parts";
APT::Architecture "amd64"; APT::Architectures { "amd64"; "arm64"; "armhf"; };
APT::Sandbox::User "root";
CONF
  apt_private apt-get -q update >&2
}

# unpack FOLDER PACKAGE…: fetches, checks against the signed index, unpacks; installs nothing.
unpack() {
  local to=$1 fetched; shift
  fetched=$(mktemp -d); mkdir -p "$to"
  (cd "$fetched" && apt_private apt-get -q download "$@" >&2)
  local package
  for package in "$fetched"/*.deb; do dpkg -x "$package" "$to"; basename "$package" .deb >> "$root/versions"; done
  rm -rf "$fetched"
}

dependency() { # PACKAGE PREFIX: the name of the first dependency that begins so
  apt_private apt-cache depends "$1" | awk -v prefix="$2" '/Depends:/ && index($2, prefix) == 1 { print $2; exit }'
}

compiler() {
  [ ! -e "$root/compiler.done" ] || return 0
  say "unpacking Debian's Rust compiler"
  rm -rf "$root"; mkdir -p "$root/bin"
  index
  local std llvm tool
  std=$(dependency libstd-rust-web-dev libstd-rust-web-)
  llvm=$(dependency "$std" libllvm)
  unpack "$root/rust" rustc-web libstd-rust-web-dev "$std" "$llvm" rust-web-src
  # A folder instead of a link, so that cargo sees std below its workspace (see `standard_library`).
  mv --no-target-directory "$(readlink -f "$rust_source")" "$rust_source.moved"
  rm "$rust_source"; mv "$rust_source.moved" "$rust_source"
  for tool in rustc rustdoc; do
    cat > "$root/bin/$tool" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH="$root/rust/usr/lib/x86_64-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "$root/rust/usr/bin/$tool" "\$@"
WRAPPER
  done
  # As in rustc's own build: panic_abort alone is compiled with the abort strategy, the rest can unwind.
  cat > "$root/bin/std-wrapper" <<'WRAPPER'
#!/bin/sh
case " $* " in *" --crate-name panic_abort "*) exec "$@" -C panic=abort ;; esac
exec "$@"
WRAPPER
  chmod +x "$root"/bin/*
  "$root/bin/rustc" --version >> "$root/versions"
  touch "$root/compiler.done"
}

# cargo hashes a path below its workspace relatively, any other as it is, and the hash gets into every
# symbol. The workspace is therefore laid around std's sources: so the bytes of a release do not depend on
# where the toolchain lies.
standard_library() { # TARGET
  local target=$1 library=$root/rust/usr/lib/rustlib/$1/lib build=$root/std/$1
  rm -rf "$library" "$build"; mkdir -p "$library/self-contained" "$rust_source/src"
  printf '[package]\nname = "sysroot"\nversion = "0.0.0"\nedition = "2021"\n[profile.release]\nopt-level = "s"\ncodegen-units = 1\n' \
    > "$rust_source/Cargo.toml"
  : > "$rust_source/src/lib.rs"
  (cd "$rust_source" && RUSTC_BOOTSTRAP=1 RUSTC=$root/bin/rustc RUSTC_WRAPPER=$root/bin/std-wrapper \
    CARGO_TARGET_DIR=$build CARGO_INCREMENTAL=0 \
    RUSTFLAGS="-C embed-bitcode=yes -C force-unwind-tables=yes --remap-path-prefix=$root=/toolchain --remap-path-prefix=$cargo_home=/cargo" \
    cargo build --quiet -Z build-std=std,test,panic_abort,panic_unwind --release --target "$target")
  cp "$build/$target/release/deps"/lib*.rlib "$library/"
  rm -rf "$library"/libsysroot-*.rlib "$build"
}

# What rustup calls self-contained: musl's start files and libc, gcc's crtbegin and crtend, an unwinder; and
# the C compiler for crates that hold C: the cross gcc with musl's headers, the kernel's after them.
c_library() { # TARGET
  local target=$1 debian gnu musl kernel file self=$root/rust/usr/lib/rustlib/$1/lib/self-contained
  read -r debian gnu musl _ < <(target_facts "$target")
  local from=$root/musl/$debian/usr
  unpack "$root/musl/$debian" "musl-dev:$debian"
  kernel=/usr/$gnu/include
  [ -d "$kernel" ] || kernel=/usr/include
  cat > "$root/bin/$musl-gcc" <<WRAPPER
#!/bin/sh
exec $gnu-gcc -nostdinc -isystem $from/include/$musl -isystem $("$gnu-gcc" -print-file-name=include) -idirafter $kernel "\$@"
WRAPPER
  chmod +x "$root/bin/$musl-gcc"
  cp "$from/lib/$musl"/{crt1,Scrt1,rcrt1,crti,crtn}.o "$from/lib/$musl/libc.a" "$self/"
  for file in crtbegin.o crtbeginS.o crtend.o crtendS.o; do cp "$("$gnu-gcc" -print-file-name=$file)" "$self/"; done
  cp "$("$gnu-gcc" -print-file-name=libgcc_eh.a)" "$self/libunwind.a"
  "$root/bin/$musl-gcc" -Os -fPIC -ffunction-sections -c "$packaging/dl_find_object.c" -o "$self/dl_find_object.o"
  "$gnu-gcc-ar" rsD "$self/libunwind.a" "$self/dl_find_object.o" 2>/dev/null
  rm "$self/dl_find_object.o"
}

# A program of the new std must start, and see the year of a file after 2038: where time has 32 bits it would
# see a negative number.
try_out() { # TARGET
  local target=$1 gnu qemu work seen run=()
  read -r _ gnu _ _ qemu < <(target_facts "$target")
  [ "$qemu" = x86_64 ] || run=("qemu-$qemu-static")
  work=$(mktemp -d)
  cat > "$work/main.rs" <<'RUST'
fn main() {
    let file = std::env::args().nth(1).expect("a file is named");
    let modified = std::fs::metadata(file).and_then(|file| file.modified()).expect("it is there");
    println!("{}", modified.duration_since(std::time::UNIX_EPOCH).expect("it is after 1970").as_secs());
}
RUST
  "$root/bin/rustc" --target "$target" -C "linker=$gnu-gcc" -o "$work/main" "$work/main.rs"
  touch --date=@2253836096 "$work/file"
  seen=$("${run[@]}" "$work/main" "$work/file") || seen=nothing
  rm -rf "$work"
  [ "$seen" = 2253836096 ] || die "std for $target is faulty: it takes 2041 for $seen"
}

# The certificate authorities that Mozilla trusts, for images. Not the machine's own file, to which an
# administrator may have added others.
roots() {
  unpack "$root/ca-certificates" ca-certificates
  local certificate
  find "$root/ca-certificates/usr/share/ca-certificates/mozilla" -name '*.crt' | LC_ALL=C sort |
    while read -r certificate; do cat "$certificate"; done > "$root/roots.pem"
}

setup() { # TARGET…
  [ "$(uname -m)" = x86_64 ] || die "runs on x86-64 only"
  apt_need binutils gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
    gcc-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-user-static
  mkdir -p "$cache"
  exec 9> "$cache/toolchain.lock"
  timeout 1800 flock 9 || die "another one has been making the toolchain for half an hour"
  compiler
  [ -s "$root/roots.pem" ] || roots
  local target
  for target in "$@"; do
    [ ! -e "$root/$target.done" ] || continue
    say "building std for $target"
    standard_library "$target"
    c_library "$target"
    try_out "$target"
    # Names this std: what was compiled against another one cannot be linked with it.
    date +%s%N > "$root/$target.done"
  done
}

environment() {
  local target debian gnu musl qemu name
  echo "export RUSTC='$root/bin/rustc' RUSTDOC='$root/bin/rustdoc' RUST_LIBC_UNSTABLE_MUSL_V1_2_3=1"
  for target in $ALL_TARGETS; do
    read -r debian gnu musl _ qemu < <(target_facts "$target")
    name=${target//-/_}
    echo "export CARGO_TARGET_${name^^}_LINKER=$gnu-gcc CC_$name='$root/bin/$musl-gcc' AR_$name=$gnu-gcc-ar"
    [ "$debian" = amd64 ] || echo "export CARGO_TARGET_${name^^}_RUNNER=qemu-$qemu-static"
  done
}

main() {
  local verb=${1:-} targets
  # shellcheck disable=SC2206  # a list of words
  [ $# -gt 1 ] && targets=("${@:2}") || targets=($ALL_TARGETS)
  case $verb in
    setup) setup "${targets[@]}" ;;
    env) environment ;;
    -h | --help) usage ;;
    *) usage >&2; exit 64 ;;
  esac
}

main "$@"; exit
