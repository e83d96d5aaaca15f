// pack, pack_rows, product, add_rows and multiply_rows against one loop, bit for bit: every element of a product is a
// chain with k ascending.
#include "check.h"

static int is_fused(const fr_kernels *k)
{
#ifdef __FP_FAST_FMA
    (void)k;
    return 1;
#else
    return strcmp(k->isa, "scalar") != 0;
#endif
}

static double multiply_add(const fr_kernels *k, double a, double b, double c)
{
    if (k->itemsize == 8) return is_fused(k) ? fma(a, b, c) : a * b + c;
    const float fa = (float)a, fb = (float)b, fc = (float)c;
    return is_fused(k) ? fmaf(fa, fb, fc) : fa * fb + fc;
}

// c[m, n] of the chain that starts at the value found there
static double chain(const fr_kernels *k, const fr_product *p, array a, array b, double c, ptrdiff_t m, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < p->K; i++)
        c = multiply_add(k, get(a, m * p->a_row + i * p->a_col), get(b, i * p->N + n), c);
    return c;
}

static void check_product(const fr_kernels *k, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, int transposed)
{
    const ptrdiff_t padded = (N + k->lanes - 1) / k->lanes * k->lanes, ldc = N + 3;
    array a = array_random(k->itemsize, M * K, -1, 1), b = array_random(k->itemsize, K * N, -1, 1);
    array packed = array_new(k->itemsize, K * padded);
    array c = array_random(k->itemsize, M * ldc, -1, 1), before = array_copy(c);
    fr_product p = {.M = M, .N = N, .K = K, .a = a.data, .a_row = K, .a_col = 1, .b = packed.data};
    p.c = c.data, p.ldc = ldc;
    if (transposed) p.a_row = 1, p.a_col = M;
    k->pack(b.data, N, 1, K, N, FR_PANEL_MAX, packed.data);
    k->product(&p);
    for (ptrdiff_t m = 0; m < M; m++)
        for (ptrdiff_t n = 0; n < ldc; n++) {
            const double start = get(before, m * ldc + n), want = n < N ? chain(k, &p, a, b, start, m, n) : start;
            CHECK(get(c, m * ldc + n) == want, "%s product (%td, %td, %td): c[%td, %td] is %a, not %a", k->isa, M, N, K,
                  m, n, get(c, m * ldc + n), want);
        }
    array *all[] = {&a, &b, &packed, &c, &before};
    for (size_t n = 0; n < COUNT(all); n++) array_free(all[n]);
}

// Each column of b stands once in the pack, and nothing but zeros beside it.
static void check_pack(const fr_kernels *k, ptrdiff_t K, ptrdiff_t N, ptrdiff_t panel, int transposed)
{
    const ptrdiff_t padded = (N + k->lanes - 1) / k->lanes * k->lanes, full = panel * k->lanes;
    array b = array_random(k->itemsize, K * N, 1, 2), packed = array_new(k->itemsize, K * padded);
    const ptrdiff_t row = transposed ? 1 : N, col = transposed ? K : 1;
    k->pack(b.data, row, col, K, N, panel, packed.data);
    for (ptrdiff_t i = 0; i < K; i++)
        for (ptrdiff_t n = 0; n < padded; n++) {
            const ptrdiff_t begin = n / full * full, width = padded - begin < full ? padded - begin : full;
            const double got = get(packed, begin * K + i * width + (n - begin));
            const double want = n < N ? get(b, i * row + n * col) : 0;
            CHECK(got == want, "%s pack (%td, %td) in panels of %td: [%td, %td]", k->isa, K, N, panel, i, n);
        }
    array_free(&b);
    array_free(&packed);
}

// Pieces that lie apart, the last first, give what `pack` makes of the whole.
static void check_pack_rows(const fr_kernels *k, ptrdiff_t K, ptrdiff_t N, ptrdiff_t most)
{
    const ptrdiff_t padded = (N + k->lanes - 1) / k->lanes * k->lanes;
    array whole = array_new(k->itemsize, K * padded), pieces = array_new(k->itemsize, K * padded);
    matrix b = matrix_random(k->itemsize, K, N, 1, 2);
    k->pack(b.elements.data, b.ld, 1, K, N, FR_PANEL_MAX, whole.data);
    for (ptrdiff_t k0 = (K - 1) / most * most; k0 >= 0; k0 -= most) {
        const ptrdiff_t rows = K - k0 < most ? K - k0 : most;
        matrix piece = matrix_new(k->itemsize, rows, N);
        memcpy(piece.elements.data, row_of(b, k0), (size_t)(piece.elements.size * k->itemsize));
        k->pack_rows(piece.elements.data, piece.ld, rows, N, k0, K, pieces.data);
        matrix_free(&piece);
    }
    CHECK(same_bits(whole, pieces), "%s pack_rows (%td, %td) by %td is not pack", k->isa, K, N, most);
    array_free(&whole);
    array_free(&pieces);
    matrix_free(&b);
}

