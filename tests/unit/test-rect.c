/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one check that a rectangle of the guest's fits. */
#include <glib.h>

#include "renderer/rect.h"

#define TOP UINT32_MAX

static bool within(uint32_t x, uint32_t y, uint32_t w, uint32_t h, uint32_t width, uint32_t height)
{
    Rect r = { x, y, w, h };

    return rect_within(&r, width, height);
}

static void test_within(void)
{
    g_assert_true(within(0, 0, 10, 20, 10, 20));
    g_assert_true(within(9, 19, 1, 1, 10, 20));
    g_assert_true(within(10, 20, 0, 0, 10, 20));
    g_assert_true(within(0, 0, TOP, TOP, TOP, TOP));
    g_assert_true(within(TOP - 1, 0, 1, 1, TOP, 1));
}

static void test_outside(void)
{
    g_assert_false(within(0, 0, 11, 20, 10, 20));
    g_assert_false(within(0, 0, 10, 21, 10, 20));
    g_assert_false(within(1, 0, 10, 20, 10, 20));
    g_assert_false(within(0, 1, 10, 20, 10, 20));
    g_assert_false(within(11, 0, 0, 0, 10, 20));
}

/* x + w is small when it wraps: that is what the check must not compute. */
static void test_wrapping(void)
{
    g_assert_false(within(TOP, 0, 1, 1, 10, 10));
    g_assert_false(within(TOP, 0, 2, 1, 10, 10));
    g_assert_false(within(2, 0, TOP - 1, 1, 10, 10));
    g_assert_false(within(0, TOP, 1, 1, 10, 10));
    g_assert_false(within(0, 2, 1, TOP - 1, 10, 10));
    g_assert_false(within(TOP, TOP, TOP, TOP, TOP, TOP));
}

static void assert_rect(const Rect *r, uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
    g_assert_cmpuint(r->x, ==, x);
    g_assert_cmpuint(r->y, ==, y);
    g_assert_cmpuint(r->w, ==, w);
    g_assert_cmpuint(r->h, ==, h);
}

static void test_intersect(void)
{
    Rect a = { 10, 10, 20, 20 }, out;

    g_assert_true(rect_intersect(&a, &(Rect){ 0, 0, 100, 100 }, &out));
    assert_rect(&out, 10, 10, 20, 20);
    g_assert_true(rect_intersect(&a, &(Rect){ 25, 5, 10, 10 }, &out));
    assert_rect(&out, 25, 10, 5, 5);
    g_assert_false(rect_intersect(&a, &(Rect){ 30, 10, 5, 5 }, &out));
    g_assert_false(rect_intersect(&a, &(Rect){ 10, 0, 5, 10 }, &out));
}

static void test_unite(void)
{
    Rect a = { 0 };

    rect_unite(&a, &(Rect){ 5, 6, 7, 8 });
    assert_rect(&a, 5, 6, 7, 8);
    rect_unite(&a, &(Rect){ 1, 10, 2, 20 });
    assert_rect(&a, 1, 6, 11, 24);
    rect_unite(&a, &(Rect){ 2, 7, 1, 1 });
    assert_rect(&a, 1, 6, 11, 24);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rect/within", test_within);
    g_test_add_func("/rect/outside", test_outside);
    g_test_add_func("/rect/wrapping", test_wrapping);
    g_test_add_func("/rect/intersect", test_intersect);
    g_test_add_func("/rect/unite", test_unite);
    return g_test_run();
}
