// Threads of one parallel region: who am I, how many are we, and a barrier for them. Without OpenMP a team of one.
#ifndef FR_TEAM_H
#define FR_TEAM_H

#include <stdatomic.h>

#ifdef _OPENMP
#include <omp.h>
static inline int fr_team_rank(void) { return omp_get_thread_num(); }
static inline int fr_team_size(void) { return omp_get_num_threads(); }
static inline int fr_team_most(void) { return omp_get_max_threads(); }  // unless a region says otherwise
#else
static inline int fr_team_rank(void) { return 0; }
static inline int fr_team_size(void) { return 1; }
static inline int fr_team_most(void) { return 1; }
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

// Spins before the core is offered to others: some 25 microseconds, longer than a step's imbalance and shorter than
// what a descheduled partner costs.
enum { FR_SPINS = 2000 };

// How many barriers a thread of the team has reached; to be zeroed. Each on a cache line of its own, which its thread
// alone writes: whoever waits pays for one transfer of a line, and not for a counter that goes round.
typedef struct fr_flag {
    _Alignas(64) atomic_uint reached;
} fr_flag;

// Returns once all `team` threads have called it as often as this one; what they wrote before is then visible.
static inline void fr_barrier_wait(fr_flag *flags, int rank, int team)
{
    if (team == 1) return;
    const unsigned round = atomic_load_explicit(&flags[rank].reached, memory_order_relaxed) + 1;
    atomic_store_explicit(&flags[rank].reached, round, memory_order_release);
    for (int other = 0, spin = 0; other < team; other++)
        while ((int)(atomic_load_explicit(&flags[other].reached, memory_order_acquire) - round) < 0)
            if (spin++ < FR_SPINS) fr_pause();
            else fr_yield();
}

#endif
