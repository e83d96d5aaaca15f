#!/usr/bin/env bash
# build.sh FOLDER [FLAG...]: compile csrc and its tests, no Python, with $CC, into FOLDER/tests and FOLDER/team.
# The flags of an instruction set are those of setup.py.
set -euo pipefail
csrc=$(cd "$(dirname "$0")/.." && pwd)
folder=$1
shift
CC=${CC:-gcc}
common=(-std=c11 -fno-math-errno -fno-trapping-math -ffp-contract=off -fvisibility=hidden -Wall -Wextra
        -Wno-unused-function "$@")
mkdir -p "$folder"

case $("$CC" -dumpmachine) in
x86_64*) isas="scalar avx2 avx512" have=(-DFR_HAVE_AVX2 -DFR_HAVE_AVX512) ;;
aarch64* | arm64*) isas="scalar neon" have=(-DFR_HAVE_NEON) ;;
*) isas="scalar" have=() ;;
esac

flags_of() {
    case $1 in
    avx2) echo "-mavx2 -mfma" ;;
    avx512) echo "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512" ;;
    esac
}

compile() { # OBJECT SOURCE FLAG...
    local object=$1 source=$2
    shift 2
    objects+=("$folder/$object.o")
    "$CC" "${common[@]}" ${have[@]+"${have[@]}"} "$@" -c "$source" -o "$folder/$object.o"
}

objects=()
for isa in $isas; do
    for bits in 32 64; do
        upper=$(echo "$isa" | tr a-z A-Z)
        compile "isa_${isa}_f$bits" "$csrc/isa_${isa}_f$bits.c" $(flags_of "$isa")
        compile "simd_${isa}_f$bits" "$csrc/tests/test_simd.c" $(flags_of "$isa") \
            "-DFR_ISA_$upper" "-DFR_REAL_BITS=$bits" "-DFR_TEST_NAME=test_simd_f${bits}_$isa"
    done
done
compile dispatch "$csrc/fr_dispatch.c"
for name in main row step test_math test_product test_forward test_backward test_activation test_variant test_ctc; do
    compile "$name" "$csrc/tests/$name.c"
done
"$CC" "${common[@]}" "${objects[@]}" -lm -o "$folder/tests"

# The threads are OpenMP's where the compiler has it; libgomp does not like to be linked statically.
team=(-pthread)
if [[ " $* " != *" -static "* ]] && echo 'int main(void) { return 0; }' |
    "$CC" -fopenmp -x c - -o "$folder/probe" 2> /dev/null; then team=(-fopenmp); fi
"$CC" "${common[@]}" "${team[@]}" "$csrc/tests/test_team.c" -o "$folder/team"
