# csrc/fr_kernels.h for Cython. Shapes and contracts stand there.

from libc.stdint cimport int64_t


cdef extern from "fr_kernels.h" nogil:
    const int FR_FUNCTIONS, FR_FORWARD_KERNELS, FR_BACKWARD_KERNELS, FR_PANEL_MAX, FR_RSTD
    const int FR_GRU_RESET, FR_D_GRU_RESET

    ctypedef struct fr_activation:
        int kind
        double alpha, beta

    ctypedef struct fr_variant:
        fr_activation gate, candidate, output
        double clip
        ptrdiff_t peepholes, blocks
        int projects
        const void *peephole
        const void *norm_x
        const void *norm_h
        const void *norm_c

    ctypedef struct fr_step:
        ptrdiff_t rows, H, Hp, u0, u1
        int down
        const void *bias
        const void *x
        ptrdiff_t X, ldx
        const void *w_x
        const void *a
        ptrdiff_t K, lda
        const void *w
        void *product
        ptrdiff_t ld_product
        void *gates
        ptrdiff_t ld_gates
        int keep
        const void *h_prev
        ptrdiff_t ld_h_prev
        const void *c_prev
        ptrdiff_t ld_c_prev
        void *c
        ptrdiff_t ld_c
        void *h
        ptrdiff_t ld_h
        void *mid
        ptrdiff_t ld_mid
        const fr_variant *variant
        const void *zone_h
        const void *zone_c
        ptrdiff_t ld_zone_h, ld_zone_c
        void *extra
        ptrdiff_t ld_extra

    ctypedef struct fr_step_back:
        ptrdiff_t rows, H, Hp, u0, u1
        void *gates
        ptrdiff_t ld_gates
        const void *h_prev
        ptrdiff_t ld_h_prev
        const void *c_prev
        ptrdiff_t ld_c_prev
        const void *c
        ptrdiff_t ld_c
        const void *d_out
        ptrdiff_t ld_d_out
        void *dh
        ptrdiff_t ld_dh
        void *dc
        ptrdiff_t ld_dc
        void *mid
        ptrdiff_t ld_mid
        void *d_mid
        ptrdiff_t ld_d_mid
        const fr_variant *variant
        const void *zone_h
        const void *zone_c
        ptrdiff_t ld_zone_h, ld_zone_c
        void *extra
        ptrdiff_t ld_extra

    ctypedef struct fr_product:
        ptrdiff_t M, N, K
        const void *a
        ptrdiff_t a_row, a_col
        const void *b
        void *c
        ptrdiff_t ldc

    ctypedef struct fr_ctc:
        ptrdiff_t T, K, U
        const void *logits
        ptrdiff_t ld_logits
        const int64_t *labels
        ptrdiff_t blank
        void *d_logits
        ptrdiff_t ld_d_logits
        void *scratch

    ptrdiff_t fr_ctc_scratch(ptrdiff_t T, ptrdiff_t U, ptrdiff_t lanes)

    ctypedef struct fr_kernels:
        const char *isa
        ptrdiff_t itemsize, lanes
        void (*math[3])(const void *x, void *y, ptrdiff_t n) noexcept nogil
        void (*pack)(const void *b, ptrdiff_t b_row, ptrdiff_t b_col, ptrdiff_t K, ptrdiff_t N, ptrdiff_t panel,
                     void *out) noexcept nogil
        void (*pack_rows)(const void *b, ptrdiff_t ldb, ptrdiff_t rows, ptrdiff_t N, ptrdiff_t k0, ptrdiff_t K,
                          void *out) noexcept nogil
        void (*product)(const fr_product *p) noexcept nogil
        void (*add_rows)(const void *a, ptrdiff_t lda, ptrdiff_t M, ptrdiff_t N, void *y) noexcept nogil
        void (*multiply_rows)(const void *a, ptrdiff_t lda, const void *b, ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N,
                              void *c, ptrdiff_t ldc, int add) noexcept nogil
        ptrdiff_t panel_units[9]
        ptrdiff_t x_columns[9]
        ptrdiff_t h_columns[9]
        void (*forward[9])(const fr_step *s) noexcept nogil
        void (*input[9])(const fr_step *s) noexcept nogil
        void (*backward[9])(const fr_step_back *s) noexcept nogil
        double (*ctc)(const fr_ctc *c) noexcept nogil

    const fr_kernels *fr_kernels_find(const char *isa, ptrdiff_t itemsize)
    unsigned long long fr_flush_enter()
    void fr_flush_restore(unsigned long long state)

# C[m, n] += sum_k A[m, k] B[k, n] on an engine's own form of B; `itemsize` tells the dtype.
ctypedef void (*product_function)(const fr_product *p, ptrdiff_t itemsize) noexcept nogil
# Rows k0 .. k0 + rows of an engine's own form of a matrix (K, N).
ctypedef void (*pack_rows_function)(const void *b, ptrdiff_t ldb, ptrdiff_t rows, ptrdiff_t N, ptrdiff_t k0,
                                    ptrdiff_t K, void *out, ptrdiff_t itemsize) noexcept nogil


cdef extern from "fr_team.h" nogil:
    ctypedef struct fr_flag:
        pass
    int fr_team_rank()
    int fr_team_size()
    int fr_team_most()
    void fr_barrier_wait(fr_flag *flags, int rank, int team)
