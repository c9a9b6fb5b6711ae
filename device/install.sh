#!/usr/bin/env bash
# Install bioxedge on a device: idempotent, offline where a wheelhouse is given, and what ran
# before still runs whenever this stops. See device/README.md.
set -euo pipefail

usage() {
  cat <<'TEXT'
device/install.sh [--wheels DIR] [--prefix DIR] [--python PYTHON] [--without-brainflow]
    install this checkout's (or the wheelhouse's) bioxedge beside what is there, try it, and
    make it the current one; with --wheels nothing is taken from the network
device/install.sh --list                    what is installed
device/install.sh --back                    make the version before this one the current one
device/install.sh --service NAME --bundle DIR --source SOURCE [--options 'OPTIONS OF RUN']
device/install.sh --service NAME --config SITE.toml
    as root: start "bioxedge run" as the systemd service bioxedge@NAME; a site's file and
    bundles stay where they are, and must not lie in a home directory
device/install.sh --remove                  remove every version (services and labels stay)

As root it installs into /opt/bioxedge for everybody, else into ~/.local/share/bioxedge.
TEXT
}

die() { echo "error: $*" >&2; exit 2; }
say() { echo "$*" >&2; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ "$(id -u)" = 0 ]; then
  prefix=/opt/bioxedge commands=/usr/local/bin
else
  prefix=${XDG_DATA_HOME:-$HOME/.local/share}/bioxedge commands=$HOME/.local/bin
fi
python=python3 wheels='' extra='[brainflow]' what=install
service='' bundle='' source='' options='' config=''

value() { if [ $# -lt 2 ] || [ -z "$2" ]; then die "$1 wants a value; see device/install.sh --help"; fi; }
while [ $# -gt 0 ]; do
  case $1 in
    --wheels) value "$@"; wheels=$2; shift ;;
    --prefix) value "$@"; prefix=$2; commands=$2/bin; shift ;;
    --python) value "$@"; python=$2; shift ;;
    --without-brainflow) extra='' ;;
    --list | --back | --remove) what=${1#--} ;;
    --service) value "$@"; what=service; service=$2; shift ;;
    --bundle) value "$@"; bundle=$2; shift ;;
    --source) value "$@"; source=$2; shift ;;
    --options) value "$@"; options=$2; shift ;;
    --config) value "$@"; config=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) die "there is no option $1; see device/install.sh --help" ;;
  esac
  shift
done
versions=$prefix/versions

# One installer at a time: the lock is let go when this shell ends, however it ends.
locked() {
  mkdir -p "$versions" 2>/dev/null || die "$versions cannot be made: choose another --prefix, or use sudo"
  exec 9>"$prefix/.lock"
  if command -v flock >/dev/null && ! flock -n 9; then
    die "another installer is at work in $prefix: wait for it"
  fi
}

# Which version a link stands for; nothing where there is none.
linked() { if [ -L "$prefix/$1" ]; then basename "$(readlink "$prefix/$1")"; fi; }

# Point a link somewhere in one step, so that a crash leaves the old one or the new one.
point() {
  ln -sfn "$2" "$prefix/.$1.new"
  mv -T "$prefix/.$1.new" "$prefix/$1"
}

make_current() {
  local before; before=$(linked current)
  if [ "$before" = "$1" ]; then return; fi
  if [ -n "$before" ]; then point previous "versions/$before"; fi
  point current "versions/$1"
}

# -- install ---------------------------------------------------------------------------------

