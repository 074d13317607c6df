/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The meter: a share of time told by who asks, whoever else asks too. */
#include <glib.h>

#include "vgpud/meter.h"

#define MS 1000000ull
#define S  (1000 * MS)

/* Something that used half of the time until 100 s, and all of it from there on. */
static uint64_t used(uint64_t now)
{
    return now <= 100 * S ? now / 2 : 50 * S + (now - 100 * S);
}

static double ask(Meter *m, uint64_t now, uint64_t *over)
{
    return meter_ratio(m, 0, now, used(now), over);
}

static void assert_about(double is, double wanted)
{
    if (is < wanted - 0.001 || is > wanted + 0.001) {
        g_test_message("%f is not %f", is, wanted);
        g_test_fail();
    }
}

static void test_first(void)
{
    Meter m = { 0 };
    uint64_t over;

    assert_about(ask(&m, 40 * S, &over), 0.5);
    g_assert_cmpuint(over, ==, 40 * S);
}

static void test_at_once(void)
{
    Meter m = { 0 };
    uint64_t over;

    g_assert_cmpfloat(meter_ratio(&m, 5 * S, 5 * S, 0, &over), ==, 0);
    g_assert_cmpuint(over, ==, 0);
    g_assert_cmpfloat(meter_ratio(&m, 5 * S, 4 * S, 0, &over), ==, 0); /* a clock may be read late */
    assert_about(meter_ratio(&m, 5 * S, 5 * S + 10 * MS, 5 * MS, &over), 0.5);
}

static void test_scrape_interval(void)
{
    Meter m = { 0 };
    uint64_t over;

    ask(&m, 90 * S, &over);
    assert_about(ask(&m, 105 * S, &over), (5 + 5) / 15.0);
    g_assert_cmpuint(over, ==, 15 * S);
    assert_about(ask(&m, 120 * S, &over), 1);
    g_assert_cmpuint(over, ==, 15 * S);
}

static void test_every_second(void)
{
    Meter m = { 0 };
    uint64_t over;

    for (unsigned i = 90; i < 110; i++) {
        assert_about(ask(&m, i * S, &over), i <= 100 ? 0.5 : 1);
        g_assert_cmpuint(over, ==, i == 90 ? 90 * S : S);
    }
}

/* One who asks all the time leaves everybody about a second to look back on. */
static void test_many_ask(void)
{
    Meter m = { 0 };
    uint64_t over;

    for (uint64_t now = 90 * S; now < 110 * S; now += MS) {
        double is = ask(&m, now, &over);

        g_assert_cmpuint(over, >, 0);
        if (now >= 92 * S) {
            g_assert_cmpuint(over, >=, METER_WINDOW_NS);
            g_assert_cmpuint(over, <=, METER_WINDOW_NS * 3 / 2);
        }
        if (now <= 100 * S) {
            assert_about(is, 0.5);
        } else if (now >= 102 * S) {
            assert_about(is, 1);
        }
    }
}

/* Who asks every 15 s gets figures of the same whether another asks or not. */
static void test_two_scrapers(void)
{
    Meter m = { 0 };
    uint64_t over;

    for (unsigned i = 0; i < 90; i++) {
        ask(&m, i * S, &over);
        if (i % 15 == 7) {
            assert_about(ask(&m, i * S + 500 * MS, &over), 0.5);
            g_assert_cmpuint(over, <=, 2 * S);
        }
    }
}

static void test_bounds(void)
{
    Meter m = { 0 };
    uint64_t over;

    g_assert_cmpfloat(meter_ratio(&m, 0, S, 5 * S, &over), ==, 1); /* charged late, in a lump */
    g_assert_cmpfloat(meter_ratio(&m, 0, 2 * S, S, &over), ==, 0); /* went back */
    g_assert_cmpfloat(meter_ratio(&m, 0, 4 * S, UINT64_MAX, &over), ==, 1);
    g_assert_cmpfloat(meter_ratio(&m, 0, 6 * S, UINT64_MAX, &over), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/meter/since the start when nobody asked before", test_first);
    g_test_add_func("/meter/0 over no time", test_at_once);
    g_test_add_func("/meter/over the interval of one scraper", test_scrape_interval);
    g_test_add_func("/meter/over the last second for who asks every second", test_every_second);
    g_test_add_func("/meter/over a second however often it is asked", test_many_ask);
    g_test_add_func("/meter/two that ask at their own pace", test_two_scrapers);
    g_test_add_func("/meter/never below 0 or above 1", test_bounds);
    return g_test_run();
}
