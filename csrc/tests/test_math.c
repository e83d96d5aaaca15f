// exp, sigmoid and tanh of a table against libm in a wider type.
#include <float.h>

#include "check.h"

#ifndef SAMPLES
#define SAMPLES 100000  // arguments of each distribution
#endif
enum { CHUNK = 1000 };

static const char *const names[] = {"exp", "sigmoid", "tanh"};

// The promise is 4 ulp; where long double is no wider than double, the reference itself has an error.
static double ulp_limit(ptrdiff_t itemsize) { return itemsize == 8 && LDBL_MANT_DIG < 64 ? 5 : 4; }

static long double exp_wide(double x, ptrdiff_t itemsize) { return itemsize == 4 ? (long double)exp(x) : expl(x); }

static long double expected(int function, double x, ptrdiff_t itemsize)
{
    if (function == FR_EXP) return exp_wide(x, itemsize);
    if (function == FR_TANH) return itemsize == 4 ? (long double)tanh(x) : tanhl(x);
    const long double e = exp_wide(-fabs(x), itemsize);
    return (x < 0 ? e : 1) / (1 + e);
}

static double ulp_error(double got, long double want, ptrdiff_t itemsize)
{
    int exponent;
    frexpl(want, &exponent);
    return (double)(fabsl(got - want) / ldexpl(1, exponent - (itemsize == 4 ? FLT_MANT_DIG : DBL_MANT_DIG)));
}

// x of every exponent, and again x where the functions bend and where they vanish
static double argument(long n, ptrdiff_t itemsize)
{
    const double least = itemsize == 4 ? -88 : -709;
    switch (n % 4) {
    case 0: return ldexp(random_between(n % 8 ? 1 : -1, n % 8 ? 2 : -2), (int)(random_bits() % 2100) - 1060);
    case 1: return random_between(-1, 1);
    case 2: return random_between(-20, 20);
    }
    return random_between(least, least + 10);
}

// A finite argument: accuracy where argument and result are normal, bounds everywhere.
static double check_value(const fr_kernels *k, int function, double x, double y)
{
    const double smallest = k->itemsize == 4 ? FLT_MIN : DBL_MIN, largest = k->itemsize == 4 ? FLT_MAX : DBL_MAX;
    const long double want = expected(function, x, k->itemsize);
    const double low = function == FR_TANH ? -1 : 0, high = function == FR_EXP ? INFINITY : 1;
    CHECK(y >= low && y <= high, "%s %s(%a) = %a out of bounds", k->isa, names[function], x, y);
    if (fabsl(want) > largest) {
        CHECK(y >= largest, "%s %s(%a) = %a, expected inf", k->isa, names[function], x, y);
        return 0;
    }
    if (fabsl(want) < smallest || (x != 0 && fabs(x) < smallest)) {
        CHECK(fabs(y - (double)want) <= smallest, "%s %s(%a) = %a", k->isa, names[function], x, y);
        return 0;
    }
    const double error = ulp_error(y, want, k->itemsize);
    CHECK(error <= ulp_limit(k->itemsize), "%s %s(%a) = %a is off by %.2f ulp", k->isa, names[function], x, y, error);
    return error;
}

static double check_accuracy(const fr_kernels *k, int function, int flush)
{
    array x = array_new(k->itemsize, CHUNK), y = array_new(k->itemsize, CHUNK);
    double worst = 0;
    for (long n = 0; n < 4L * SAMPLES; n += CHUNK) {
        for (ptrdiff_t i = 0; i < CHUNK; i++) set(x, i, argument(n + i, k->itemsize));
        const unsigned long long state = flush ? fr_flush_enter() : 0;
        k->math[function](x.data, y.data, CHUNK);
        if (flush) fr_flush_restore(state);
        for (ptrdiff_t i = 0; i < CHUNK; i++)
            if (isfinite(get(x, i))) worst = fmax(worst, check_value(k, function, get(x, i), get(y, i)));
    }
    array_free(&x);
    array_free(&y);
    return worst;
}

static void check_special(const fr_kernels *k)
{
    static const struct {
        double x, y[FR_FUNCTIONS];
    } table[] = {{0.0, {1, 0.5, 0.0}}, {-0.0, {1, 0.5, -0.0}}, {INFINITY, {INFINITY, 1, 1}}, {-INFINITY, {0, 0, -1}}};
    array x = array_new(k->itemsize, 1), y = array_new(k->itemsize, 1);
    for (int function = 0; function < FR_FUNCTIONS; function++) {
        for (size_t n = 0; n < COUNT(table); n++) {
            const double want = table[n].y[function];
            set(x, 0, table[n].x);
            k->math[function](x.data, y.data, 1);
            CHECK(get(y, 0) == want && !signbit(get(y, 0)) == !signbit(want), "%s %s(%g) = %g, expected %g", k->isa,
                  names[function], table[n].x, get(y, 0), want);
        }
        set(x, 0, NAN);
        k->math[function](x.data, y.data, 1);
        CHECK(isnan(get(y, 0)), "%s %s(NaN) = %g", k->isa, names[function], get(y, 0));
    }
    array_free(&x);
    array_free(&y);
}

// An element has the same bits in every lane, in bodies and in tails; nothing past the end is touched (ASan).
static void check_tails(const fr_kernels *k)
{
    const ptrdiff_t size = 4 * k->lanes;
    for (int function = 0; function < FR_FUNCTIONS; function++) {
        array x = array_random(k->itemsize, size, -4, 4), y = array_new(k->itemsize, size);
        k->math[function](x.data, y.data, size);
        for (ptrdiff_t begin = 0; begin < k->lanes; begin++)
            for (ptrdiff_t n = 0; n <= size - begin; n++) {
                array part = array_new(k->itemsize, n);
                k->math[function](at(x, begin), part.data, n);
                CHECK(!memcmp(part.data, at(y, begin), (size_t)(n * k->itemsize)),
                      "%s %s of %td from %td has other bits", k->isa, names[function], n, begin);
                array_free(&part);
            }
        array_free(&x);
        array_free(&y);
    }
}

void test_math(const fr_kernels *k)
{
    check_special(k);
    check_tails(k);
    for (int function = 0; function < FR_FUNCTIONS; function++) {
        const double plain = check_accuracy(k, function, 0), flushed = check_accuracy(k, function, 1);
        printf(" %s %.2f ulp", names[function], fmax(plain, flushed));
    }
}
