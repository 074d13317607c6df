# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What every entry script shares: where things are, and how a long step is
# run, shown, logged and blamed.
#
# Products live in $VGPU_CACHE, each in a folder named by a hash of what made
# it.  A step builds into NAME.tmp and renames, so an interrupted step leaves
# nothing that a later run could mistake for a product.  Steps that share a
# product take a lock on its name: two checkouts may run at once.

VGPU_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VGPU_CACHE=${VGPU_CACHE:-$HOME/.cache/vgpu}
export VGPU_TOP VGPU_CACHE
mkdir -p "$VGPU_CACHE/log" "$VGPU_CACHE/lock" || {
    echo "cannot write the cache folder $VGPU_CACHE: set VGPU_CACHE to a folder you own" >&2
    exit 2
}

# VGPU_LOG: the full log of this command.  An outer script hands its own down.
if [ -z "${VGPU_LOG:-}" ]; then
    VGPU_LOG=$VGPU_CACHE/log/$(basename "$0")-$(date +%Y%m%d-%H%M%S)-$$.log
    export VGPU_LOG
fi

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "installing packages needs root: run as root, or install sudo" >&2
        return 1
    fi
}

# hash_of FILE|DIR|STRING...: one short key for all of them, by content.  A
# string that could be a path wants a prefix ("tree:$dir"): of a folder all
# content is read.
hash_of() {
    local x
    for x in "$@"; do
        if [ -d "$x" ]; then
            (cd "$x" && find . -type f ! -name '*~' -print0 | LC_ALL=C sort -z |
                xargs -0r sha256sum)
        elif [ -f "$x" ]; then
            sha256sum < "$x"
        else
            printf '%s\n' "$x"
        fi
    done | sha256sum | cut -c1-12
}

# with_lock NAME COMMAND...: one at a time over all checkouts
with_lock() {
    local name=$1 fd rc
    shift
    exec {fd}> "$VGPU_CACHE/lock/$name"
    if ! flock -n "$fd"; then
        echo "waiting for another run that is making $name ..."
        flock "$fd"
    fi
    "$@" {fd}>&-
    rc=$?
    exec {fd}>&-
    return $rc
}

# In an ERR trap: the innermost command that failed is the one to name.
step_blame() {
    [ -s "${VGPU_STEP_MARK:-/dev/null}" ] || echo "$BASH_COMMAND" > "${VGPU_STEP_MARK:-/dev/null}"
}

# kill_tree PID: a background job ignores Ctrl-C, and so does all it started
kill_tree() {
    local child
    for child in $(ps -o pid= --ppid "$1"); do
        kill_tree "$child"
    done
    kill "$1" 2>/dev/null || { [ -d "/proc/$1" ] && as_root kill "$1" 2>/dev/null; }
}

step_interrupted() {
    kill_tree "$1"
    rm -f "$2"
    echo
    echo "interrupted: run the same command again to go on from this step"
    exit 130
}

STEP_NO=0
STEP_TOTAL=${STEP_TOTAL:-0}
STEP_T0=$SECONDS

# step TITLE FUNCTION [ARG...]: runs FUNCTION with its output in the log,
# shows a counter, the title, the elapsed time and the last line logged.
step() {
    local title=$1 t0=$SECONDS pid rc last mark n=0
    shift
    STEP_NO=$((STEP_NO + 1))
    mark=$(mktemp "$VGPU_CACHE/log/.step.XXXXXX")
    printf -- '---- [%s/%s] %s\n' "$STEP_NO" "$STEP_TOTAL" "$title" >> "$VGPU_LOG"
    printf '[%s/%s] %s\n' "$STEP_NO" "$STEP_TOTAL" "$title"
    (
        set -eE
        VGPU_STEP_MARK=$mark
        export VGPU_STEP_MARK
        trap step_blame ERR
        "$@"
    ) >> "$VGPU_LOG" 2>&1 < /dev/null &
    pid=$!
    # shellcheck disable=SC2064
    trap "step_interrupted $pid '$mark'" INT TERM
    while kill -0 $pid 2>/dev/null; do
        sleep 0.2
        n=$((n + 1))
        last=$(tail -n 1 "$VGPU_LOG" 2>/dev/null | tr -d '\r' | cut -c1-60)
        if [ -t 1 ]; then
            [ $((n % 5)) = 0 ] && printf '\r\033[K      %4d s  %s' $((SECONDS - t0)) "$last"
        elif [ $((n % 150)) = 0 ]; then
            printf '      %4d s  %s\n' $((SECONDS - t0)) "$last"
        fi
    done
    wait $pid
    rc=$?
    trap - INT TERM
    [ -t 1 ] && printf '\r\033[K'
    if [ $rc != 0 ]; then
        printf '      failed after %d s: %s\n' $((SECONDS - t0)) "$([ -s "$mark" ] && cat "$mark" || echo "$*")" >&2
        printf '      the log is %s; its last lines:\n' "$VGPU_LOG" >&2
        tail -n 15 "$VGPU_LOG" | sed 's/^/      | /' >&2
        rm -f "$mark"
        exit 1
    fi
    rm -f "$mark"
    printf '      done in %d s (%d s in all)\n' $((SECONDS - t0)) $((SECONDS - STEP_T0))
}
