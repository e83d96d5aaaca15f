#!/usr/bin/env bash
# The NEON kernels: compiled for aarch64 and, on another processor, run in an emulator. What is missing is skipped, with
# a reason.
set -euo pipefail
cd "$(dirname "$0")"
echo "--- NEON"

if [ "$(uname -m)" = aarch64 ]; then
    echo "native here: the tests above have run them"
    exit 0
fi
CC=${CROSS_CC:-aarch64-linux-gnu-gcc}
if ! command -v "$CC" > /dev/null; then
    echo "skipped: no $CC (Debian, Ubuntu: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross)"
    exit 0
fi
export CC
bash build.sh build/neon -O2 -static -DSAMPLES=3000
for emulator in qemu-aarch64-static qemu-aarch64; do
    if command -v "$emulator" > /dev/null; then
        "$emulator" build/neon/tests
        "$emulator" build/neon/team
        exit 0
    fi
done
echo "compiled; not run: no qemu-aarch64 (Debian, Ubuntu: apt-get install qemu-user)"
