# How the scripts speak: one line a step, and errors that say what to do next.
# shellcheck shell=bash

say() {
    if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
        printf '\033[1m==>\033[0m %s\n' "$*" >&2
    else
        printf '==> %s\n' "$*" >&2
    fi
}

# fail WHAT [BECAUSE [TRY]]: ends the script.
fail() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '  because: %s\n' "$2" >&2
    [ -z "${3:-}" ] || printf '  try: %s\n' "$3" >&2
    exit 1
}
