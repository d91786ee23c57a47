# A change of a client's files that is undone as a whole when any part of it fails.
# $journal is the folder of this change: original/ holds what was there before the first change
# of this kind, before/ what was there before this run; *-absent/ names what did not exist.
# reload() is defined by the caller, and makes the runtime read its files.

exists() { [ -e "$1" ] || [ -L "$1" ]; }

begin() {
    mkdir -p "$journal"
    trap 'status=$?; [ "$status" = 0 ] || roll_back; exit "$status"' EXIT
    # A lost connection closes standard error: writing to it must not end us half way.
    trap 'exit 1' HUP INT TERM PIPE
}

# keep PATH: remember what is there. What an interrupted run remembered is not overwritten.
keep() {
    for copy in original before; do
        if exists "$journal/$copy$1" || [ -e "$journal/$copy-absent$1" ]; then
            continue
        elif exists "$1"; then
            mkdir -p "$journal/$copy${1%/*}"
            cp -a "$1" "$journal/$copy$1"
        else
            mkdir -p "$journal/$copy-absent${1%/*}"
            : > "$journal/$copy-absent$1"
        fi
    done
}

# folder PATH: make a folder and those above it, and remember which are new.
folder() {
    [ ! -d "$1" ] || return 0
    folder "${1%/*}"
    echo "$1" >> "$journal/folders"
    mkdir -m 0755 "$1"
}

# put_back COPY PATH: make PATH what the copy (original or before) says.
put_back() {
    if exists "$journal/$1$2"; then
        mkdir -p "${2%/*}"
        rm -rf "${2%/*}/.${2##*/}.new"
        cp -a "$journal/$1$2" "${2%/*}/.${2##*/}.new"
        mv -fT "${2%/*}/.${2##*/}.new" "$2"
    else
        rm -f "$2"
    fi
}

# paths_in COPY: every path that the copy knows, one a line.
paths_in() {
    for copy in "$1" "$1-absent"; do
        [ ! -d "$journal/$copy" ] || (cd "$journal/$copy" && find . ! -type d | cut -c2-)
    done
}

remove_folders() {
    [ ! -e "$journal/folders" ] || tac "$journal/folders" | while IFS= read -r path; do
        [ ! -d "$path" ] || rmdir --ignore-fail-on-non-empty "$path"
    done
}

roll_back() {
    set +e
    trap - EXIT HUP INT TERM PIPE
    paths_in before | while IFS= read -r path; do put_back before "$path"; done
    reload
    if [ -e "$journal/done" ]; then
        rm -rf "$journal/before" "$journal/before-absent"
    else
        remove_folders
        rm -rf "$journal"
    fi
    echo "undone: the files are as they were before this run" >&2
}

# commit PATH...: keep what was done; these paths are no longer ours.
commit() {
    for path; do rm -f "$journal/original$path" "$journal/original-absent$path"; done
    paths_in original | while IFS= read -r path; do
        [ ! -f "$path" ] || sha256sum "$path"
    done > "$journal/written.new"
    mv -f "$journal/written.new" "$journal/written"
    : > "$journal/done"
    rm -rf "$journal/before" "$journal/before-absent"
    trap - EXIT HUP INT TERM PIPE
}

# undo: everything as it was before the first change.
undo() {
    paths_in original | while IFS= read -r path; do put_back original "$path"; done
    remove_folders
    reload
    rm -rf "$journal"
    rmdir --ignore-fail-on-non-empty "${journal%/*}" "${journal%/*/*}"
}
