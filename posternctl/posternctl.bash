# SPDX-License-Identifier: Apache-2.0
# Completion of posternctl(1) for bash. The words are those of --help; a test compares them.

_posternctl_verbs() {
    case $1 in
        '') echo status verify queue dns sts alert cert ca ;;
        queue) echo list show flush ;;
        dns) echo query status test flush ;;
        sts) echo list show refresh ;;
        alert) echo list ;;
        cert) echo list show create request install add-intermediate import export export-pem pointer assign unassign rename delete forbid-export tlsa ;;
        ca) echo lists list show enable disable import export remove ;;
    esac
}

# Of a verb; those with "=" take a value.
_posternctl_options() {
    case $1 in
        'ca import') echo --replace ;;
        'ca export') echo --force ;;
        'cert create')
            echo --common-name= --organization= --unit= --city= --state= --country= --name= --days= --key= --key-type= --forbid-export ;;
        'cert request') echo --last --force ;;
        'cert install' | 'cert add-intermediate') echo --incomplete ;;
        'cert import') echo --passphrase-file= --replace --incomplete --forbid-export ;;
        'cert export') echo --passphrase-file= --force ;;
        'cert export-pem' | 'cert pointer' | 'cert rename' | 'cert delete') echo --force ;;
        'cert tlsa') echo --host= --port= --usage= ;;
        verify) echo --level= --dane= --mx= ;;
    esac
}

_posternctl_common='--host= --json --json= --full --no-legend --no-pager --help --version'

# What the first argument of a verb can be, asked from the daemons as whoever types may ask them.
_posternctl_first() {
    case $1 in
        'queue show') posternctl --no-legend --no-pager queue list 2>/dev/null | head -n 200 | cut -d ' ' -f 1 ;;
        'sts show' | 'sts refresh') posternctl --no-legend --no-pager sts list 2>/dev/null | head -n 200 | cut -d ' ' -f 1 ;;
        'ca list' | 'ca enable' | 'ca disable' | 'ca export') echo system custom ;;
        'ca show' | 'ca remove')
            posternctl --no-legend --no-pager ca list 2>/dev/null | tr -d : | awk '{ print $2 }' ;;
        'cert show' | 'cert request' | 'cert install' | 'cert add-intermediate' | 'cert export' | 'cert export-pem' | \
            'cert pointer' | 'cert assign' | 'cert unassign' | 'cert rename' | 'cert delete' | 'cert forbid-export' | 'cert tlsa')
            posternctl --no-legend --no-pager cert list 2>/dev/null | cut -d ' ' -f 1 ;;
    esac
}

# The value of an option, of which only the part behind "=" is completed.
_posternctl_value() {
    case $1 in
        --json) COMPREPLY=($(compgen -W 'short pretty off' -- "$2")) ;;
        --key-type) COMPREPLY=($(compgen -W 'ecdsa-p256 ecdsa-p384 ed25519 ml-dsa-44 ml-dsa-65 ml-dsa-87 rsa-2048 rsa-3072 rsa-4096' -- "$2")) ;;
        --level) COMPREPLY=($(compgen -W 'No Preferred Preferred-Verify Required Required-Verify Required-Verify-Hosted' -- "$2")) ;;
        --dane) COMPREPLY=($(compgen -W 'None Opportunistic Mandatory' -- "$2")) ;;
        --host | --mx) COMPREPLY=($(compgen -A hostname -- "$2")) ;;
        --passphrase-file) COMPREPLY=($(compgen -f -- "$2")) ;;
    esac
}

# What stands behind the colon of a use.
_posternctl_use() {
    case $1 in
        user) COMPREPLY=($(compgen -A user -- "$2")) ;;
    esac
}

_posternctl() {
    local current=${COMP_WORDS[COMP_CWORD]} group= verb= n=0 i word
    COMPREPLY=()

    # bash has "--option", "=" and "value" as words of their own.
    if [[ $current == = ]]; then
        _posternctl_value "${COMP_WORDS[COMP_CWORD - 1]}" ''
        return
    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
        _posternctl_value "${COMP_WORDS[COMP_CWORD - 2]}" "$current"
        return
    fi

    # And "user", ":" and "login".
    if [[ $current == : ]]; then
        _posternctl_use "${COMP_WORDS[COMP_CWORD - 1]}" ''
        return
    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == : ]]; then
        _posternctl_use "${COMP_WORDS[COMP_CWORD - 2]}" "$current"
        return
    fi

    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == = ]]; then
            ((i++))
        elif [[ $word == -* ]]; then
            continue
        elif [[ -z $group && -n $(_posternctl_verbs "$word") ]]; then
            group=$word
        elif [[ -z $verb ]]; then
            verb=${group:+$group }$word
        else
            ((n++))
        fi
    done

    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$(_posternctl_options "$verb") $_posternctl_common" -- "$current"))
        [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
    elif [[ -z $verb ]]; then
        COMPREPLY=($(compgen -W "$(_posternctl_verbs "$group")" -- "$current"))
    elif [[ $n -eq 0 && -n $(_posternctl_first "$verb") ]]; then
        COMPREPLY=($(compgen -W "$(_posternctl_first "$verb")" -- "$current"))
    elif [[ $verb == 'ca enable' || $verb == 'ca disable' || $verb == 'ca show' || $verb == 'ca remove' ]]; then
        COMPREPLY=($(compgen -W "$(_posternctl_first 'ca show')" -- "$current"))
    elif [[ $verb == 'dns query' && $n -eq 1 ]]; then
        COMPREPLY=($(compgen -W 'A AAAA CNAME MX PTR TLSA TXT' -- "$current"))
    else
        case $verb in
            'cert assign' | 'cert unassign')
                COMPREPLY=($(compgen -W 'delivery listener: user:' -- "$current"))
                [[ ${COMPREPLY[0]-} != *: ]] || compopt -o nospace ;;
            'ca import' | 'ca export' | 'cert request' | 'cert install' | 'cert add-intermediate' | 'cert import' | 'cert export' | \
            'cert export-pem' | 'cert pointer')
                compopt -o filenames
                COMPREPLY=($(compgen -f -- "$current")) ;;
        esac
    fi
}

complete -F _posternctl posternctl
