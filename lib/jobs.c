/* SPDX-License-Identifier: Apache-2.0 */

/* A queue, a few threads, and an eventfd that brings the results back to the loop. Threads run jobs and touch this file's queues
 * under the lock, never anything else of the daemon. They end by returning: pthread_exit() would load libgcc_s, which the sandbox
 * forbids. */

#include "jobs.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define THREADS_MAX 64

typedef struct Job Job;
struct Job {
    Job *next;
    int (*run)(void *data);
    void (*done)(void *data, int result);
    void *data;
    int result;
};

typedef struct JobQueue {
    Job *first, **end;
} JobQueue;

struct Jobs {
    sd_event_source *source;
    int eventfd;
    unsigned max_pending;
    unsigned pending; /* submitted, done() not called; the loop's alone */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;
    JobQueue waiting, finished;
    unsigned n_waiting;
    bool stopping;

    unsigned n_threads;
    pthread_t threads[];
};

static void queue_init(JobQueue *q)
{
    q->first = NULL;
    q->end = &q->first;
}

static void queue_append(JobQueue *q, Job *job)
{
    job->next = NULL;
    *q->end = job;
    q->end = &job->next;
}

static Job *queue_take(JobQueue *q)
{
    Job *job = q->first;

    if (job) {
        q->first = job->next;
        if (!q->first)
            q->end = &q->first;
    }
    return job;
}

static void *thread_main(void *userdata)
{
    Jobs *j = userdata;

    (void) pthread_mutex_lock(&j->lock);
    for (;;) {
        Job *job;

        while (!j->stopping && !j->waiting.first)
            (void) pthread_cond_wait(&j->work, &j->lock);
        if (j->stopping)
            break;
        job = queue_take(&j->waiting);
        j->n_waiting--;
        (void) pthread_mutex_unlock(&j->lock);

        job->result = job->run(job->data);

        (void) pthread_mutex_lock(&j->lock);
        queue_append(&j->finished, job);
        (void) eventfd_write(j->eventfd, 1);
    }
    (void) pthread_mutex_unlock(&j->lock);
    return NULL;
}

static void report(Jobs *j, JobQueue *q, const int *result)
{
    Job *job;

    while ((job = queue_take(q))) {
        j->pending--;
        job->done(job->data, result ? *result : job->result);
        free(job);
    }
}

static int on_finished(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Jobs *j = userdata;
    JobQueue batch;
    eventfd_t n;

    (void) eventfd_read(fd, &n);
    queue_init(&batch);
    (void) pthread_mutex_lock(&j->lock);
    while (j->finished.first)
        queue_append(&batch, queue_take(&j->finished));
    (void) pthread_mutex_unlock(&j->lock);
    report(j, &batch, NULL);
    return 0;
}

/* Signals are for the loop's signalfd; none may be delivered to a thread. */
static int start_threads(Jobs *j, unsigned n)
{
    sigset_t all, before;
    int r;

    (void) sigfillset(&all);
    r = pthread_sigmask(SIG_BLOCK, &all, &before);
    while (r == 0 && j->n_threads < n) {
        r = pthread_create(&j->threads[j->n_threads], NULL, thread_main, j);
        if (r == 0)
            j->n_threads++;
    }
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

int jobs_new(Jobs **ret, sd_event *event, unsigned n_threads, unsigned max_pending)
{
    _cleanup_(jobs_freep) Jobs *j = NULL;
    int r;

    if (n_threads == 0 || n_threads > THREADS_MAX)
        return -EINVAL;
    j = calloc(1, sizeof(*j) + n_threads * sizeof(j->threads[0]));
    if (!j)
        return -ENOMEM;
    j->eventfd = -EBADF;
    j->max_pending = max_pending;
    queue_init(&j->waiting);
    queue_init(&j->finished);
    (void) pthread_mutex_init(&j->lock, NULL); /* with default attributes they cannot fail */
    (void) pthread_cond_init(&j->work, NULL);
    j->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (j->eventfd < 0)
        return -errno;
    r = sd_event_add_io(event, &j->source, j->eventfd, EPOLLIN, on_finished, j);
    if (r < 0)
        return r;
    r = start_threads(j, n_threads);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(j);
    return 0;
}

Jobs *jobs_free(Jobs *j)
{
    static const int canceled = -ECANCELED;

    if (!j)
        return NULL;
    (void) pthread_mutex_lock(&j->lock);
    j->stopping = true;
    (void) pthread_cond_broadcast(&j->work);
    (void) pthread_mutex_unlock(&j->lock);
    for (unsigned i = 0; i < j->n_threads; i++)
        (void) pthread_join(j->threads[i], NULL);

    report(j, &j->finished, NULL);
    report(j, &j->waiting, &canceled);
    (void) sd_event_source_disable_unref(j->source);
    j->eventfd = close_fd(j->eventfd);
    (void) pthread_cond_destroy(&j->work);
    (void) pthread_mutex_destroy(&j->lock);
    free(j);
    return NULL;
}

int jobs_submit(Jobs *j, int (*run)(void *data), void (*done)(void *data, int result), void *data)
{
    _cleanup_free_ Job *job = NULL;
    int r = 0;

    job = malloc(sizeof(*job));
    if (!job)
        return -ENOMEM;
    *job = (Job) {.run = run, .done = done, .data = data};
    (void) pthread_mutex_lock(&j->lock);
    if (j->stopping)
        r = -ESHUTDOWN;
    else if (j->n_waiting >= j->max_pending)
        r = -ENOBUFS;
    else {
        queue_append(&j->waiting, TAKE_PTR(job));
        j->n_waiting++;
        j->pending++;
        (void) pthread_cond_signal(&j->work);
    }
    (void) pthread_mutex_unlock(&j->lock);
    return r;
}

unsigned jobs_pending(const Jobs *j)
{
    return j->pending;
}
