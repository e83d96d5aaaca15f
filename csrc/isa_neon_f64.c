#define FR_ISA_NEON
#define FR_REAL_BITS 64
#define FR_ISA_NAME "neon"
#define FR_TABLE fr_kernels_f64_neon
#include "kernels.inc"
