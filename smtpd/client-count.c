/* SPDX-License-Identifier: Apache-2.0 */

/* A search tree of addresses. */

#include "client-count.h"

#include <search.h>

typedef struct Client {
    uint8_t key[16];
    unsigned n;
} Client;

struct ClientCount {
    void *root;
};

/* IPv4 as the mapped address; IPv6 its network. */
static void make_key(const struct sockaddr *address, uint8_t key[static 16])
{
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *) address)->sin6_addr;

    memset(key, 0, 16);
    if (address->sa_family == AF_INET) {
        memset(key + 10, 0xff, 2);
        memcpy(key + 12, &((const struct sockaddr_in *) address)->sin_addr, 4);
    } else if (IN6_IS_ADDR_V4MAPPED(in6))
        memcpy(key, in6, 16);
    else
        memcpy(key, in6, 8);
}

static int compare(const void *a, const void *b)
{
    return memcmp(((const Client *) a)->key, ((const Client *) b)->key, sizeof(((const Client *) a)->key));
}

int client_count_new(ClientCount **ret)
{
    ClientCount *c;

    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    *ret = c;
    return 0;
}

ClientCount *client_count_free(ClientCount *c)
{
    if (!c)
        return NULL;
    tdestroy(c->root, free);
    free(c);
    return NULL;
}

int client_count_add(ClientCount *c, const struct sockaddr *address, unsigned max)
{
    _cleanup_free_ Client *client = NULL;
    Client **found;

    client = calloc(1, sizeof(*client));
    if (!client)
        return -ENOMEM;
    make_key(address, client->key);
    found = tsearch(client, &c->root, compare);
    if (!found)
        return -ENOMEM;
    if (*found == client)
        (void) TAKE_PTR(client); /* the tree's now */
    if ((*found)->n >= max)
        return -EUSERS;
    (*found)->n++;
    return 0;
}

void client_count_remove(ClientCount *c, const struct sockaddr *address)
{
    Client key, **found, *client;

    make_key(address, key.key);
    found = tfind(&key, &c->root, compare);
    if (!found || --(*found)->n > 0)
        return;
    client = *found;
    (void) tdelete(&key, &c->root, compare);
    free(client);
}
