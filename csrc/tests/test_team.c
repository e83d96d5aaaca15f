// The barrier of fr_team.h: what every thread wrote before it, all threads read behind it. A program of its own.
// Its threads are OpenMP's; without OpenMP they are POSIX's, which ThreadSanitizer understands.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fr_team.h"

enum { ROUNDS = 10000, TEAM_MAX = 4 };

static fr_flag flags[TEAM_MAX];
static long written[2][TEAM_MAX];  // plain numbers; the round after next writes to the same place
static long checks[TEAM_MAX], failures[TEAM_MAX];

static long number(long round, int rank) { return round * TEAM_MAX + rank + 1; }

static void work(int rank, int team)
{
    for (long round = 0; round < ROUNDS; round++) {
        long *now = written[round % 2];
        now[rank] = number(round, rank);
        fr_barrier_wait(flags, rank, team);
        for (int other = 0; other < team; other++, checks[rank]++)
            if (now[other] != number(round, other)) failures[rank]++;
    }
}

#ifdef _OPENMP
static const char threads[] = "OpenMP";

static void run(int team)
{
    omp_set_dynamic(0);
#pragma omp parallel num_threads(team)
    work(fr_team_rank(), fr_team_size());
}
#else
static const char threads[] = "POSIX";
static int size;

static void *start(void *rank)
{
    work(*(int *)rank, size);
    return NULL;
}

static void run(int team)
{
    pthread_t thread[TEAM_MAX];
    int ranks[TEAM_MAX];
    size = team;
    for (int n = 0; n < team; n++) {
        ranks[n] = n;
        if (pthread_create(&thread[n], NULL, start, &ranks[n])) {
            printf("no thread to be had\n");
            exit(2);
        }
    }
    for (int n = 0; n < team; n++) pthread_join(thread[n], NULL);
}
#endif

int main(void)
{
    long all = 0, failed = 0;
    for (int team = 1; team <= TEAM_MAX; team *= 2) {
        memset(checks, 0, sizeof checks);
        memset(failures, 0, sizeof failures);
        memset(written, 0, sizeof written);
        memset(flags, 0, sizeof flags);
        run(team);
        long done = 0;
        for (int n = 0; n < TEAM_MAX; n++) done += checks[n], failed += failures[n];
        if (done != (long)ROUNDS * team * team) failed++;  // fewer threads than asked for
        all += done;
    }
    printf("barrier of 1, 2 and 4 %s threads: %ld checks, %ld failures\n", threads, all, failed);
    return failed != 0;
}
