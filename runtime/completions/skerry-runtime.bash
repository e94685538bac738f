# Completion of skerry-runtime(8) for bash; source it, or put it into
# /usr/share/bash-completion/completions as skerry-runtime.

_skerry_runtime_options() {
    local create="--bundle --config --pid-file --pidfd-socket --console-socket --no-pivot --no-new-keyring --preserve-fds"
    case $1 in
        "") echo "--root --log --log-format --log-only --systemd-cgroup --cgroup-manager --rootless --help --version" ;;
        create) echo "$create" ;;
        run) echo "$create --detach --keep" ;;
        kill) echo "--all --signal" ;;
        delete) echo "--force" ;;
        exec)
            echo "--process --tty --user --additional-gids --cwd --env --cap --no-new-privs --apparmor" \
                "--process-label --cgroup" \
                "--detach --ignore-paused --pid-file --pidfd-socket --console-socket --preserve-fds"
            ;;
        list) echo "--format --quiet" ;;
        ps) echo "--format" ;;
        update)
            echo "--resources --memory --memory-swap --memory-reservation --pids-limit --cpu-quota" \
                "--cpu-period --cpu-burst --cpu-share --cpu-idle --cpuset-cpus --cpuset-mems --blkio-weight" \
                "--l3-cache-schema --mem-bw-schema --cpu-rt-period --cpu-rt-runtime"
            ;;
        events) echo "--stats --interval" ;;
        spec) echo "--bundle --rootless" ;;
    esac
}

_skerry_runtime() {
    local commands="create start run state kill delete exec list ps pause resume update events features spec"
    local now=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local command= id= root=() at
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in
            --root)
                root=(--root "${COMP_WORDS[at + 1]}")
                at=$((at + 1))
                ;;
            # spec has an option of that name, without a value.
            --rootless) [ -n "$command" ] || at=$((at + 1)) ;;
            --log | --log-format | --cgroup-manager | --bundle | -b | --config | --pid-file | --pidfd-socket | --console-socket | --preserve-fds | --process | -p | \
                --user | -u | --additional-gids | -g | --cwd | --env | -e | --cap | -c | --apparmor | --process-label | --cgroup | --format | \
                --resources | -r | --interval | --memory | --memory-swap | --memory-reservation | --pids-limit | \
                --cpu-quota | --cpu-period | --cpu-burst | --cpu-share | --cpu-idle | --cpuset-cpus | --cpuset-mems | \
                --blkio-weight | --l3-cache-schema | --mem-bw-schema | --cpu-rt-period | --cpu-rt-runtime | --signal | -s)
                at=$((at + 1))
                ;;
            -*) ;;
            *) if [ -z "$command" ]; then command=${COMP_WORDS[at]}; else id=${COMP_WORDS[at]}; fi ;;
        esac
    done
    case $before in
        --root | --bundle | -b) COMPREPLY=($(compgen -d -- "$now")) && return ;;
        --log | --config | --pid-file | --pidfd-socket | --console-socket | --process | --resources | -r) COMPREPLY=($(compgen -f -- "$now")) && return ;;
        --log-format) COMPREPLY=($(compgen -W "text json" -- "$now")) && return ;;
        --cgroup-manager) COMPREPLY=($(compgen -W "cgroupfs systemd disabled" -- "$now")) && return ;;
        --rootless) [ -z "$command" ] && COMPREPLY=($(compgen -W "true false auto" -- "$now")) && return ;;
        --format) COMPREPLY=($(compgen -W "table json" -- "$now")) && return ;;
        --signal) COMPREPLY=($(compgen -A signal -- "$now")) && return ;;
        --cpu-idle) COMPREPLY=($(compgen -W "0 1" -- "$now")) && return ;;
    esac
    if [[ $now == -* ]]; then
        COMPREPLY=($(compgen -W "$(_skerry_runtime_options "$command")" -- "$now"))
    elif [ -z "$command" ]; then
        COMPREPLY=($(compgen -W "$commands" -- "$now"))
    elif [ -n "$id" ]; then
        [ "$command" != kill ] || COMPREPLY=($(compgen -A signal -- "$now"))
    else
        case $command in
            create | run | list | features | spec) ;;
            *) COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "${root[@]}" list --quiet 2>/dev/null)" -- "$now")) ;;
        esac
    fi
}

complete -F _skerry_runtime skerry-runtime
