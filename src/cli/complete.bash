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
    local last=$((${#words[@]} - 1)) quote=
    # The quote in which the word begins; the program gets the word without quotes.
    case ${COMP_WORDS[COMP_CWORD]} in
        [\"\']*) quote=${COMP_WORDS[COMP_CWORD]:0:1} ;;
        *) words[last]=${words[last]//\\/} ;;
    esac
    words[last]=${words[last]#[\"\']}
    # Bash replaces what stands behind the last break.
    local whole=${words[last]} kept=
    if [[ $COMP_WORDBREAKS == *[=:]* && -z $quote ]]; then
        kept=${whole%"${whole##*[=:]}"}
    fi
    local candidate space
    COMPREPLY=()
    while IFS= read -r -d "$IFS" candidate || [[ -n $candidate ]]; do
        candidate=${candidate%$'\n'}
        # A terminal obeys control characters.
        [[ $candidate == *[[:cntrl:]]* ]] && continue
        space=${candidate##*[! ]}
        candidate=${candidate%"$space"}
        candidate=${candidate#"$kept"}
        # Bash takes a candidate as it would be typed: names may have spaces, and what it would run.
        case $quote in
            \') candidate=${candidate//\'/\'\\\'\'} ;;
            \") candidate=$(printf '%s' "$candidate" | sed 's/[\\"$`]/\\&/g') ;;
            *) printf -v candidate %q "$candidate" ;;
        esac
        COMPREPLY+=("$candidate$space")
    done < <( \
        _CLAP_IFS="$IFS" \
        _CLAP_COMPLETE_INDEX="$last" \
        _CLAP_COMPLETE_COMP_TYPE="$_CLAP_COMPLETE_COMP_TYPE" \
        _CLAP_COMPLETE_SPACE="$_CLAP_COMPLETE_SPACE" \
        OUTRIGGER_COMPLETE="bash" \
        "PROGRAM" -- "${words[@]}" 2> /dev/null \
    )
    if [[ $_CLAP_COMPLETE_SPACE == false ]] && [[ "${COMPREPLY-}" =~ [=/:]$ ]]; then
        compopt -o nospace
    fi
}
if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -o nospace -o bashdefault -o nosort -F _clap_complete_PROGRAM PROGRAM
else
    complete -o nospace -o bashdefault -F _clap_complete_PROGRAM PROGRAM
fi
