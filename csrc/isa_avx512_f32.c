#define FR_ISA_AVX512
#define FR_REAL_BITS 32
#define FR_ISA_NAME "avx512"
#define FR_TABLE fr_kernels_f32_avx512
#include "kernels.inc"
