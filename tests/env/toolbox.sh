# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The toolbox: a Debian 13 root in the cache in which everything is built and
# run when the machine is not Debian 13 itself.  It is entered by bubblewrap,
# not chroot: a process in a chroot cannot create user namespaces, and the
# renderer's sandbox is made of those.

TOOLBOX_SUITE=trixie
TOOLBOX_PACKAGES=(
    # building
    build-essential ccache clang clang-format clang-tidy cppcheck git meson
    ninja-build pkgconf python3 python3-venv flex bison libclang-rt-19-dev
    dpkg-dev ca-certificates rsync
    # QEMU
    libglib2.0-dev libpixman-1-dev libepoxy-dev libegl-dev libgbm-dev libdrm-dev
    libvirglrenderer-dev libsdl2-dev libgtk-3-dev libslirp-dev libattr1-dev libcap-ng-dev
    libfdt-dev zlib1g-dev libpng-dev libjpeg-dev
    qemu-system-data seabios ipxe-qemu ovmf
    # renderer and daemon
    virgl-server libseccomp-dev libjson-glib-dev libsoup-3.0-dev linux-libc-dev
    libgl1-mesa-dri libegl1 libegl-mesa0 libgl-dev libgles-dev mesa-vulkan-drivers
    libvulkan-dev glslang-tools vulkan-tools libncurses-dev
    # tests and benchmarks
    promtool openssl glib-networking
    xvfb gnuplot-nox socat gdb strace procps iproute2 e2fsprogs file python3-pil python3-yaml
    bubblewrap shellcheck curl jq mandoc zsh libvirt-common libxml2-utils
    # the guest driver and its package
    sparse pahole kmod debhelper dh-dkms
)

# Packages that start a service wherever they are installed: never on a host
# that is Debian 13 itself, where the tests that want them are skipped.
TOOLBOX_ONLY_PACKAGES=(prometheus)

host_is_debian13() {
    # VGPU_TOOLBOX=1 forces the toolbox on a Debian 13 host as well
    [ -z "${VGPU_TOOLBOX:-}" ] && [ -z "${VGPU_IN_TOOLBOX:-}" ] || return 1
    (. /etc/os-release && [ "$ID" = debian ] && [ "$VERSION_ID" = 13 ]) 2>/dev/null
}

toolbox_dir() {
    echo "$VGPU_CACHE/toolbox-$(hash_of "$TOOLBOX_SUITE ${TOOLBOX_PACKAGES[*]} ${TOOLBOX_ONLY_PACKAGES[*]} 1")"
}

# The machine's own mirror, from its apt configuration: URI of the archive and,
# if there is one, of the security archive.
apt_mirror() {
    apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk -F'|' -v c="$(. /etc/os-release && echo "$VERSION_CODENAME")" \
            '$2 == c && $3 == "main" { print $1; exit }'
}

apt_mirror_security() {
    apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk -F'|' -v c="$(. /etc/os-release && echo "$VERSION_CODENAME-security")" \
            '$2 == c && $3 == "main" { print $1; exit }'
}

# apt_sources SUITE: sources.list lines for another suite on the same mirror
apt_sources() {
    local suite=$1 uri sec
    uri=$(apt_mirror)
    [ -n "$uri" ] || {
        echo "no Debian mirror in this machine's apt configuration (apt-get indextargets shows none for main)" >&2
        return 1
    }
    sec=$(apt_mirror_security)
    echo "deb $uri $suite main"
    echo "deb $uri $suite-updates main"
    [ -n "$sec" ] && echo "deb $sec $suite-security main"
    return 0
}

