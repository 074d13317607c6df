/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API's connections, below libsoup: who may have how many of them, and for
 * how long.  libsoup bounds neither, and never gives up a silent client.
 *
 * A connection carries one request and one answer.
 */
#ifndef VGPUD_CONNECTION_H
#define VGPUD_CONNECTION_H

#include <libsoup/soup.h>
#include <stdbool.h>

#include "roles.h"

/* At once, of one user or of one address, and of all; the rest hears status 429. */
#define CONNECTION_PER_PEER 32
#define CONNECTION_MAX      256

typedef struct ConnectionSet ConnectionSet;

typedef struct Connection {
    ConnectionSet *set;
    char *from;    /* "the API's socket", or an address: for the audit log */
    bool tcp;      /* caller is empty: only a token tells who it is */
    Caller caller; /* by the kernel */
    struct ConnectionState *state;
} Connection;

/*
 * timeout_s: for a request to come in, and as long again for the answer to go
 * out.  config: for roles_peer, borrowed.  The connections become soup's.
 */
ConnectionSet *connection_set_new(const Config *config, SoupServer *soup, unsigned timeout_s);
void connection_set_free(ConnectionSet *set); /* cuts all of them; takes NULL */

/* Accepts from a listening socket; with a certificate it speaks TLS only. */
void connection_set_listen(ConnectionSet *set, GSocket *listener, GTlsCertificate *certificate);

/* Whose message that is. */
Connection *connection_of(SoupServerMessage *msg);

/*
 * Answers a request that has not been read to its end, and reads no more of
 * it: msg is libsoup's no longer.
 */
void connection_reject(Connection *c, SoupServerMessage *msg, unsigned status, const char *sentence);

/* libsoup writes the answer: so there is one, and it may take its time. */
void connection_answers(Connection *c);

#endif