find_wheel() {
  local found=()
  if [ -n "$wheels" ]; then
    [ -d "$wheels" ] || die "there is no directory $wheels: device/wheelhouse.sh makes a wheelhouse"
    wheels=$(cd "$wheels" && pwd)
    mapfile -t found < <(find "$wheels" -maxdepth 1 -name 'bioxedge-*.whl' | sort -V)
    [ ${#found[@]} -gt 0 ] || die "$wheels holds no bioxedge-*.whl: device/wheelhouse.sh makes a wheelhouse"
  else
    say "building the wheel of $(dirname "$here")"
    "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps \
      --wheel-dir "$work" "$(dirname "$here")" \
      || die "the wheel cannot be built: is there a network? else give --wheels DIR"
    mapfile -t found < <(find "$work" -maxdepth 1 -name 'bioxedge-*.whl')
  fi
  wheel=${found[-1]}
}

check_machine() {
  command -v "$python" >/dev/null || die "there is no $python: sudo apt install python3, or give --python"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
    || die "$python is $("$python" -V 2>&1): bioxedge needs 3.10 or newer; give --python"
  "$python" -c 'import ensurepip, venv' 2>/dev/null \
    || die "$python has no venv: sudo apt install python3-venv"
  local free; free=$(df -Pk "$prefix" | awk 'NR == 2 {print int($4 / 1024)}')
  [ "$free" -ge 600 ] || die "$prefix has $free MB free, at least 600 are needed: make room, or choose another --prefix"
}

# A wheel's version, and what it was installed with: the same again is already there.
name_of() {
  local version sum
  version=$(basename "$wheel" | cut -d- -f2)
  sum=$({ sha256sum "$wheel" | cut -c1-64; echo "$extra"; "$python" -V
          if [ -n "$wheels" ]; then (cd "$wheels" && ls); fi; } | sha256sum | cut -c1-8)
  echo "$version-$sum"
}

install_it() {
  locked
  check_machine
  work=$(mktemp -d "$prefix/.work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  find_wheel
  local name target
  name=$(name_of)
  target=$versions/$name
  if [ -e "$target/ready" ]; then
    say "bioxedge $name is installed already"
  else
    rm -rf "$target"  # of an installer that was stopped
    say "installing bioxedge $name into $target"
    "$python" -m venv "$target"
    local from=()
    if [ -n "$wheels" ]; then from=(--no-index --find-links "$wheels"); fi
    # BrainFlow's wheel for 64-bit Arm is made by device/brainflow: PyPI's holds no library for it.
    if [ -n "$extra" ] && [ "$(uname -m)" = aarch64 ] \
        && ! ls "${wheels:-/nowhere}"/brainflow-*aarch64.whl >/dev/null 2>&1; then
      say "no BrainFlow wheel for this processor in ${wheels:-a wheelhouse}: live boards need one (device/README.md); the rest works"
      extra=''
    fi
    "$target/bin/python" -m pip install --quiet --disable-pip-version-check "${from[@]}" "$wheel$extra" \
      || die "pip could not install it (above); what ran before still runs"
    # A Jetson's GPU is in NVIDIA's build of ONNX Runtime, which takes the place of PyPI's.
    local gpu=()
    if [ -n "$wheels" ]; then mapfile -t gpu < <(find "$wheels" -maxdepth 1 -name 'onnxruntime_gpu-*.whl'); fi
    if [ ${#gpu[@]} -gt 0 ]; then
      "$target/bin/python" -m pip uninstall --quiet --yes onnxruntime
      "$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps "${gpu[0]}" \
        || die "${gpu[0]} does not fit this Python (above); what ran before still runs"
    fi
    "$target/bin/python" -c 'import bioxedge.runtime' \
      || die "the new version does not start here (above); what ran before still runs"
    touch "$target/ready"
  fi
  make_current "$name"
  mkdir -p "$commands"
  ln -sfn "$prefix/current/bin/bioxedge" "$commands/bioxedge"
  tidy
  say "bioxedge $name is the current version: $commands/bioxedge"
  case :$PATH: in *:"$commands":*) ;; *) say "$commands is not in your PATH: add it, or log in again" ;; esac
  say "next: bioxedge doctor"
}

# Each version takes a quarter of a gigabyte: only this one and the one before it are kept.
tidy() {
  local one name
  for one in "$versions"/*/; do
    name=$(basename "$one")
    if [ "$name" != "$(linked current)" ] && [ "$name" != "$(linked previous)" ]; then
      say "removing bioxedge $name: two newer ones are kept"
      rm -rf "$one"
    fi
  done
}

# -- what else ----------------------------------------------------------------------------------

list() {
  [ -d "$versions" ] || { say "nothing is installed in $prefix"; return; }
  local one name note
  for one in "$versions"/*/; do
    name=$(basename "$one") note=''
    [ -e "$one/ready" ] || { [ -d "$one" ] && note=' (incomplete)'; }
    [ "$name" != "$(linked current)" ] || note=' (current)'
    [ "$name" != "$(linked previous)" ] || note=' (previous)'
    [ ! -d "$one" ] || echo "$name$note"
  done
}

back() {
  locked
  local name; name=$(linked previous)
  [ -n "$name" ] || die "there is no version before this one in $prefix"
  [ -e "$versions/$name/ready" ] || die "bioxedge $name is not there any more: install it again"
  make_current "$name"
  say "bioxedge $name is the current version; --back again returns"
}

remove() {
  locked
  rm -rf "$versions" "$prefix/current" "$prefix/previous"
  if [ -L "$commands/bioxedge" ]; then rm "$commands/bioxedge"; fi
  say "removed from $prefix"
}

# With DESTDIR set, files are written below it and systemd is not told: for images and packages.
start_service() {
  local root=${DESTDIR:-}
  [ -n "$root" ] || [ "$(id -u)" = 0 ] || die "a service needs root: sudo $0 --service $service …"
  [[ $service =~ ^[A-Za-z0-9][A-Za-z0-9_-]*$ ]] || die "$service is no name for a service: use letters, digits, - and _"
  if [ -z "$config" ] && { [ -z "$bundle" ] || [ -z "$source" ]; }; then
    die "--service wants --bundle DIR and --source SOURCE as well, or --config SITE.toml"
  fi
  case $source$options$config in *[$'\n"\\$`']*) die "--source, --options and --config take no quotes, backslashes, \$ or line breaks" ;; esac
  [ -e "$prefix/current" ] || die "nothing is installed in $prefix: run $0 as root without --service first"
  case $prefix$source in *[[:space:]]*) die "a service takes no blanks in --prefix and --source" ;; esac
  local run what
  if [ -n "$config" ]; then
    [ -z "$bundle$source" ] || die "--config says what runs: leave --bundle and --source out"
    [ -r "$config" ] || die "$config cannot be read"
    config=$(realpath "$config")
    case $config in
      /home/* | /root/*) die "$config lies in a home directory, which the service cannot read: put it and its bundles elsewhere, /etc/bioxedge say" ;;
      *[[:space:]]*) die "$config has a blank in its path: a service takes none" ;;
    esac
    run="--config $config" what=$(cat "$config")
  else
    "$prefix/current/bin/bioxedge" verify "$bundle" >&2 || die "$bundle does not hold on this machine (above); no service was changed"
    # A home directory is not the service's to read: it gets a copy, in one step.
    local copies=$root$prefix/bundles; mkdir -p "$copies"
    rm -rf "$copies/.$service.new"
    cp -R "$bundle" "$copies/.$service.new"
    chmod -R u=rwX,go=rX "$copies/.$service.new"
    rm -rf "$copies/.$service.old"
    if [ -e "$copies/$service" ]; then mv "$copies/$service" "$copies/.$service.old"; fi
    mv "$copies/.$service.new" "$copies/$service"
    rm -rf "$copies/.$service.old"
    run="$prefix/bundles/$service --source $source --sink jsonl:/var/lib/bioxedge/$service/labels.jsonl --rotate day"
    what="--source $source $options"
  fi
  mkdir -p "$root/etc/bioxedge" "$root/etc/systemd/system"
  printf 'RUN=%s\nOPTIONS=%s\n' "$run" "$options" > "$root/etc/bioxedge/$service.env"
  # The unit forbids to listen; a page and LSL (as a source, too) do.
  local own="$root/etc/systemd/system/bioxedge@$service.service.d"
  rm -f "$own/listens.conf"
  if printf '%s' "$what" | grep -Eq -- '--page|^\[page\]|(^|[ ="])lsl([ :"]|$)'; then
    mkdir -p "$own"
    printf '[Service]\nSocketBindDeny=\n' > "$own/listens.conf"
    say "bioxedge@$service may listen, for its page or for LSL"
  fi
  # Not every system has the group that may talk to BlueZ, and an unknown one stops the service.
  local groups=dialout
  if getent group bluetooth >/dev/null; then groups='dialout bluetooth'; fi
  sed -e "s#/opt/bioxedge/#$prefix/#" -e "s/^SupplementaryGroups=.*/SupplementaryGroups=$groups/" \
    "$here/bioxedge@.service" > "$root/etc/systemd/system/bioxedge@.service"
  if [ -n "$root" ]; then say "written below $root; systemd was not told"; return; fi
  command -v systemctl >/dev/null || die "this machine has no systemd: run bioxedge by what it has"
  systemctl daemon-reload
  systemctl enable --quiet "bioxedge@$service"
  systemctl restart "bioxedge@$service" \
    || die "bioxedge@$service did not start: journalctl -u bioxedge@$service -n 20 says why"
  say "bioxedge@$service runs: journalctl -fu bioxedge@$service; labels in /var/lib/bioxedge/$service"
}

case $what in
  install) install_it ;;
  service) start_service ;;
  *) "$what" ;;
esac
