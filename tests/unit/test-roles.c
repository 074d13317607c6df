/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Roles: who is admin, operator and tenant, and what each may. */
#include <glib.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "roles.h"

/* Ids that no user of this machine is expected to have. */
#define ALICE 4000001u
#define BOB   4000002u
#define CAROL 4000003u
#define LAB   4000010u
#define DESK  4000011u

typedef struct Fixture {
    Config *config;
    ProfileSet *profiles;
} Fixture;

static void add(Fixture *f, const char *conf, const char *profiles)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Ini) a = ini_parse("vgpud.conf", conf, strlen(conf), &error);
    g_autoptr(Ini) b = ini_parse("p.conf", profiles, strlen(profiles), &error);

    g_assert_no_error(error);
    config_add(f->config, a, &error);
    g_assert_no_error(error);
    profile_set_add(f->profiles, b, &error);
    g_assert_no_error(error);
    roles_resolve(f->config, f->profiles);
}

static void set_up(Fixture *f, gconstpointer unused)
{
    f->config = config_new();
    f->profiles = profile_set_new();
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    config_free(f->config);
    profile_set_free(f->profiles);
}

static Role role(const Fixture *f, uid_t uid, gid_t gid)
{
    const gid_t gids[] = { 4000099, gid };

    return roles_of(f->config, uid, gids, 2);
}

static Caller caller_of(Role role, uid_t uid, gid_t gid)
{
    Caller c = { .role = role, .uid = uid, .gids = g_array_new(FALSE, FALSE, sizeof(gid_t)) };

    g_array_append_val(c.gids, gid);
    c.who = g_strdup_printf("user u (uid %u, pid 7)", uid);
    return c;
}

static void test_lists(Fixture *f, gconstpointer unused)
{
    add(f, "[roles]\nadmin=4000001\noperator = @4000011, 4000002\ntenant=@4000010\n", "");
    g_assert_cmpint(role(f, ALICE, 5), ==, ROLE_ADMIN);
    g_assert_cmpint(role(f, BOB, 5), ==, ROLE_OPERATOR);
    g_assert_cmpint(role(f, CAROL, DESK), ==, ROLE_OPERATOR);
    g_assert_cmpint(role(f, CAROL, LAB), ==, ROLE_TENANT);
    g_assert_cmpint(role(f, CAROL, 5), ==, ROLE_NONE);
    g_assert_cmpint(role(f, LAB, 5), ==, ROLE_NONE); /* a group's number is no user's */
    g_assert_cmpint(role(f, ALICE, LAB), ==, ROLE_ADMIN);
}

/* Without tenant= the socket's own rights decide who starts VMs. */
static void test_no_tenants_listed(Fixture *f, gconstpointer unused)
{
    g_assert_cmpint(role(f, CAROL, 5), ==, ROLE_TENANT); /* no [roles] at all */
    add(f, "[roles]\noperator=4000002\n", "");
    g_assert_cmpint(role(f, CAROL, 5), ==, ROLE_TENANT);
    g_assert_cmpint(role(f, BOB, 5), ==, ROLE_OPERATOR);
}

static void test_always_admin(Fixture *f, gconstpointer unused)
{
    add(f, "[roles]\nadmin=4000001\ntenant=4000002\n", "");
    g_assert_cmpint(role(f, 0, 5), ==, ROLE_ADMIN);
    g_assert_cmpint(role(f, geteuid(), 5), ==, ROLE_ADMIN);
    g_assert_cmpint(role(f, ROLES_NOBODY, 0), ==, ROLE_NONE);
}

/* A list that names who is not there gives nobody anything, least of all everybody. */
static void test_unknown_names(Fixture *f, gconstpointer unused)
{
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "*admin= in [roles]*a user 'no-such-user'*");
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "*tenant= in [roles]*a group 'no-such-group'*");
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "p.conf:1: profile 'p' is for a group 'no-such-group'*");
    add(f, "[roles]\nadmin=no-such-user\ntenant=@no-such-group\n", "[p]\nmemory=1G\ngroups=no-such-group\n");
    g_test_assert_expected_messages();
    g_assert_cmpint(role(f, CAROL, 5), ==, ROLE_NONE);
}

static void test_names_resolve(Fixture *f, gconstpointer unused)
{
    g_autofree char *name = NULL, *nobody = NULL;

    add(f, "[roles]\nadmin=daemon\noperator=@adm\n", "");
    g_assert_cmpuint(f->config->admin.uids->len, ==, 1);
    g_assert_cmpuint(f->config->operator.gids->len, ==, 1);
    name = roles_user_name(f->config, g_array_index(f->config->admin.uids, uid_t, 0));
    g_assert_cmpstr(name, ==, "daemon");
    nobody = roles_user_name(f->config, ALICE);
    g_assert_null(nobody);
}

