/* SPDX-License-Identifier: Apache-2.0 */

/* From the facts of a failure to a message in the queue. Its sender is the null reverse-path, so that no bounce is ever
 * bounced. */

#include "bounce-send.h"

typedef struct BounceJob {
    Manager *manager;
    const QueueMessage *message;
    char *hostname;
    BounceRecipient *recipients; /* their strings are this structure's */
    size_t n_recipients;
    int fd;
    char *head;
    size_t head_size;
    QueueDone done;
    void *userdata;
} BounceJob;

static BounceJob *bounce_job_free(BounceJob *b)
{
    if (!b)
        return NULL;
    for (size_t i = 0; i < b->n_recipients; i++) {
        free((char *) b->recipients[i].address);
        free((char *) b->recipients[i].status);
        free((char *) b->recipients[i].diagnostic);
        free((char *) b->recipients[i].remote);
    }
    free(b->recipients);
    free(b->hostname);
    free(b->head);
    close_fd(b->fd);
    free(b);
    return NULL;
}
DEFINE_CLEANUP(BounceJob, bounce_job_free);

static int copy_recipient(BounceRecipient *to, const BounceRecipient *from)
{
    *to = (BounceRecipient) {
        .address = strdup(from->address),
        .status = strdup(from->status),
        .diagnostic = strdup(from->diagnostic),
        .remote = from->remote ? strdup(from->remote) : NULL,
    };
    return to->address && to->status && to->diagnostic && (to->remote || !from->remote) ? 0 : -ENOMEM;
}

static int read_run(void *data)
{
    BounceJob *b = data;
    const size_t size = MIN((uint64_t) BOUNCE_HEADERS_MAX, b->message->size);
    ssize_t n;

    b->head = malloc(size + 1);
    if (!b->head)
        return -ENOMEM;
    n = pread(b->fd, b->head, size, 0);
    if (n < 0)
        return negative_errno();
    b->head_size = (size_t) n;
    return 0;
}

static int insert(BounceJob *b)
{
    _cleanup_(envelope_freep) Envelope *e = calloc(1, sizeof(*e));
    const Bounce bounce = {
        .hostname = b->hostname,
        .id = b->message->id.text,
        .sender = b->message->envelope->sender,
        .arrival_usec = b->message->envelope->arrival_usec,
        .now_usec = manager_now(),
        .recipients = b->recipients,
        .n_recipients = b->n_recipients,
        .original = b->head,
        .original_size = b->head_size,
    };
    char *text;
    size_t size;
    int r;

    if (!e)
        return -ENOMEM;
    e->arrival_usec = bounce.now_usec;
    e->sender = strdup("");
    e->protocol = strdup("bounce");
    e->smtputf8 = b->message->envelope->smtputf8;
    /* RFC 8689, section 5: the header it returns is to be protected like the message. */
    if (b->message->envelope->tls == MESSAGE_TLS_REQUIRED)
        e->tls = MESSAGE_TLS_REQUIRED;
    if (!e->sender || !e->protocol)
        return -ENOMEM;
    r = envelope_add_recipient(e, bounce.sender);
    if (r < 0)
        return r;
    r = bounce_format(&bounce, &text, &size, &e->body_8bit);
    if (r < 0)
        return r;
    return queue_insert(b->manager->queue, text, size, TAKE_PTR(e), b->done, b->userdata);
}

static void read_done(void *data, int result)
{
    _cleanup_(bounce_job_freep) BounceJob *b = data;

    if (result >= 0)
        result = insert(b);
    if (result < 0)
        b->done(result, b->userdata);
}

int bounce_send(Manager *m, const QueueMessage *message, const char *hostname, const BounceRecipient *recipients, size_t n,
        QueueDone done, void *userdata)
{
    _cleanup_(bounce_job_freep) BounceJob *b = calloc(1, sizeof(*b));
    int r;

    if (!b)
        return -ENOMEM;
    *b = (BounceJob) {.manager = m, .message = message, .fd = -EBADF, .done = done, .userdata = userdata};
    b->hostname = strdup(hostname);
    b->recipients = calloc(n, sizeof(*b->recipients));
    if (!b->hostname || !b->recipients)
        return -ENOMEM;
    for (; b->n_recipients < n; b->n_recipients++) {
        r = copy_recipient(b->recipients + b->n_recipients, recipients + b->n_recipients);
        if (r < 0) {
            b->n_recipients++;
            return r;
        }
    }
    b->fd = queue_open_message(m->queue, message);
    if (b->fd < 0)
        return b->fd;
    r = jobs_submit(m->jobs, read_run, read_done, b);
    if (r >= 0)
        TAKE_PTR(b);
    return r;
}
