# Offers names at a word that is to be one; at any other it is false. Its argument is the end of the word, which what is
# offered is put in place of: bash takes words apart at COMP_WORDBREAKS, in which : and = are.
_skerry_offer() {
    local IFS=$' \t\n' line=${COMP_LINE:0:COMP_POINT} words=() word i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || word=${line##*[[:blank:]]}
        if [[ $i == 0 || $line == [[:blank:]]* ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
        line=${line#*"$word"}
    done
    local last=$((${#words[@]} - 1))
    local current=${words[last]} depth values places rest
    unset "words[last]"
    case "${words[*]:1:2} " in
        @VERBS@
        *) return 1 ;;
    esac
    local place=0 option=
    for word in "${words[@]:depth}"; do
        if [[ ${places[place]-$rest} == COMMAND ]]; then
            break
        elif [[ $option ]]; then
            option=
        elif [[ $word =~ $values ]]; then
            option=$word
        elif [[ $word != -?* ]]; then
            ((place++))
        fi
    done
    local takes=${places[place]-$rest} before=
    COMPREPLY=()
    [[ $takes != COMMAND ]] || return 0
    if [[ $current == --*=* ]]; then
        option=${current%%=*} before=$option=
    elif [[ $current == -* && ! $option ]]; then
        return 1
    fi
    case $option in
        '') ;;
        @OPTIONS@
        *) return 1 ;;
    esac
    [[ $takes != - ]] || return 1
    # Where there are no names, files are none either.
    compopt +o bashdefault +o default 2>/dev/null
    while read -r word; do
        [[ $word && $before$word == "$current"* ]] || continue
        word=$before$word
        COMPREPLY+=("${word#"${current%"$1"}"}")
    done < <(_skerry_names $takes)
}
