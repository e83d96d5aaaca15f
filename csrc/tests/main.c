// Runs every C test on every instruction set that the build and the processor have.
#include "check.h"

long checks, failures;

static uint64_t random_state = 88172645463325252u;

// xorshift64 (Marsaglia 2003)
uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

double random_between(double low, double high)
{
    return low + (high - low) * ((double)(random_bits() >> 11) * 0x1p-53);
}

array array_new(ptrdiff_t itemsize, ptrdiff_t size)
{
    array a = {malloc((size_t)(size ? size * itemsize : 1)), itemsize, size};
    if (!a.data) {
        printf("out of memory\n");
        exit(2);
    }
    for (ptrdiff_t i = 0; i < size; i++) set(a, i, NAN);
    return a;
}

array array_random(ptrdiff_t itemsize, ptrdiff_t size, double low, double high)
{
    const array a = array_new(itemsize, size);
    for (ptrdiff_t i = 0; i < size; i++) set(a, i, random_between(low, high));
    return a;
}

array array_copy(array a)
{
    const array copy = array_new(a.itemsize, a.size);
    memcpy(copy.data, a.data, (size_t)(a.size * a.itemsize));
    return copy;
}

void array_free(array *a)
{
    free(a->data);
    a->data = NULL;
}

void *at(array a, ptrdiff_t i) { return (char *)a.data + i * a.itemsize; }

double get(array a, ptrdiff_t i) { return a.itemsize == 4 ? (double)((float *)a.data)[i] : ((double *)a.data)[i]; }

void set(array a, ptrdiff_t i, double value)
{
    if (a.itemsize == 4) ((float *)a.data)[i] = (float)value;
    else ((double *)a.data)[i] = value;
}

int same_bits(array a, array b) { return a.size == b.size && !memcmp(a.data, b.data, (size_t)(a.size * a.itemsize)); }

enum { MARGIN = 3 };

matrix matrix_new(ptrdiff_t itemsize, ptrdiff_t rows, ptrdiff_t columns)
{
    const ptrdiff_t ld = columns + MARGIN;
    return (matrix){array_new(itemsize, rows ? (rows - 1) * ld + columns : 0), rows, columns, ld};
}

matrix matrix_random(ptrdiff_t itemsize, ptrdiff_t rows, ptrdiff_t columns, double low, double high)
{
    const matrix m = matrix_new(itemsize, rows, columns);
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t column = 0; column < columns; column++) set_entry(m, row, column, random_between(low, high));
    return m;
}

matrix matrix_copy(matrix m)
{
    m.elements = array_copy(m.elements);
    return m;
}

void matrix_free(matrix *m) { array_free(&m->elements); }

double entry(matrix m, ptrdiff_t row, ptrdiff_t column) { return get(m.elements, row * m.ld + column); }

void set_entry(matrix m, ptrdiff_t row, ptrdiff_t column, double value)
{
    set(m.elements, row * m.ld + column, value);
}

void *row_of(matrix m, ptrdiff_t row) { return at(m.elements, row * m.ld); }

int has_margins(matrix m)
{
    for (ptrdiff_t row = 0; row < m.rows - 1; row++)
        for (ptrdiff_t column = m.columns; column < m.ld; column++)
            if (!isnan(entry(m, row, column))) return 0;
    return 1;
}

int is_close(double got, double want, ptrdiff_t itemsize)
{
    return fabs(got - want) <= (itemsize == 4 ? 1e-5 : 1e-13) * (1 + fabs(want));
}

void test_simd_f32_scalar(void), test_simd_f64_scalar(void);
#ifdef FR_HAVE_AVX2
void test_simd_f32_avx2(void), test_simd_f64_avx2(void);
#endif
#ifdef FR_HAVE_AVX512
void test_simd_f32_avx512(void), test_simd_f64_avx512(void);
#endif
#ifdef FR_HAVE_NEON
void test_simd_f32_neon(void), test_simd_f64_neon(void);
#endif

static const struct {
    const char *isa;
    void (*test_simd[2])(void);
} isas[] = {
#ifdef FR_HAVE_AVX512
    {"avx512", {test_simd_f32_avx512, test_simd_f64_avx512}},
#endif
#ifdef FR_HAVE_AVX2
    {"avx2", {test_simd_f32_avx2, test_simd_f64_avx2}},
#endif
#ifdef FR_HAVE_NEON
    {"neon", {test_simd_f32_neon, test_simd_f64_neon}},
#endif
    {"scalar", {test_simd_f32_scalar, test_simd_f64_scalar}},
};

int main(void)
{
    CHECK(!fr_kernels_find("unknown", 4) && !fr_kernels_find(NULL, 2), "a table for nothing");
    for (size_t n = 0; n < COUNT(isas); n++) {
        for (int wide = 0; wide < 2; wide++) {
            const fr_kernels *k = fr_kernels_find(isas[n].isa, wide ? 8 : 4);
            if (!k) {
                printf("%s: not on this machine, skipped\n", isas[n].isa);
                break;
            }
            CHECK(k->itemsize == (wide ? 8 : 4) && !strcmp(k->isa, isas[n].isa), "%s: the wrong table", isas[n].isa);
            printf("%-6s float%d:", k->isa, (int)(8 * k->itemsize));
            isas[n].test_simd[wide]();
            test_math(k);
            test_product(k);
            test_forward(k);
            test_backward(k);
            test_activation(k);
            test_variant(k);
            test_ctc(k);
            printf("\n");
        }
    }
    printf("%ld checks, %ld failures\n", checks, failures);
    return failures != 0;
}
