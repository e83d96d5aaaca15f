#define FR_ISA_AVX2
#define FR_REAL_BITS 32
#define FR_ISA_NAME "avx2"
#define FR_TABLE fr_kernels_f32_avx2
#include "kernels.inc"
