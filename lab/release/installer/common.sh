#!/bin/bash
# STAND-IN for Harbor @VERSION@'s common.sh: messages and checks of install.sh.

if [ -t 1 ] && colours=$(tput colors 2> /dev/null) && [ "$colours" -ge 8 ]; then
    bold=$(tput bold) plain=$(tput sgr0) red=$(tput setaf 1) green=$(tput setaf 2)
    amber=$(tput setaf 3) blue=$(tput setaf 4)
else
    bold='' plain='' red='' green='' amber='' blue=''
fi

item=0
step() { printf '\n%s[Step %s]: %s%s\n' "$bold" "$item" "$1" "$plain"; item=$((item + 1)); }
note() { printf '\n%s%s%s\n' "$blue" "$1" "$plain"; }
success() { printf '%s✔ %s%s\n' "$green" "$1" "$plain"; }
warn() { printf '%s➜ %s%s\n' "$amber" "$1" "$plain"; }
error() { printf '%s✖ %s%s\n' "$red" "$1" "$plain" >&2; }

# at_least FOUND WANTED: compares two dotted versions
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

check_docker() {
    local found
    if ! found=$(docker --version 2> /dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1); then
        error "Need to install docker(20.10.10+) first and run this script again."
        exit 1
    fi
    # The message names a newer version than the one that is asked for; so does Harbor's.
    if ! at_least "$found" 17.6.0; then
        error "Need to upgrade docker package to 20.10.10+."
        exit 1
    fi
    note "docker version: $found"
}

check_dockercompose() {
    local found
#@has compose-plugin
    if docker compose version > /dev/null 2>&1; then
        DOCKER_COMPOSE="docker compose"
        note "Docker Compose version $(docker compose version --short)"
        return
    fi
#@end
    DOCKER_COMPOSE=docker-compose
    if ! found=$(docker-compose --version 2> /dev/null \
        | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1); then
        error "Need to install docker-compose(1.18.0+) by yourself first and run this script again."
        exit 1
    fi
    if ! at_least "$found" 1.18.0; then
        error "Need to upgrade docker-compose package to 1.18.0+."
        exit 1
    fi
    note "docker-compose version: $found"
}
