/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that vgpuctl shows to people. */
#include <glib.h>

#include "vgpuctl/text.h"

static void expect(char *is, const char *should)
{
    g_assert_cmpstr(is, ==, should);
    g_free(is);
}

static void test_clean(void)
{
    expect(text_clean("plain"), "plain");
    expect(text_clean("\303\234ber \344\272\220"), "\303\234ber \344\272\220");
    expect(text_clean("a\033[2Jb\177"), "a?[2Jb?");
    expect(text_clean("a\tb\nc"), "a b c");
    expect(text_clean("a\302\233b"), "a?b");        /* U+009B, a control sequence's begin */
    expect(text_clean("a\342\200\256b"), "a?b");    /* right-to-left override */
    expect(text_clean("a\342\200\250b"), "a?b");    /* line separator */
    expect(text_clean("a\377b"), "a\357\277\275b"); /* no UTF-8 */
}

static void test_fit(void)
{
    g_assert_cmpint(text_width("abc"), ==, 3);
    g_assert_cmpint(text_width("\344\272\220\344\272\220"), ==, 4); /* two wide ones */
    g_assert_cmpint(text_width("e\314\201"), ==, 1);                /* an accent of its own */
    expect(text_fit("abc", 3), "abc");
    expect(text_fit("abcd", 3), "ab~");
    expect(text_fit("abcd", 1), "~");
    expect(text_fit("abcd", 0), "");
    expect(text_fit("", 0), "");
    /* never half a character, never a column too many */
    expect(text_fit("\344\272\220\344\272\220\344\272\220", 4), "\344\272\220~");
    expect(text_fit("\344\272\220\344\272\220\344\272\220", 5), "\344\272\220\344\272\220~");
    expect(text_fit("\344\272\220\344\272\220", 1), "~");
}

static void test_figures(void)
{
    expect(text_mib(0), "0 MiB");
    expect(text_mib(1536ull << 20), "1536 MiB");
    expect(text_duration(0), "0");
    expect(text_duration(500), "500 us");
    expect(text_duration(4000), "4 ms");
    expect(text_duration(2500000), "2.5 s");
    expect(text_duration(90000000), "90 s");
    expect(text_duration(180000000), "3 min");
    expect(text_percent(0.25), "25 %");
    expect(text_percent(0.0625), "6.25 %");
    expect(text_percent(1), "100 %");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/text/clean", test_clean);
    g_test_add_func("/text/fit", test_fit);
    g_test_add_func("/text/figures", test_figures);
    return g_test_run();
}
