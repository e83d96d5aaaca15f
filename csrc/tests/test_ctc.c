// The loss of connectionist temporal classification and its gradient, against all paths where these are few, and
// against the sum over states and its differences where they are many; in double.
#include "check.h"

enum { T_MAX = 40, K_MAX = 40, U_MAX = 24 };

typedef struct {
    ptrdiff_t T, K, U, blank;
    double z[T_MAX][K_MAX];
    int64_t labels[U_MAX];
} problem;

typedef struct {
    double loss, d[T_MAX][K_MAX];
} solution;

static int label_other_than(ptrdiff_t K, ptrdiff_t blank)
{
    const int label = (int)(random_bits() % (uint64_t)(K - 1));
    return label + (label >= blank);
}

// Logits that the type holds exactly, so that the kernel and the reference see the same.
static problem draw(ptrdiff_t itemsize, ptrdiff_t T, ptrdiff_t K, ptrdiff_t U)
{
    problem p = {.T = T, .K = K, .U = K > 1 ? U : 0, .blank = (ptrdiff_t)(random_bits() % (uint64_t)K)};
    for (ptrdiff_t t = 0; t < T; t++)
        for (ptrdiff_t k = 0; k < K; k++) {
            const double z = random_between(-4, 4);
            p.z[t][k] = itemsize == 4 ? (double)(float)z : z;
        }
    for (ptrdiff_t u = 0; u < p.U; u++) {
        const int again = u && random_bits() % 3 == 0;
        p.labels[u] = again ? p.labels[u - 1] : label_other_than(K, p.blank);
    }
    return p;
}

static void softmax(const double *z, ptrdiff_t K, double *y)
{
    double most = -INFINITY, sum = 0;
    for (ptrdiff_t k = 0; k < K; k++) most = fmax(most, z[k]);
    for (ptrdiff_t k = 0; k < K; k++) sum += y[k] = exp(z[k] - most);
    for (ptrdiff_t k = 0; k < K; k++) y[k] /= sum;
}

// Whether the target is left of a path when runs are merged and then blanks dropped.
static int emits(const problem *p, const int *path)
{
    ptrdiff_t u = 0;
    for (ptrdiff_t t = 0; t < p->T; t++) {
        if (path[t] == p->blank || (t && path[t] == path[t - 1])) continue;
        if (u == p->U || path[t] != p->labels[u]) return 0;
        u++;
    }
    return u == p->U;
}

// Over all K^T paths: p = sum of products, d = y - share of the paths through each class.
static solution by_paths(const problem *p)
{
    static double y[T_MAX][K_MAX], through[T_MAX][K_MAX];
    int path[T_MAX] = {0};
    double total = 0;
    memset(through, 0, sizeof through);
    for (ptrdiff_t t = 0; t < p->T; t++) softmax(p->z[t], p->K, y[t]);
    for (ptrdiff_t place = 0; place >= 0;) {
        double product = emits(p, path);
        for (ptrdiff_t t = 0; t < p->T; t++) product *= y[t][path[t]];
        total += product;
        for (ptrdiff_t t = 0; t < p->T; t++) through[t][path[t]] += product;
        for (place = p->T - 1; place >= 0 && ++path[place] == p->K; place--) path[place] = 0;
    }
    static solution s;
    s.loss = -log(total);
    for (ptrdiff_t t = 0; t < p->T; t++)
        for (ptrdiff_t k = 0; k < p->K; k++) s.d[t][k] = total > 0 ? y[t][k] - through[t][k] / total : 0;
    return s;
}

// -log of the sum over the 2 U + 1 states, in probabilities.
static double by_states(const problem *p)
{
    double state[2 * U_MAX + 1] = {1}, y[K_MAX];
    const ptrdiff_t S = 2 * p->U + 1;
    for (ptrdiff_t t = 0; t < p->T; t++) {
        softmax(p->z[t], p->K, y);
        for (ptrdiff_t s = S - 1; s >= 0; s--) {
            const ptrdiff_t u = s / 2;
            double sum = state[s];
            if (s) sum += state[s - 1];
            if (s > 1 && s % 2 && p->labels[u] != p->labels[u - 1]) sum += state[s - 2];
            if (t == 0 && s > 1) sum = 0;
            state[s] = sum * y[s % 2 ? p->labels[u] : p->blank];
        }
    }
    return -log(state[S - 1] + (S > 1 ? state[S - 2] : 0));
}

static solution by_differences(problem *p)
{
    static solution s;
    const double step = 1e-5;
    s.loss = by_states(p);
    for (ptrdiff_t t = 0; t < p->T; t++)
        for (ptrdiff_t k = 0; k < p->K; k++) {
            const double z = p->z[t][k];
            p->z[t][k] = z + step;
            const double above = by_states(p);
            p->z[t][k] = z - step;
            s.d[t][k] = isinf(s.loss) ? 0 : (above - by_states(p)) / (2 * step);
            p->z[t][k] = z;
        }
    return s;
}

