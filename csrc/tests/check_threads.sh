#!/usr/bin/env bash
# The barrier under ThreadSanitizer, on POSIX threads: it cannot see the start and end of OpenMP's. What is missing is
# skipped, with a reason.
set -euo pipefail
cd "$(dirname "$0")"
echo "--- ThreadSanitizer"

CC=${CC:-gcc}
flags=(-std=c11 -O1 -g -Wall -Wextra -pthread -fsanitize=thread)
mkdir -p build/threads
if ! echo 'int main(void) { return 0; }' | "$CC" "${flags[@]}" -x c - -o build/threads/probe 2> /dev/null; then
    echo "skipped: $CC has no ThreadSanitizer"
    exit 0
fi
if ! build/threads/probe 2> /dev/null; then
    echo "skipped: ThreadSanitizer does not run here"
    exit 0
fi
"$CC" "${flags[@]}" test_team.c -o build/threads/team
build/threads/team
