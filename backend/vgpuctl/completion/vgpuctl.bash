# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bash completion of vgpuctl.  Names of VMs are their owners' choice: they are
# compared and quoted here, never expanded (compgen -W would run a $(...)).

# The options of this command line that say which vgpud to ask.
_vgpuctl_where() {
    local i word
    where=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -s | -u | --socket | --url | --token-file | --ca-file)
            [ "${COMP_WORDS[i + 1]}" = = ] && i=$((i + 1))
            where+=("$word" "${COMP_WORDS[i + 1]//\\/}")
            i=$((i + 1))
            ;;
        esac
    done
}

# Offers those of the lines on stdin that begin with $cur, quoted, followed by $1.
_vgpuctl_offer() {
    local name
    while IFS= read -r name; do
        if [[ $name == "$cur"* ]]; then
            COMPREPLY+=("$(printf '%q' "$name")$1")
        fi
    done
}

# _vgpuctl_names KIND: asked of the running vgpud.  https is not asked: TAB is no reason to use a token.
_vgpuctl_names() {
    local where
    _vgpuctl_where
    [[ " ${where[*]} " == *" --url "* || " ${where[*]} " == *" -u "* ]] && return
    _vgpuctl_offer "" < <("${COMP_WORDS[0]}" "${where[@]}" names "$1" 2> /dev/null)
}

# What may follow KEY=.
_vgpuctl_value() {
    case $1 in
    priority) _vgpuctl_offer "" < <(printf '%s\n' low normal high) ;;
    profile) _vgpuctl_names profiles ;;
    --sort) _vgpuctl_names columns ;;
    --socket | --token-file | --ca-file)
        compopt -o default
        ;;
    esac
}

_vgpuctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} i word command='' place=0
    COMPREPLY=()
    cur=${cur//\\/}
    # KEY=VALUE is three words to bash
    if [ "$cur" = = ]; then
        cur=''
        _vgpuctl_value "${COMP_WORDS[COMP_CWORD - 1]}"
        return
    fi
    if [ "${COMP_WORDS[COMP_CWORD - 1]}" = = ]; then
        _vgpuctl_value "${COMP_WORDS[COMP_CWORD - 2]}"
        return
    fi
    # the command, and how many of its arguments there are already
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -s | -u | -n | --socket | --url | --token-file | --ca-file | --interval | --count | --sort | --timeout)
            [ "${COMP_WORDS[i + 1]}" = = ] && i=$((i + 1))
            i=$((i + 1))
            if ((i >= COMP_CWORD)); then
                _vgpuctl_value "$word"
                return
            fi
            ;;
        -*) ;;
        =) i=$((i + 1)) ;;
        *)
            if [ -z "$command" ]; then
                command=$word
            else
                place=$((place + 1))
            fi
            ;;
        esac
    done
    if [[ $cur == -* ]]; then
        _vgpuctl_offer "" < <(printf '%s\n' --help --json --version)
        _vgpuctl_offer "=" < <(printf '%s\n' --socket --url --token-file --ca-file)
        case $command in
        top) _vgpuctl_offer "=" < <(printf '%s\n' --interval --count --sort) ;;
        restart) _vgpuctl_offer "" < <(printf '%s\n' --all --rolling) ;;
        doctor) _vgpuctl_offer "=" < <(printf '%s\n' --timeout) ;;
        esac
        [[ ${#COMPREPLY[@]} = 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        return
    fi
    case $command:$place in
    :*) _vgpuctl_names commands ;;
    show:0 | set:0 | set-profile:0 | stop:0 | restart:0 | allow:0) _vgpuctl_names vms ;;
    set-profile:1) _vgpuctl_names profiles ;;
    policy:0) _vgpuctl_names gpus ;;
    policy:1) _vgpuctl_names policies ;;
    set:*)
        _vgpuctl_offer "=" < <("${COMP_WORDS[0]}" names keys 2> /dev/null)
        compopt -o nospace
        ;;
    esac
}

complete -F _vgpuctl vgpuctl
