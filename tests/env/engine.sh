# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The inference engine of the AI tests: llama.cpp as Debian packages it, with its
# Vulkan backend.  Debian 13 itself has none; trixie-backports has its tensor
# library, sid has all of it, built for a newer libc.  So the packages are
# unpacked, not installed, into one folder with the libc they want, and their
# own loader starts them: the same files run on the host and, by way of /share,
# in a stock Debian 13 guest, whose Vulkan loader and Mesa they use.

ENGINE_SUITES=(trixie-backports sid) # the first that has all of it
ENGINE_PACKAGES=(llama.cpp-tools llama.cpp-tools-extra libllama0 libggml0 libggml0-backend-vulkan
    libc6 libgcc-s1 libstdc++6 libgomp1 libssl3t64)

engine_dir() {
    echo "$VGPU_CACHE/llama-$(hash_of "${ENGINE_SUITES[*]} ${ENGINE_PACKAGES[*]} 1")"
}

engine_make_locked() {
    local dir work suite deb
    dir=$(engine_dir)
    work=$dir.work
    [ -d "$dir" ] && return 0
    for suite in "${ENGINE_SUITES[@]}"; do
        rm -rf "$work"
        apt_private "$work" "$suite" && apt_fetch "$work" "${ENGINE_PACKAGES[@]}" && break
        suite=
    done
    [ -n "$suite" ] || { echo "no suite of this machine's Debian mirror has all of ${ENGINE_PACKAGES[*]}"; return 0; }
    rm -rf "$dir.tmp"
    mkdir -p "$work/root" "$dir.tmp"
    for deb in "$work"/debs/*.deb; do
        dpkg-deb -x "$deb" "$work/root"
        basename "$deb" .deb >> "$dir.tmp/versions"
    done
    # the backends are looked for beside the loader
    find "$work"/root/usr/lib/*-linux-gnu{,/llama,/ggml/backends*} -maxdepth 1 -name '*.so*' ! -type d -exec cp -a -t "$dir.tmp" {} +
    cp "$work"/root/usr/bin/llama-{perplexity,completion} "$dir.tmp/"
    rm -rf "$work"
    mv "$dir.tmp" "$dir"
}

# On the host, not in the toolbox, which knows no mirror.  Without the packages
# there is no engine_dir, and what wants it says so: sid may lack them for a day.
engine_make() {
    host_install xz-utils
    with_lock engine engine_make_locked
}