# host_missing PACKAGE...: those that are not installed
host_missing() {
    comm -23 <(printf '%s\n' "$@" | sort -u) \
        <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

host_install() {
    local missing
    mapfile -t missing < <(host_missing "$@")
    [ ${#missing[@]} = 0 ] && return 0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

# debian_root SUITE DIR PACKAGE...: a Debian root in a new folder, owned by root
debian_root() {
    local suite=$1 dir=$2 proxy opts=()
    shift 2
    proxy=$(apt-config dump Acquire::http::Proxy 2>/dev/null | sed -n 's/.*"\(.*\)";/\1/p' | head -n 1)
    [ -n "$proxy" ] && opts+=("--aptopt=Acquire::http::Proxy \"$proxy\"")
    as_root rm -rf --one-file-system "$dir.tmp"
    apt_sources "$suite" | as_root mmdebstrap --mode=root --variant=apt \
        --include="$(IFS=,; echo "$*")" \
        --aptopt='APT::Install-Recommends "false"' \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        "${opts[@]}" "$suite" "$dir.tmp" -
}

toolbox_make_locked() {
    local dir
    dir=$(toolbox_dir)
    [ -d "$dir" ] && return 0
    debian_root "$TOOLBOX_SUITE" "$dir" "${TOOLBOX_PACKAGES[@]}" "${TOOLBOX_ONLY_PACKAGES[@]}"
    # apt-get source needs to know where sources are
    sed -n 's/^deb /deb-src /p' "$dir.tmp/etc/apt/sources.list" |
        as_root tee "$dir.tmp/etc/apt/sources.list.d/src.list" > /dev/null
    as_root mv "$dir.tmp" "$dir"
}

toolbox_make() {
    if host_is_debian13; then
        host_install "${TOOLBOX_PACKAGES[@]}"
        return
    fi
    [ -n "${VGPU_IN_TOOLBOX:-}" ] && return 0
    host_install mmdebstrap bubblewrap debian-archive-keyring procps util-linux
    with_lock toolbox toolbox_make_locked
}

toolbox_ready() {
    if host_is_debian13; then
        [ -z "$(host_missing "${TOOLBOX_PACKAGES[@]}")" ]
    else
        [ -n "${VGPU_IN_TOOLBOX:-}" ] || [ -d "$(toolbox_dir)" ]
    fi
}

toolbox_title() {
    if host_is_debian13; then
        echo 'compilers and libraries (1-3 min)'
    else
        echo 'toolbox: a Debian 13 root with compilers and libraries (1-3 min)'
    fi
}

# What the toolbox brings to an otherwise empty root, in which any user's bwrap
# can make the places for the checkout, the cache and the home folder.
TOOLBOX_FOLDERS=(bin etc lib lib32 lib64 libx32 opt sbin usr var)

# toolbox_place DIR PATH: the place of PATH where it lies inside of one of those
# folders, which are root's
toolbox_place() {
    local top=${2#/}
    case " ${TOOLBOX_FOLDERS[*]} " in
    *" ${top%%/*} "*) [ -d "$1$2" ] || as_root mkdir -p "$1$2" ;;
    esac
}

# toolbox_run COMMAND...: in the toolbox, in the current folder.  The checkout,
# the temporary folder, the cache and the lines of VGPU_BIND are the same paths in
# and out, and so is the current folder unless the toolbox has one of that name.
# Everything the command starts ends with it.
toolbox_run() {
    local dir tmp=${TMPDIR:-/tmp}
    if host_is_debian13 || [ -n "${VGPU_IN_TOOLBOX:-}" ]; then
        PATH=/usr/lib/ccache:$PATH CCACHE_DIR=$VGPU_CACHE/ccache "$@"
        return
    fi
    dir=$(toolbox_dir)
    local here=$PWD path roots=() binds=() shown=(/tmp)
    case $here/ in
    / | /dev/* | /proc/* | /sys/*) ;;
    *) [ -d "$dir$here" ] || shown=("$here" /tmp) ;;
    esac
    shown+=("$VGPU_TOP" "$VGPU_CACHE")
    # of a worktree the repository is elsewhere
    path=$(git -C "$VGPU_TOP" rev-parse --path-format=absolute --git-common-dir 2>/dev/null) && shown+=("$path")
    [ "$tmp" != /tmp ] && shown+=("$tmp")
    while read -r path; do
        [ -z "$path" ] || shown+=("$path")
    done <<< "${VGPU_BIND:-}"
    for path in "${shown[@]}"; do
        toolbox_place "$dir" "$path" || return
        binds+=(--bind "$path" "$path")
    done
    for path in "${TOOLBOX_FOLDERS[@]}"; do
        if [ -L "$dir/$path" ]; then
            roots+=(--symlink "$(readlink "$dir/$path")" "/$path")
        elif [ -d "$dir/$path" ]; then
            roots+=(--bind "$dir/$path" "/$path")
        fi
    done
    bwrap "${roots[@]}" --dev-bind /dev /dev --proc /proc --ro-bind-try /sys /sys \
        --tmpfs /run --dir "/run/user/$(id -u)" --tmpfs /root --dir "$HOME" "${binds[@]}" \
        --ro-bind-try /etc/resolv.conf /etc/resolv.conf --ro-bind /etc/passwd /etc/passwd \
        --ro-bind /etc/group /etc/group --ro-bind-try /etc/hosts /etc/hosts \
        --unshare-pid --die-with-parent \
        --setenv VGPU_IN_TOOLBOX 1 --setenv XDG_RUNTIME_DIR "/run/user/$(id -u)" \
        --setenv PATH /usr/lib/ccache:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --setenv CCACHE_DIR "$VGPU_CACHE/ccache" --setenv LC_ALL C.UTF-8 --unsetenv LIBRARY_PATH \
        --chdir "$here" "$@"
}
