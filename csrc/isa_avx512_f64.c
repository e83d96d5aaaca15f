#define FR_ISA_AVX512
#define FR_REAL_BITS 64
#define FR_ISA_NAME "avx512"
#define FR_TABLE fr_kernels_f64_avx512
#include "kernels.inc"
