#!/bin/bash
# The first process of every container of the stand-in: entry.sh ROLE
set -eu
role=$1
shift
home=/opt/stand-in

# Harbor's images append the files of the trust directory to the system bundle at start; Go and
# OpenSSL both read the bundle that SSL_CERT_FILE names.
trust() {
    local bundle=/tmp/ca-bundle.crt file
    cat /etc/ssl/certs/ca-certificates.crt > "$bundle"
    for file in /harbor_cust_cert/*.crt /harbor_cust_cert/*.ca /harbor_cust_cert/*.ca-bundle \
        /harbor_cust_cert/*.pem; do
        if [ -f "$file" ]; then echo; cat "$file"; fi >> "$bundle"
    done
    export SSL_CERT_FILE=$bundle
}

echo "STAND-IN Harbor $(cat $home/VERSION): $role starts; this is not the genuine image"
case $role in
    log)
        chown -R 10000:10000 /var/log/docker
        rm -f /tmp/rsyslogd.pid # after a power cut it names a process of another life
        as_harbor="setpriv --reuid=10000 --regid=10000 --clear-groups"
        (while sleep 3600; do
            $as_harbor logrotate --state /tmp/logrotate.state /etc/logrotate.d/logrotate.conf
        done) &
        # No pid file: after a power cut it would name a process that is somebody else now.
        exec $as_harbor rsyslogd -n -iNONE -f $home/etc/rsyslog.conf ;;
    registry)
        trust
        exec docker-registry serve /etc/registry/config.yml ;;
    postgresql) exec $home/bin/postgresql.sh ;;
    redis) exec redis-server $home/etc/redis.conf ;;
    portal) exec nginx -e stderr -g 'daemon off;' ;;
    proxy)
        trust
        exec nginx -e stderr -g 'daemon off;' ;;
    *)
        trust
        exec python3 -m "lab.release.standin.$role" "$@" ;;
esac
