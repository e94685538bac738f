# Offers the names of what its arguments are.
_skerry_offer() {
    local expl
    local -a names=(${(f)"$(_skerry_names "$@")"})
    _wanted names expl name compadd -a names
}
