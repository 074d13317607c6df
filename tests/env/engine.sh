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

# engine_download SUITE DIR
engine_download() {
    local suite=$1 dir=$2 uri proxy
    uri=$(apt_mirror)
    [ -n "$uri" ] || return 1
    proxy=$(apt-config dump Acquire::http::Proxy | sed -n 's/.*"\(.*\)";/\1/p' | head -n 1)
    mkdir -p "$dir"/etc/{apt.conf.d,preferences.d} "$dir"/lists/partial "$dir"/cache/archives/partial "$dir"/debs
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" > "$dir/etc/sources.list"
    : > "$dir/status"
    cat > "$dir/apt.conf" << EOF
Dir::Etc "$dir/etc";
Dir::State::Lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
${proxy:+Acquire::http::Proxy "$proxy";}
EOF
    (
        export APT_CONFIG=$dir/apt.conf
        cd "$dir/debs" && apt-get update && apt-get download "${ENGINE_PACKAGES[@]}"
    )
}

engine_make_locked() {
    local dir work suite deb
    dir=$(engine_dir)
    work=$dir.work
    [ -d "$dir" ] && return 0
    for suite in "${ENGINE_SUITES[@]}"; do
        rm -rf "$work"
        engine_download "$suite" "$work" && break
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
    host_install debian-archive-keyring xz-utils
    with_lock engine engine_make_locked
}
