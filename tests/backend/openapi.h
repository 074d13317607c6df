/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An OpenAPI 3.1 document, and whether JSON is as its schemas say: the subset
 * of JSON Schema that vgpud's document uses.  A keyword that is not checked
 * here is an error of the document, not ignored.
 */
#ifndef TEST_OPENAPI_H
#define TEST_OPENAPI_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

typedef struct OpenApi {
    JsonNode *root;
    JsonObject *doc;
} OpenApi;

OpenApi *openapi_new(const char *text); /* NULL: no JSON object */
void openapi_free(OpenApi *o);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OpenApi, openapi_free)

/* The object, or the one that its $ref names; NULL when that is not there. */
JsonObject *openapi_resolve(const OpenApi *o, JsonObject *object);

/* False with sentences about all that is wrong with a schema, or unknown here. */
bool openapi_schema_known(const OpenApi *o, JsonObject *schema, GString *wrong);

/* False with sentences about all that is wrong. */
bool openapi_valid(const OpenApi *o, JsonObject *schema, JsonNode *value, GString *wrong);

/* paths[path][method]; NULL: there is none. */
JsonObject *openapi_operation(const OpenApi *o, const char *path, const char *method);

/* The schema of an operation's answer of that status and type; NULL: it is not described. */
JsonObject *openapi_answer(const OpenApi *o, JsonObject *operation, unsigned status, const char *type);

#endif
