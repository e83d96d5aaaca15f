#define FR_ISA_AVX2
#define FR_REAL_BITS 64
#define FR_ISA_NAME "avx2"
#define FR_TABLE fr_kernels_f64_avx2
#include "kernels.inc"
