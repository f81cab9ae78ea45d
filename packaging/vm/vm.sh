#!/bin/bash
# A virtual ARM board: Debian's own kernel, a static shell, one disk, no other software.
#
#   packaging/vm/vm.sh setup arm64|armhf                        fetches emulator, kernel and shell, installs none of them
#   packaging/vm/vm.sh initrd arm64|armhf BINARY SCRIPT OUT     the board's memory disk: it mounts the disk, runs SCRIPT
#   packaging/vm/vm.sh boot arm64|armhf INITRD [qemu option…]   becomes the emulator
#
# The disk is the first virtio block device, mounted on /mnt. See powercut.py for what it is used for.
set -euo pipefail
# shellcheck source=../common.sh
source "$(dirname "$0")/../common.sh"

vm=$cache/vm
export APT_CONFIG=$cache/toolchain/apt/apt.conf

unpack() { # FOLDER PACKAGE…
  local to=$1 fetched package; shift
  fetched=$(mktemp -d); mkdir -p "$to"
  (cd "$fetched" && timeout 900 apt-get -q download "$@" >&2)
  for package in "$fetched"/*.deb; do dpkg -x "$package" "$to"; done
  rm -rf "$fetched"
}

setup() { # ARCHITECTURE
  APT_CONFIG='' apt_need cpio kmod e2fsprogs git
  APT_CONFIG='' "$packaging/toolchain.sh" setup aarch64-unknown-linux-musl
  mkdir -p "$vm"
  # Unpacked: installing it would replace newer parts of qemu that the machine may have.
  if [ ! -e "$vm/qemu.done" ]; then
    # shellcheck disable=SC2046  # a list of words
    unpack "$vm/qemu" $(APT_CONFIG='' apt-get install -s --no-install-recommends qemu-system-arm | awk '/^Inst/ { print $2 }')
    touch "$vm/qemu.done"
  fi
  if [ ! -e "$vm/$1.done" ]; then
    local kernel=linux-image-arm64
    [ "$1" = arm64 ] || kernel=linux-image-armmp
    kernel=$(apt-cache depends "$kernel:$1" | awk '/Depends:/ { print $2; exit }')
    unpack "$vm/$1" "$kernel" "busybox-static:$1"
    depmod -b "$vm/$1" "$(ls "$vm/$1/lib/modules")"
    touch "$vm/$1.done"
  fi
  [ -e "$vm/$1/sbin/e2fsck.static" ] || unpack "$vm/$1" "e2fsck-static:$1"
}

# modules FOLDER: into FOLDER/mod, and in FOLDER/mod/order one after those that it needs.
modules() {
  local from=$vm/$arch/lib/modules wanted file
  from=$from/$(ls "$from")
  for wanted in crc32c_generic virtio_pci virtio_mmio virtio_blk virtio_net ext4; do
    for file in $(grep "/$wanted\.ko:" "$from/modules.dep" | tr -d ':' | tr ' ' '\n' | tac); do
      [ ! -e "$1/mod/${file##*/}" ] || continue
      cp "$from/$file" "$1/mod/"
      echo "${file##*/}" >> "$1/mod/order"
    done
  done
}

initrd() { # BINARY SCRIPT OUT
  local tree; tree=$(mktemp -d)
  mkdir -p "$tree"/{bin,proc,sys,dev,mnt,tmp,etc/ssl/certs,run,mod}
  cp "$vm/$arch/bin/busybox" "$vm/$arch/sbin/e2fsck.static" "$tree/bin/"
  cp "$1" "$tree/bin/leeward"
  cp "$cache/toolchain/roots.pem" "$tree/etc/ssl/certs/ca-certificates.crt"
  cp "$2" "$tree/script"
  modules "$tree"
  cat > "$tree/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2> /dev/null
for module in $(cat /mod/order); do insmod "/mod/$module"; done
echo "127.0.0.1 localhost" > /etc/hosts
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
# A cut in the middle of the journal's own commit block is more than the kernel mends by itself. Every
# distribution's boot mends it so.
if ! mount -t ext4 /dev/vda /mnt 2> /dev/null; then
  e2fsck.static -y /dev/vda > /tmp/mended 2>&1
  echo "MENDED $(tr '\n' ' ' < /tmp/mended)"
  mount -t ext4 /dev/vda /mnt
fi
if grep -q ' /mnt ' /proc/mounts; then sh /script; else echo "FAULT cannot mount the disk"; fi
sync
umount /mnt
poweroff -f
INIT
  chmod +x "$tree/init"
  (cd "$tree" && find . | cpio -o -H newc --quiet | gzip -1) > "$3"
  rm -rf "$tree"
}

boot() { # INITRD [option…]
  local initrd=$1 program=aarch64 machine=(virt -cpu cortex-a53); shift
  # Without highmem=off a 32-bit kernel does not find the PCI bus.
  [ "$arch" = arm64 ] || { program=arm; machine=(virt,highmem=off -cpu cortex-a15); }
  LD_LIBRARY_PATH=$vm/qemu/usr/lib/x86_64-linux-gnu:$vm/qemu/lib/x86_64-linux-gnu \
    exec "$vm/qemu/usr/bin/qemu-system-$program" -L "$vm/qemu/usr/share/qemu" \
    -M "${machine[@]}" -smp 1 -m 256 -display none -monitor none -serial stdio -no-reboot \
    -kernel "$vm/$arch"/boot/vmlinuz-* -initrd "$initrd" -append "console=ttyAMA0 panic=-1 quiet" "$@"
}

main() {
  case ${1:-} in
    setup | initrd | boot) ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
  local verb=$1
  arch=${2:-}
  case $arch in arm64 | armhf) ;; *) die "arm64 or armhf, not '$arch'" ;; esac
  case $verb in
    setup) setup "$arch" ;;
    *) shift 2; "$verb" "$@" ;;
  esac
}

main "$@"; exit
