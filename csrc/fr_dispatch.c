// Which table: the best that the build holds and the processor and operating system run.
#include "fr_kernels.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define FR_X86 1
#endif

extern const fr_kernels fr_kernels_f32_scalar, fr_kernels_f64_scalar;
#ifdef FR_HAVE_AVX2
extern const fr_kernels fr_kernels_f32_avx2, fr_kernels_f64_avx2;
#endif
#ifdef FR_HAVE_AVX512
extern const fr_kernels fr_kernels_f32_avx512, fr_kernels_f64_avx512;
#endif
#ifdef FR_HAVE_NEON
extern const fr_kernels fr_kernels_f32_neon, fr_kernels_f64_neon;
#endif

static int runs_always(void) { return 1; }
#ifdef FR_HAVE_AVX2
static int runs_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#ifdef FR_HAVE_AVX512
static int runs_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}
#endif

// Best first.
static const struct {
    int (*runs)(void);
    const fr_kernels *f32, *f64;
} tables[] = {
#ifdef FR_HAVE_AVX512
    {runs_avx512, &fr_kernels_f32_avx512, &fr_kernels_f64_avx512},
#endif
#ifdef FR_HAVE_AVX2
    {runs_avx2, &fr_kernels_f32_avx2, &fr_kernels_f64_avx2},
#endif
#ifdef FR_HAVE_NEON
    {runs_always, &fr_kernels_f32_neon, &fr_kernels_f64_neon},
#endif
    {runs_always, &fr_kernels_f32_scalar, &fr_kernels_f64_scalar},
};

const fr_kernels *fr_kernels_find(const char *isa, ptrdiff_t itemsize)
{
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++)
        if (tables[k].runs() && (!isa || !strcmp(isa, tables[k].f32->isa)))
            return itemsize == 4 ? tables[k].f32 : itemsize == 8 ? tables[k].f64 : NULL;
    return NULL;
}

#if defined(FR_X86)
enum { FR_FTZ_DAZ = 0x8040 };
unsigned long long fr_flush_enter(void)
{
    const unsigned state = _mm_getcsr();
    _mm_setcsr(state | FR_FTZ_DAZ);
    return state;
}
void fr_flush_restore(unsigned long long state) { _mm_setcsr((unsigned)state); }
#elif defined(__aarch64__)
enum { FR_FZ = 1 << 24 };
unsigned long long fr_flush_enter(void)
{
    unsigned long long state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    __asm__ volatile("msr fpcr, %0" : : "r"(state | FR_FZ));
    return state;
}
void fr_flush_restore(unsigned long long state) { __asm__ volatile("msr fpcr, %0" : : "r"(state)); }
#else
unsigned long long fr_flush_enter(void) { return 0; }
void fr_flush_restore(unsigned long long state) { (void)state; }
#endif
