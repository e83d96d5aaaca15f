#define FR_ISA_NEON
#define FR_REAL_BITS 32
#define FR_ISA_NAME "neon"
#define FR_TABLE fr_kernels_f32_neon
#include "kernels.inc"
