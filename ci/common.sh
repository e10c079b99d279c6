# shellcheck shell=bash
# What the scripts of this folder share. Sourced from the repository's root.

# Where cargo builds, and where the clients that the tests drive are installed.
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
clients=$target/clients

# stage NAME COMMAND... runs a command and prints how long it took; a failure ends the script.
stage() {
    local name=$1 begun=$SECONDS
    shift
    printf '\n==> %s\n' "$name"
    if ! "$@"; then
        printf '\n==> %s: FAILED after %d s\n' "$name" $((SECONDS - begun))
        exit 1
    fi
    printf '==> %s: %d s\n' "$name" $((SECONDS - begun))
}
