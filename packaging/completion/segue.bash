# Completion of segue for bash: commands, options, VMs, hosts and jobs, as segue itself knows them.
# Installed as /usr/share/bash-completion/completions/segue; by hand: source this file.

_segue() {
    local -a words
    local word before
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:blank:]] ]] && words+=('')
    word=${words[-1]}
    # Where : or = part words, bash replaces only what stands behind the last of them.
    before=${word%"${word##*["$COMP_WORDBREAKS"]}"}
    mapfile -t COMPREPLY < <("$1" __complete "${words[@]:1}" 2>/dev/null)
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
    # A host or qmp: goes on.
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:/] ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -o bashdefault -o default -F _segue segue