static void test_see_and_change(void)
{
    Vm vm = { .owner = ALICE };
    static const struct {
        Role role;
        uid_t uid;
        bool sees, changes;
    } cases[] = {
        { ROLE_NONE, ALICE, false, false },       { ROLE_TENANT, ALICE, true, false },
        { ROLE_TENANT, BOB, false, false },       { ROLE_OPERATOR, BOB, true, true },
        { ROLE_ADMIN, ROLES_NOBODY, true, true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Caller c = { .role = cases[i].role, .uid = cases[i].uid };

        g_assert_cmpint(roles_may_see(&c, &vm), ==, cases[i].sees);
        g_assert_cmpint(roles_may_change(&c), ==, cases[i].changes);
    }
    /* a tenant that is no user of this host owns nothing, not even what has no owner */
    vm.owner = ROLES_NOBODY;
    g_assert_false(roles_may_see(&(Caller){ .role = ROLE_TENANT, .uid = ROLES_NOBODY }, &vm));
}

static void test_profile_groups(Fixture *f, gconstpointer unused)
{
    Caller member = caller_of(ROLE_TENANT, ALICE, LAB),
           other = caller_of(ROLE_TENANT, BOB, 5), operator= caller_of(ROLE_OPERATOR, BOB, 5),
           none = caller_of(ROLE_NONE, CAROL, LAB);
    const Profile *cad;
    g_autofree char *why = NULL, *why_none = NULL;

    add(f, "", "[cad]\nmemory=1G\ngroups=4000011, @4000010\n");
    cad = profile_set_find(f->profiles, "cad");
    g_assert_true(roles_may_start_profile(f->config, &member, cad, NULL));
    g_assert_true(roles_may_start_profile(f->config, &operator, cad, NULL));
    g_assert_false(roles_may_start_profile(f->config, &other, cad, NULL));
    g_assert_false(roles_may_start_profile(f->config, &other, cad, &why));
    g_assert_cmpstr(why, ==,
                    "profile 'cad' is for members of 4000011, @4000010 only, and user u (uid 4000002, pid 7) "
                    "is none: choose another profile, or ask for that group");
    g_assert_true(roles_may_start_profile(f->config, &other, profile_set_find(f->profiles, "half"), NULL));
    g_assert_false(
        roles_may_start_profile(f->config, &none, profile_set_find(f->profiles, "half"), &why_none));
    g_assert_nonnull(strstr(why_none, "may start no VM here"));
    caller_clear(&member);
    caller_clear(&other);
    caller_clear(&operator);
    caller_clear(&none);
    caller_clear(&none); /* twice is once */
}

/* What the kernel says of a real socket: this process. */
static void test_peer(Fixture *f, gconstpointer unused)
{
    g_autofree gid_t *groups = NULL;
    g_autofree char *ids = g_strdup_printf("(uid %u, pid %d)", geteuid(), (int)getpid());
    int pair[2], n = getgroups(0, NULL), pipes[2];
    Caller c;

    groups = g_new0(gid_t, n + 1);
    g_assert_cmpint(getgroups(n, groups), ==, n);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    g_assert_true(roles_peer(f->config, pair[0], &c));
    g_assert_cmpuint(c.uid, ==, geteuid());
    g_assert_cmpint(c.pid, ==, getpid());
    g_assert_cmpint(c.role, ==, ROLE_ADMIN);
    g_assert_true(g_str_has_prefix(c.who, "user "));
    g_assert_true(g_str_has_suffix(c.who, ids));
    g_assert_cmpuint(c.gids->len, ==, n + 1);
    g_assert_cmpuint(g_array_index(c.gids, gid_t, 0), ==, getegid());
    for (int i = 0; i < n; i++) {
        g_assert_cmpuint(g_array_index(c.gids, gid_t, i + 1), ==, groups[i]);
    }
    caller_clear(&c);
    close(pair[0]);
    close(pair[1]);
    g_assert_cmpint(pipe(pipes), ==, 0);
    g_assert_false(roles_peer(f->config, pipes[0], &c)); /* no socket, no peer */
    close(pipes[0]);
    close(pipes[1]);
}

/* More groups than the first guess holds.  The last test: it changes this process. */
static void test_many_groups(Fixture *f, gconstpointer unused)
{
    gid_t many[300];
    int pair[2];
    Caller c;

    for (unsigned i = 0; i < G_N_ELEMENTS(many); i++) {
        many[i] = 100000 + i;
    }
    if (setgroups(G_N_ELEMENTS(many), many) < 0) {
        g_test_skip("this process may not take on groups");
        return;
    }
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    g_assert_true(roles_peer(f->config, pair[0], &c));
    g_assert_cmpuint(c.gids->len, ==, 301);
    g_assert_cmpuint(g_array_index(c.gids, gid_t, 300), ==, 100299);
    caller_clear(&c);
    close(pair[0]);
    close(pair[1]);
}

static void test_words(void)
{
    Role r;

    g_assert_true(roles_parse("operator", &r) && r == ROLE_OPERATOR);
    g_assert_true(roles_parse("admin", &r) && r == ROLE_ADMIN);
    g_assert_false(roles_parse("none", &r));
    g_assert_false(roles_parse("root", &r));
    g_assert_cmpstr(roles_name(ROLE_TENANT), ==, "tenant");
}

static void test_config_errors(Fixture *f, gconstpointer unused)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        { "[roles]\nadmin=\n", "c:2: admin= is not a list of users and @groups" },
        { "[roles]\ntenant=,;\n", "c:2: tenant=,; is not a list" },
        { "[roles]\noperator=a,@\n", "c:2: operator=a,@ is not a list" },
        { "[roles]\nroot=a\n", "c:2: the group [roles] has no key 'root'" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Ini) ini = ini_parse("c", cases[i].text, strlen(cases[i].text), NULL);

        g_assert_false(config_add(f->config, ini, &error));
        g_assert_true(g_str_has_prefix(error->message, cases[i].error));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/roles/" name, Fixture, NULL, set_up, func, tear_down)
    ADD("lists", test_lists);
    ADD("no-tenants-listed", test_no_tenants_listed);
    ADD("always-admin", test_always_admin);
    ADD("unknown-names", test_unknown_names);
    ADD("names-resolve", test_names_resolve);
    ADD("profile-groups", test_profile_groups);
    ADD("peer", test_peer);
    ADD("config-errors", test_config_errors);
    g_test_add_func("/roles/see-and-change", test_see_and_change);
    g_test_add_func("/roles/words", test_words);
    ADD("many-groups", test_many_groups);
    return g_test_run();
}
