# Run by a guest's sh, behind the lines hosts= (the file) and names= (the lines of other VMs): puts these in the place of
# those that are there. What the guest's owner wrote stays.
# shellcheck shell=sh disable=SC2154 # see above
set -e
umask 022
[ -e "$hosts" ] || : >"$hosts"
kept=$(
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            *' # banger') ;;
            *) printf '%s\n' "$line" ;;
        esac
    done <"$hosts"
)
new=$kept
if [ -n "$names" ]; then
    new=${new:+$new
}$names
fi
# A link stays one, and a file that something is mounted over is written to.
if [ -L "$hosts" ] || ! { printf '%s\n' "$new" >"$hosts.banger" && mv -f "$hosts.banger" "$hosts"; } 2>/dev/null; then
    rm -f "$hosts.banger"
    printf '%s\n' "$new" >"$hosts"
fi
