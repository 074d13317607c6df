# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages of any Debian suite, to be unpacked, not installed: apt with lists
# and a status of its own, on this machine's mirror.  On the host, not in the
# toolbox, which knows no mirror.

# apt_private DIR SUITE: makes DIR/apt.conf (for APT_CONFIG) and gets the lists
apt_private() {
    local dir=$1 suite=$2 proxy
    host_install debian-archive-keyring
    proxy=$(apt-config dump Acquire::http::Proxy | sed -n 's/.*"\(.*\)";/\1/p' | head -n 1)
    mkdir -p "$dir"/etc/{apt.conf.d,preferences.d} "$dir"/lists/partial "$dir"/cache/archives/partial "$dir"/debs
    # backports and sid have no updates and no security archive of their own
    apt_sources "$suite" | sed 's#^deb #&[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] #' |
        case $suite in *-backports | sid) head -n 1 ;; *) cat ;; esac > "$dir/etc/sources.list"
    [ -s "$dir/etc/sources.list" ] || return 1
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
    APT_CONFIG=$dir/apt.conf apt-get update
}

# apt_fetch DIR PACKAGE...: after apt_private; the packages are then in DIR/debs
apt_fetch() {
    local dir=$1
    shift
    (cd "$dir/debs" && APT_CONFIG=$dir/apt.conf apt-get download "$@")
}