static void check_add_rows(const fr_kernels *k, ptrdiff_t M, ptrdiff_t N)
{
    const ptrdiff_t lda = N + 2;
    array a = array_random(k->itemsize, M * lda, -1, 1), y = array_random(k->itemsize, N, -1, 1);
    array before = array_copy(y);
    k->add_rows(a.data, lda, M, N, y.data);
    for (ptrdiff_t n = 0; n < N; n++) {
        double sum = get(before, n);
        for (ptrdiff_t m = 0; m < M; m++)
            sum = k->itemsize == 8 ? sum + get(a, m * lda + n) : (float)sum + (float)get(a, m * lda + n);
        CHECK(get(y, n) == sum, "%s add_rows (%td, %td): y[%td] is %a, not %a", k->isa, M, N, n, get(y, n), sum);
    }
    array *all[] = {&a, &y, &before};
    for (size_t n = 0; n < COUNT(all); n++) array_free(all[n]);
}

static void check_multiply_rows(const fr_kernels *k, ptrdiff_t M, ptrdiff_t N, int add)
{
    matrix a = matrix_random(k->itemsize, M, N, -1, 1), b = matrix_random(k->itemsize, M, N, -1, 1);
    matrix c = matrix_random(k->itemsize, M, N, -1, 1), before = matrix_copy(c);
    k->multiply_rows(a.elements.data, a.ld, b.elements.data, b.ld, M, N, c.elements.data, c.ld, add);
    for (ptrdiff_t m = 0; m < M; m++)
        for (ptrdiff_t n = 0; n < N; n++) {
            const double product = entry(a, m, n) * entry(b, m, n), start = add ? entry(before, m, n) : -0.0;
            const double want = k->itemsize == 8 ? start + product : (float)start + (float)product;
            CHECK(entry(c, m, n) == want, "%s multiply_rows (%td, %td), add %d: c[%td, %td] is %a, not %a", k->isa, M,
                  N, add, m, n, entry(c, m, n), want);
        }
    CHECK(has_margins(c), "%s multiply_rows (%td, %td) wrote past a row", k->isa, M, N);
    matrix *all[] = {&a, &b, &c, &before};
    for (size_t n = 0; n < COUNT(all); n++) matrix_free(all[n]);
}

void test_product(const fr_kernels *k)
{
    const ptrdiff_t VL = k->lanes;
    const ptrdiff_t widths[] = {1, VL - 1, VL, VL + 1, 2 * VL, 3 * VL + 1, 4 * VL, 4 * VL + 1, 9 * VL - 1};
    const ptrdiff_t heights[] = {0, 1, 2, 5, 8, 13}, sums[] = {0, 1, 7};
    for (size_t n = 0; n < COUNT(widths); n++) {
        for (size_t m = 0; m < COUNT(heights); m++) {
            for (size_t i = 0; i < COUNT(sums); i++) check_product(k, heights[m], widths[n], sums[i], (int)(m + n) % 2);
            check_add_rows(k, heights[m], widths[n]);
            for (int add = 0; add < 2; add++) check_multiply_rows(k, heights[m], widths[n], add);
        }
        for (ptrdiff_t most = 1; most <= 7; most++) check_pack_rows(k, 7, widths[n], most);
        for (ptrdiff_t panel = 1; panel <= FR_PANEL_MAX; panel++)
            for (int transposed = 0; transposed < 2; transposed++) check_pack(k, 3, widths[n], panel, transposed);
    }
    // around the 8 vectors that add_rows takes at once
    const ptrdiff_t wide[] = {8 * VL - 1, 8 * VL, 8 * VL + 1, 15 * VL, 16 * VL, 17 * VL + 1, 24 * VL - 1};
    for (size_t n = 0; n < COUNT(wide); n++)
        for (size_t m = 0; m < COUNT(heights); m++) check_add_rows(k, heights[m], wide[n]);
    // beyond one block of rows and of the sum
    check_product(k, 200, 2 * VL + 1, 5, 0);
    check_product(k, 3, 5 * VL + 1, 600, 0);
    check_product(k, 100, VL + 1, 300, 1);
}
