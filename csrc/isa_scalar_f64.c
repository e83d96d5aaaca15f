#define FR_ISA_SCALAR
#define FR_REAL_BITS 64
#define FR_ISA_NAME "scalar"
#define FR_TABLE fr_kernels_f64_scalar
#include "kernels.inc"
