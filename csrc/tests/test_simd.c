// The vocabulary of fr_simd.h; compiled once for each (type, ISA), with FR_TEST_NAME the name of its one function.
#include "../fr_simd.h"
#include "check.h"

#define CHECK_LANES(expression, want)                                                                     \
    do {                                                                                                  \
        real lanes[VL];                                                                                   \
        v_store(lanes, expression);                                                                       \
        for (int lane = 0; lane < VL; lane++)                                                             \
            CHECK(is_same(lanes[lane], want), #expression " is %a, not %a", (double)lanes[lane],          \
                  (double)(want));                                                                        \
    } while (0)

// the same number, zeros with their signs, or both NaN
static int is_same(real a, real b) { return a == b ? !signbit(a) == !signbit(b) : a != a && b != b; }

static const real nothing = (real)NAN, endless = (real)INFINITY;

static void check_memory(void)
{
    for (ptrdiff_t n = 1; n <= VL; n++) {
        array from = array_random(sizeof(real), n, -1, 1), to = array_new(sizeof(real), n);
        real lanes[VL];
        const vec a = v_loadn(from.data, n);
        v_store(lanes, a);
        for (ptrdiff_t lane = 0; lane < VL; lane++)
            CHECK(is_same(lanes[lane], lane < n ? (real)get(from, lane) : 0), "v_loadn(%td), lane %td", n, lane);
        v_storen(to.data, a, n);
        CHECK(same_bits(from, to), "v_storen(%td)", n);
        array_free(&from);
        array_free(&to);
    }
}

static void check_signs_and_order(real a, real b)
{
    const vec va = v_set1(a), vb = v_set1(b);
    CHECK_LANES(v_min(va, vb), a < b ? a : b);
    CHECK_LANES(v_max(va, vb), a > b ? a : b);
    CHECK_LANES(v_select_lt(va, vb, v_set1(7), v_set1(8)), a < b ? 7 : 8);
    CHECK_LANES(v_select_gt0(va, vb, v_set1(8)), a > 0 ? b : 8);
    CHECK_LANES(v_neg(va), -a);
    CHECK_LANES(v_abs(va), (real)fabs(a));
    CHECK_LANES(v_copysign(va, vb), (real)copysign(a, b));
}

static void check_arithmetic(real a, real b)
{
    const vec va = v_set1(a), vb = v_set1(b);
    CHECK_LANES(v_add(va, vb), a + b);
    CHECK_LANES(v_sub(va, vb), a - b);
    CHECK_LANES(v_mul(va, vb), a * b);
    CHECK_LANES(v_div(va, vb), a / b);
    CHECK_LANES(v_round(va), (real)nearbyint(a));
#if FR_FUSED && FR_REAL_BITS == 32
    CHECK_LANES(v_fma(va, vb, va), fmaf(a, b, a));
    CHECK_LANES(v_fnma(va, vb, va), fmaf(-a, b, a));
#elif FR_FUSED
    CHECK_LANES(v_fma(va, vb, va), fma(a, b, a));
    CHECK_LANES(v_fnma(va, vb, va), fma(-a, b, a));
#else
    CHECK_LANES(v_fma(va, vb, va), a * b + a);
    CHECK_LANES(v_fnma(va, vb, va), a - a * b);
#endif
}

static void check_powers(void)
{
    const long double tiny = FR_REAL_BITS == 32 ? 0x1p-40L : 0x1p-62L;
    for (int k = V_POW2_MIN * V_POW2_STEPS; k <= (int)(V_POW2_MAX * V_POW2_STEPS); k++) {
        const real n = (real)k / V_POW2_STEPS;
        const long double power = exp2l(n);
        const vec shifted = v_set1(V_POW2_SHIFT + n);
        real lanes[VL];
        CHECK_LANES(v_pow2(shifted), (real)power);
        CHECK_LANES(v_pow2_fraction(shifted), (real)exp2l(n - floorl(n)));
        v_store(lanes, v_pow2_excess(shifted));
        for (int lane = 0; lane < VL; lane++)
            CHECK(fabsl(lanes[lane] - ((real)power / power - 1)) <= tiny, "v_pow2_excess(%g)", (double)n);
    }
    for (int k = 2 * V_POW2_MIN * V_POW2_STEPS; k <= -2 * V_POW2_MIN * V_POW2_STEPS; k++) {
        const real a = (real)random_between(0.5, 1.5), n = (real)k / V_POW2_STEPS;
        CHECK_LANES(v_ldexp(v_set1(a), v_set1(n)), (real)ldexp(a, (int)floor(n)));
    }
}

#if FR_LOOKUP
static void check_lookup(void)
{
    real table[16];
    for (int j = 0; j < 16; j++) table[j] = (real)random_between(-1, 1);
    for (int j = 0; j < 64; j++)
        for (int bit = 0; bit < FR_MANTISSA_BITS - 6; bit++) {
            const vec a = v_set1((real)ldexp(1, FR_MANTISSA_BITS) + (real)ldexp(j, bit));
            CHECK_LANES(v_lookup(table, v_index(a, (unsigned)bit)), table[j % 16]);
        }
}
#else
static void check_lookup(void) {}
#endif

void FR_TEST_NAME(void);
void FR_TEST_NAME(void)
{
    const real special[] = {0,          (real)-0.0, 1,       -1,       (real)0.5, (real)1.5,
                            (real)-2.5, (real)1e30, endless, -endless, nothing};
    for (size_t m = 0; m < COUNT(special); m++)
        for (size_t n = 0; n < COUNT(special); n++) {
            check_signs_and_order(special[m], special[n]);
            check_arithmetic(special[m], special[n]);
        }
    for (int n = 0; n < 1000; n++) check_arithmetic((real)random_between(-9, 9), (real)random_between(-9, 9));
    CHECK_LANES(v_zero(), 0);
    check_memory();
    check_powers();
    check_lookup();
}
