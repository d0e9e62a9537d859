_clap_complete_PROGRAM() {
    local IFS=$'\013'
    local _CLAP_COMPLETE_COMP_TYPE=${COMP_TYPE}
    if compopt +o nospace 2> /dev/null; then
        local _CLAP_COMPLETE_SPACE=false
    else
        local _CLAP_COMPLETE_SPACE=true
    fi
    local words=() line=$COMP_LINE word part i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        part=$word
        # What stands before the cursor.
        if ((i == COMP_CWORD)) && [[ $word != [=:]* ]]; then
            part=$2
        fi
        if ((i > 0)) && [[ $line != [[:space:]]* && (${COMP_WORDS[i-1]} == [=:] || $word == [=:]*) ]]; then
            words[${#words[@]}-1]+=$part
        else
            words+=("$part")
        fi
        line=${line#*"$word"}
    done
    local last=$((${#words[@]} - 1))
    COMPREPLY=( $( \
        _CLAP_IFS="$IFS" \
        _CLAP_COMPLETE_INDEX="$last" \
        _CLAP_COMPLETE_COMP_TYPE="$_CLAP_COMPLETE_COMP_TYPE" \
        _CLAP_COMPLETE_SPACE="$_CLAP_COMPLETE_SPACE" \
        OUTRIGGER_COMPLETE="bash" \
        "PROGRAM" -- "${words[@]}" \
    ) )
    if [[ $? != 0 ]]; then
        unset COMPREPLY
        return
    elif [[ $_CLAP_COMPLETE_SPACE == false ]] && [[ "${COMPREPLY-}" =~ [=/:]$ ]]; then
        compopt -o nospace
    fi
    # Bash replaces what stands behind the last break.
    local whole=${words[last]}
    local kept=${whole%"${whole##*[=:]}"}
    if [[ -n $kept && $COMP_WORDBREAKS == *[=:]* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    fi
}
if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -o nospace -o bashdefault -o nosort -F _clap_complete_PROGRAM PROGRAM
else
    complete -o nospace -o bashdefault -F _clap_complete_PROGRAM PROGRAM
fi
