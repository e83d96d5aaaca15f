#!/usr/bin/env bash
# The C tests without Python: once plain, as the kernels are built, and once under AddressSanitizer and UBSan.
set -euo pipefail
cd "$(dirname "$0")"

echo "--- plain"
bash build.sh build/plain -O3
build/plain/tests
build/plain/team

echo "--- AddressSanitizer and UBSan"
bash build.sh build/asan -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
    -DSAMPLES=10000
build/asan/tests
build/asan/team

bash check_threads.sh

bash check_neon.sh
