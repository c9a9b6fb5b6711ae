#!/usr/bin/env bash
# On a desktop with a network: fetch every wheel that a device needs, to carry it there.
#   device/wheelhouse.sh OUT [--python 3.11] [--platform aarch64|x86_64] [--brainflow WHEEL]
set -euo pipefail

die() { echo "error: $*" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out='' python=3.11 machine=aarch64 brainflow=''
while [ $# -gt 0 ]; do
  case $1 in
    --python | --platform | --brainflow) [ $# -ge 2 ] || die "$1 wants a value" ;;&
    --python) python=$2; shift ;;
    --platform) machine=$2; shift ;;
    --brainflow) brainflow=$2; shift ;;
    -*) die "there is no option $1: device/wheelhouse.sh OUT [--python 3.11] [--platform aarch64] [--brainflow WHEEL]" ;;
    *) out=$1 ;;
  esac
  shift
done
[ -n "$out" ] || die "name the directory to fill: device/wheelhouse.sh wheels"
[ -z "$brainflow" ] || [ -f "$brainflow" ] || die "there is no $brainflow: device/brainflow makes one"
mkdir -p "$out"

PYTHON=${PYTHON:-python3}
"$PYTHON" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$out" "$(dirname "$here")" \
  || die "the wheel of bioxedge cannot be built (above)"
wheel=$(find "$out" -maxdepth 1 -name 'bioxedge-*.whl' | sort -V | tail -1)

# The newest tag first; pip takes the first that a package has a wheel for.
tags=()
for tag in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do tags+=(--platform "${tag}_$machine"); done
extra='[brainflow]'
if [ -n "$brainflow" ]; then
  [ "$brainflow" -ef "$out/$(basename "$brainflow")" ] || cp "$brainflow" "$out/"
  tag=$(basename "$brainflow" .whl)
  tags+=(--platform "${tag##*-}")  # else PyPI's, without a library for aarch64, would come beside it
elif [ "$machine" = aarch64 ]; then
  extra=''
  echo "without BrainFlow: PyPI has no library for aarch64; give --brainflow WHEEL (device/brainflow makes one)" >&2
fi
"$PYTHON" -m pip download --quiet --disable-pip-version-check --only-binary=:all: \
  "${tags[@]}" --python-version "$python" --implementation cp --dest "$out" --find-links "$out" "$wheel$extra" \
  || die "not every wheel is to be had for Python $python on $machine (above)"
echo "$out: $(find "$out" -name '*.whl' | wc -l) wheels, $(du -sh "$out" | cut -f1); on the device: device/install.sh --wheels $(basename "$out")"
