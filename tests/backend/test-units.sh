#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test-units.sh SERVICE SOCKET UNIT-RIGHTS TEST-VGPUD TEST-HTTP TEST-CONTROL TEST-ZYGOTE: the systemd
# units say what systemd understands, and vgpud and its renderers work with
# what they leave them.
service=$1 socket=$2 rights=$3 test_vgpud=$4 test_http=$5 test_control=$6 test_zygote=$7
n=0 bad=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

report() { # STATUS NAME
    n=$((n + 1))
    case $1 in
    0) echo "ok $n - $2" ;;
    77) echo "ok $n - $2 # SKIP ${3:-this machine does not let us}" ;;
    *) echo "not ok $n - $2"; bad=1 ;;
    esac
}

run() { # NAME COMMAND...: what it says is shown when it fails
    local name=$1
    shift
    "$@" > "$work/out" 2>&1
    local rc=$?
    [ $rc = 0 ] || sed 's/^/# /' "$work/out"
    report $rc "$name"
}

analyze() {
    command -v systemd-analyze > /dev/null || return 77
    sed "s|^ExecStart=[^ ]*|ExecStart=$VGPUD|" "$service" > "$work/vgpud.service"
    cp "$socket" "$work/vgpud.socket"
    (cd "$work" && systemd-analyze "$@")
}

verify() {
    local said
    said=$(analyze verify --man=no ./vgpud.service ./vgpud.socket 2>&1)
    local rc=$?
    [ $rc = 0 ] && [ -n "$said" ] && rc=1 # a directive it does not know is a warning only
    echo "$said"
    return $rc
}

# with the unit's rights: KIND PROGRAM OPTIONS..., all renderers being of that kind
confined() {
    local kind=$1
    shift
    command -v systemd-analyze > /dev/null || return 77
    "$rights" "$service" true
    local rc=$?
    [ $rc = 0 ] || return $rc
    printf '#!/bin/sh\nexec "%s" "%s" "%s" --renderer=%s "$@"\n' "$rights" "$service" "$VGPUD" "$kind" > "$work/vgpud"
    chmod +x "$work/vgpud"
    VGPUD=$work/vgpud "$@" || return
    ! grep -q '# SKIP' "$work/out"
}

run 'systemd understands the units' verify
run 'the exposure is low for what the service does' analyze security --offline=true --no-pager --threshold=50 ./vgpud.service
run 'VMs attach, lose and find their renderers' confined 2d "$test_vgpud" \
    -p /vgpud/two-vms -p /vgpud/renderer-killed -p /vgpud/rejoin-after-restart
run 'they draw with OpenGL, in the box' confined virgl "$test_vgpud" -p /vgpud/accepted -p /vgpud/sandbox
run 'they come from a zygote, in the same box' confined auto "$test_zygote" -p /zygote/same-box -p /zygote/vgpud-ends
run 'the API is served' confined null "$test_http" -p /vgpud-http/one-vm -p /vgpud-http/audit
run 'what a renderer shares is counted' confined null "$test_control" -p /vgpud-control/hoard
echo "1..$n"
exit $bad