// Runs the kernel, every buffer of just its size; the margins of the rows hold NaN before and after.
static double run(const fr_kernels *k, const problem *p, matrix *d_logits)
{
    matrix logits = matrix_new(k->itemsize, p->T, p->K);
    array scratch = array_new(k->itemsize, fr_ctc_scratch(p->T, p->U, k->lanes));
    int64_t *labels = malloc(p->U ? (size_t)p->U * sizeof *labels : 1);
    memcpy(labels, p->labels, (size_t)p->U * sizeof *labels);
    for (ptrdiff_t t = 0; t < p->T; t++)
        for (ptrdiff_t c = 0; c < p->K; c++) set_entry(logits, t, c, p->z[t][c]);
    *d_logits = matrix_new(k->itemsize, p->T, p->K);
    const fr_ctc c = {
        .T = p->T, .K = p->K, .U = p->U, .logits = logits.elements.data, .ld_logits = logits.ld, .labels = labels,
        .blank = p->blank, .d_logits = d_logits->elements.data, .ld_d_logits = d_logits->ld, .scratch = scratch.data,
    };
    const double loss = k->ctc(&c);
    CHECK(has_margins(*d_logits), "%s ctc wrote past a row", k->isa);
    matrix_free(&logits);
    array_free(&scratch);
    free(labels);
    return loss;
}

static void compare(const fr_kernels *k, const problem *p, const solution *want, double tolerance)
{
    matrix d;
    const double loss = run(k, p, &d);
    CHECK(loss == want->loss || fabs(loss - want->loss) <= tolerance * (1 + fabs(want->loss)),
          "%s ctc T=%td K=%td U=%td blank=%td: loss %.17g, expected %.17g", k->isa, p->T, p->K, p->U, p->blank, loss,
          want->loss);
    for (ptrdiff_t t = 0; t < p->T; t++)
        for (ptrdiff_t c = 0; c < p->K; c++)
            CHECK(fabs(entry(d, t, c) - want->d[t][c]) <= tolerance,
                  "%s ctc T=%td K=%td U=%td blank=%td: d[%td, %td] = %g, expected %g", k->isa, p->T, p->K, p->U,
                  p->blank, t, c, entry(d, t, c), want->d[t][c]);
    matrix_free(&d);
}

// K around the lanes of every ISA, and targets of no label up to more than fit.
static void check_paths(const fr_kernels *k)
{
    static const ptrdiff_t sizes[][2] = {{0, 3}, {1, 1}, {3, 1}, {1, 4}, {2, 33}, {3, 17}, {5, 4}, {6, 3}, {9, 2}};
    for (size_t n = 0; n < COUNT(sizes); n++)
        for (ptrdiff_t U = 0; U <= sizes[n][0] + 1; U++) {
            const problem p = draw(k->itemsize, sizes[n][0], sizes[n][1], U);
            const solution want = by_paths(&p);
            compare(k, &p, &want, k->itemsize == 4 ? 1e-5 : 1e-12);
        }
}

// More states than lanes
static void check_states(const fr_kernels *k)
{
    static const ptrdiff_t sizes[][3] = {{20, 5, 7}, {31, 3, 14}, {33, 3, 15}, {35, 4, 16}, {40, 9, 17}, {40, 6, 22}};
    for (size_t n = 0; n < COUNT(sizes); n++) {
        problem p = draw(k->itemsize, sizes[n][0], sizes[n][1], sizes[n][2]);
        const solution want = by_differences(&p);
        compare(k, &p, &want, k->itemsize == 4 ? 1e-5 : 1e-8);
    }
}

// A class of probability 0 forbids the targets that hold it, and changes nothing else.
static void check_impossible(const fr_kernels *k)
{
    for (int held = 0; held < 2; held++) {
        problem p = draw(k->itemsize, 5, 4, 2);
        const int64_t other = label_other_than(4, p.blank);
        p.labels[1] = p.labels[0] = other;
        for (ptrdiff_t c = 0; c < 4; c++)
            if (c != p.blank && (c == other) == held)
                for (ptrdiff_t t = 0; t < 5; t++) p.z[t][c] = -INFINITY;
        const solution want = by_paths(&p);
        CHECK(isinf(want.loss) == held, "the reference of a class of probability 0");
        compare(k, &p, &want, k->itemsize == 4 ? 1e-5 : 1e-12);
    }
}

void test_ctc(const fr_kernels *k)
{
    check_paths(k);
    check_states(k);
    check_impossible(k);
}
