# Prints the names of what its arguments are.
function __fish_skerry_names
    for what in $argv
        switch $what
            @LISTS@
        end
    end 2>/dev/null
end

# Prints what the word at the cursor is a name of; false where it is none.
function __fish_skerry_takes
    set -l words (commandline -opc)
    set -l depth
    set -l values
    set -l places
    set -l rest
    switch "$words[2..3] "
        @VERBS@
        case '*'
            return 1
    end
    set -l option
    for word in $words[(math $depth + 1)..]
        set -q places[1]; or set places $rest
        if test "$places[1]" = COMMAND
            break
        else if test -n "$option"
            set option
        else if string match -qr -- $values $word
            set option $word
        else if not string match -q -- '-?*' $word
            set -e places[1]
        end
    end
    set -q places[1]; or set places $rest
    contains -- $places[1] COMMAND -; and return 1
    string split ' ' -- $places[1]
    # It fails where there is nothing to split.
    return 0
end

complete -c skerry -n "__fish_skerry_takes >/dev/null" -f -a "(__fish_skerry_names (__fish_skerry_takes))"
