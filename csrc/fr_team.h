// Threads of one parallel region: who am I, how many are we, and a barrier for them. Without OpenMP a team of one.
#ifndef FR_TEAM_H
#define FR_TEAM_H

#include <stdatomic.h>

#ifdef _OPENMP
#include <omp.h>
static inline int fr_team_rank(void) { return omp_get_thread_num(); }
static inline int fr_team_size(void) { return omp_get_num_threads(); }
#else
static inline int fr_team_rank(void) { return 0; }
static inline int fr_team_size(void) { return 1; }
#endif

#if defined(__x86_64__) || defined(__i386__)
#define fr_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define fr_pause() __asm__ volatile("yield")
#else
#define fr_pause() ((void)0)
#endif

#if defined(_WIN32)
#define fr_yield() fr_pause()
#else
#include <sched.h>
#define fr_yield() ((void)sched_yield())
#endif

// Spins before the core is offered to others: some 20 microseconds, longer than a step's imbalance and shorter than
// what a descheduled partner costs.
enum { FR_SPINS = 1000 };

// To be zeroed. Each on a cache line of its own: the count is written by all, the round is what they watch.
typedef struct fr_barrier {
    _Alignas(64) atomic_int arrived;
    _Alignas(64) atomic_uint round;
} fr_barrier;

// Returns once all `team` threads have called it; what they wrote before is then visible.
static inline void fr_barrier_wait(fr_barrier *b, int team)
{
    if (team == 1) return;
    const unsigned round = atomic_load_explicit(&b->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) + 1 == team) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&b->round, round + 1, memory_order_release);
        return;
    }
    for (int spin = 0; atomic_load_explicit(&b->round, memory_order_acquire) == round; spin++)
        if (spin < FR_SPINS) fr_pause();
        else fr_yield();
}

#endif
