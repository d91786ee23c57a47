#!/bin/bash
# STAND-IN for Harbor @VERSION@'s install.sh: the same steps with the same effects, in words of
# our own, for tests. It is not Harbor and must not be used as such.
#
# What a caller has to know, because the genuine script does it too: step 4 takes down whatever
# runs, WITH its volumes.
set -e

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
. ./common.sh

usage="Usage: install.sh [OPTIONS]
Set hostname, and certificates if https is wanted, in harbor.yml first.
#@has flag-notary
  --with-notary       add Notary (needs https)
#@end
  --with-trivy        add the Trivy scanner
#@has flag-chartmuseum
  --with-chartmuseum  add ChartMuseum
#@end
  --help              this text"

flags=()
while [ $# -gt 0 ]; do
    case $1 in
        --help) note "$usage"; exit 0 ;;
        --with-trivy) flags+=("$1") ;;
#@has flag-notary
        --with-notary) flags+=("$1") ;;
        --with-clair) error "Clair is gone, leave --with-clair out"; exit 1 ;;
#@end
#@has flag-chartmuseum
        --with-chartmuseum) flags+=("$1") ;;
#@end
        *) note "$usage"; exit 1 ;;
    esac
    shift
done

step "checking if docker is installed ..."
check_docker
step "checking docker-compose is installed ..."
check_dockercompose

# As in the genuine script: with two archives in the folder this test is an error, and nothing
# is loaded.
if [ -f harbor*.tar.gz ]; then
    step "loading Harbor images ..."
    docker load -i ./harbor*.tar.gz
fi
echo

step "preparing environment ..."
if [ -n "$host" ]; then
    sed "s/^hostname: .*/hostname: $host/g" -i ./harbor.yml
fi

step "preparing harbor configs ..."
./prepare "${flags[@]}"
echo

#@has compose-plugin
note "Note: stopping an existing Harbor instance, its volumes included"
$DOCKER_COMPOSE down -v
echo
#@end
#@lacks compose-plugin
if [ -n "$($DOCKER_COMPOSE ps -q)" ]; then
    note "Note: stopping an existing Harbor instance, its volumes included"
    $DOCKER_COMPOSE down -v
fi
echo
#@end

step "starting Harbor ..."
#@has flag-chartmuseum
if [[ " ${flags[*]} " == *" --with-chartmuseum "* ]]; then
    warn "ChartMuseum is deprecated"
fi
#@end
$DOCKER_COMPOSE up -d

success "----Harbor (stand-in) has been installed and started successfully.----"
