# Prints the names of what its arguments are.
_skerry_names() {
    local what
    for what in "$@"; do
        case "$what" in
            @LISTS@
        esac
    done 2>/dev/null
}
