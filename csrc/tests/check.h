// What the C tests share: counting failures, arrays of either type, random numbers.
//
// The tests are one text for both types: an `array` knows its item size, numbers go in and out as double. Each array is
// an allocation of its own of exactly its size, so that AddressSanitizer sees every access past an end.
#ifndef FR_TESTS_CHECK_H
#define FR_TESTS_CHECK_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fr_kernels.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

// Kernels that run without a variant come first in a table.
enum { PLAIN_FORWARD = FR_PROJECT + 1, PLAIN_BACKWARD = FR_D_PROJECT + 1 };

extern long checks, failures;

// One counted check; the first failures are printed with a printf-like explanation.
#define CHECK(condition, ...)                              \
    do {                                                   \
        checks++;                                          \
        if (!(condition) && failures++ < 20) {             \
            printf("%s:%d: FAILED: ", __FILE__, __LINE__); \
            printf(__VA_ARGS__);                           \
            printf("\n");                                  \
        }                                                  \
    } while (0)

uint64_t random_bits(void);
double random_between(double low, double high);

typedef struct {
    void *data;
    ptrdiff_t itemsize, size;
} array;

array array_new(ptrdiff_t itemsize, ptrdiff_t size);  // NaN everywhere: what a kernel must not use is seen
array array_random(ptrdiff_t itemsize, ptrdiff_t size, double low, double high);
array array_copy(array a);
void array_free(array *a);
double get(array a, ptrdiff_t i);
void set(array a, ptrdiff_t i, double value);
void *at(array a, ptrdiff_t i);  // address of element i
int same_bits(array a, array b);

// Rows further apart than they are long: the margin between them holds NaN, the last row ends with the allocation.
typedef struct {
    array elements;
    ptrdiff_t rows, columns, ld;
} matrix;

matrix matrix_new(ptrdiff_t itemsize, ptrdiff_t rows, ptrdiff_t columns);
matrix matrix_random(ptrdiff_t itemsize, ptrdiff_t rows, ptrdiff_t columns, double low, double high);
matrix matrix_copy(matrix m);
void matrix_free(matrix *m);
double entry(matrix m, ptrdiff_t row, ptrdiff_t column);
void set_entry(matrix m, ptrdiff_t row, ptrdiff_t column, double value);
void *row_of(matrix m, ptrdiff_t row);
int has_margins(matrix m);  // they still hold NaN

// |got - want| within the tolerance of the type, relative above 1
int is_close(double got, double want, ptrdiff_t itemsize);

// Tests, for one table; test_simd is one function for each (type, ISA), made by test_simd.c
void test_math(const fr_kernels *k);
void test_product(const fr_kernels *k);
void test_forward(const fr_kernels *k);
void test_backward(const fr_kernels *k);
void test_activation(const fr_kernels *k);
void test_variant(const fr_kernels *k);
void test_ctc(const fr_kernels *k);

#endif
