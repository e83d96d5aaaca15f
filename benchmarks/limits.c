// The most that this machine can do: multiply-adds a second from registers, bytes a second read from a buffer.
// Compiled by limits.py with -DVEC_BYTES=64, 32 or 16 and the flags of that vector width.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { MAX_THREADS = 64, CHAINS = 12 };
enum { FMA_F32 = 0, FMA_F64 = 1, READ = 2 };

typedef float vec_f32 __attribute__((vector_size(VEC_BYTES)));
typedef double vec_f64 __attribute__((vector_size(VEC_BYTES)));
typedef int64_t vec_int __attribute__((vector_size(VEC_BYTES)));

// Keeps a value in a register and the compiler from knowing it.
#if defined(__x86_64__)
#define HIDE(v) __asm__ volatile("" : "+v"(v))
#elif defined(__aarch64__)
#define HIDE(v) __asm__ volatile("" : "+w"(v))
#else
#define HIDE(v) __asm__ volatile("" : "+m"(v))
#endif

// Twelve independent chains a = a * m + b: more than latency times throughput of the units. 0 < m < 1, so no value grows.
#define FMA_LOOP(NAME, VEC)                                                                            \
    static double NAME(int64_t iterations) {                                                           \
        VEC m = (VEC){0} + (__typeof__(((VEC){0})[0]))0.5, b = m;                                      \
        VEC a0 = m, a1 = m, a2 = m, a3 = m, a4 = m, a5 = m, a6 = m, a7 = m, a8 = m, a9 = m, a10 = m, a11 = m; \
        HIDE(m); HIDE(b); HIDE(a0); HIDE(a1); HIDE(a2); HIDE(a3); HIDE(a4); HIDE(a5);                  \
        HIDE(a6); HIDE(a7); HIDE(a8); HIDE(a9); HIDE(a10); HIDE(a11);                                  \
        for (int64_t k = 0; k < iterations; k++) {                                                     \
            a0 = a0 * m + b; a1 = a1 * m + b; a2 = a2 * m + b; a3 = a3 * m + b;                        \
            a4 = a4 * m + b; a5 = a5 * m + b; a6 = a6 * m + b; a7 = a7 * m + b;                        \
            a8 = a8 * m + b; a9 = a9 * m + b; a10 = a10 * m + b; a11 = a11 * m + b;                    \
        }                                                                                              \
        VEC sum = ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7)) + ((a8 + a9) + (a10 + a11));       \
        return (double)sum[0];                                                                         \
    }

FMA_LOOP(fma_f32, vec_f32)
FMA_LOOP(fma_f64, vec_f64)

// Reads `bytes` (a multiple of 8 vectors) `iterations` times.
static double read_all(const char *buffer, size_t bytes, int64_t iterations) {
    vec_int s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    for (int64_t k = 0; k < iterations; k++) {
        for (size_t at = 0; at < bytes; at += 8 * VEC_BYTES) {
            const vec_int *p = (const vec_int *)(buffer + at);
            s0 |= p[0]; s1 |= p[1]; s2 |= p[2]; s3 |= p[3];
            s0 |= p[4]; s1 |= p[5]; s2 |= p[6]; s3 |= p[7];
        }
        HIDE(s0); HIDE(s1); HIDE(s2); HIDE(s3);  // a pass may not be folded into the next
    }
    vec_int sum = (s0 | s1) | (s2 | s3);
    return (double)sum[0];
}

typedef struct {
    int kind, index, n_threads;
    int64_t iterations;
    const char *buffer;
    size_t bytes;
    int *waiting;
    double begin, end, sink;
} task;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pin(int index) {
#ifdef __linux__
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed)) return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || index--) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
#else
    (void)index;
#endif
}

static double work(const task *t, int64_t iterations) {
    if (t->kind == FMA_F32) return fma_f32(iterations);
    if (t->kind == FMA_F64) return fma_f64(iterations);
    return read_all(t->buffer, t->bytes, iterations);
}

static void *run(void *argument) {
    task *t = argument;
    pin(t->index);
    t->sink = work(t, t->iterations / 8 + 1);  // clock rate, caches
    __atomic_fetch_sub(t->waiting, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(t->waiting, __ATOMIC_ACQUIRE) > 0) sched_yield();
    t->begin = now();
    t->sink += work(t, t->iterations);
    t->end = now();
    return NULL;
}

// Seconds from the first start to the last end of n_threads threads, each on a processor of its own, each running
// `iterations` rounds: 12 vector multiply-adds, or one pass over its `bytes` of `buffer` (n_threads * bytes, read only).
double limits_seconds(int kind, int n_threads, int64_t iterations, const char *buffer, size_t bytes) {
    pthread_t threads[MAX_THREADS];
    task tasks[MAX_THREADS];
    int waiting = n_threads, started = 0;
    if (n_threads < 1 || n_threads > MAX_THREADS) return -1;
    for (; started < n_threads; started++) {
        tasks[started] = (task){.kind = kind, .index = started, .n_threads = n_threads, .iterations = iterations,
                                .buffer = buffer + (size_t)started * bytes, .bytes = bytes, .waiting = &waiting};
        if (pthread_create(&threads[started], NULL, run, &tasks[started])) break;
    }
    if (started < n_threads) __atomic_store_n(&waiting, 0, __ATOMIC_RELEASE);
    for (int k = 0; k < started; k++) pthread_join(threads[k], NULL);
    if (started < n_threads) return -1;
    double begin = tasks[0].begin, end = tasks[0].end;
    for (int k = 1; k < n_threads; k++) {
        begin = tasks[k].begin < begin ? tasks[k].begin : begin;
        end = tasks[k].end > end ? tasks[k].end : end;
    }
    return end - begin;
}

// Floating-point operations of one round of multiply-adds of a thread.
double limits_flops(int kind) {
    return 2.0 * CHAINS * (kind == FMA_F32 ? VEC_BYTES / 4 : VEC_BYTES / 8);
}
