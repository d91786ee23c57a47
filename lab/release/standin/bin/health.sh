#!/bin/bash
# Health checks of the containers, without a process of Python or curl: health.sh KIND [PORT PATH]
case $1 in
    log) grep -q ':2912 .* 0A ' /proc/net/tcp /proc/net/tcp6 ;; # 0x2912 = 10514, 0A = listening
    postgresql) exec /usr/lib/postgresql/15/bin/pg_isready -q -h 127.0.0.1 ;;
    redis)
        exec 3<> /dev/tcp/127.0.0.1/6379 && printf 'PING\r\n' >&3 && read -r -t 2 line <&3 \
            && [[ $line == +PONG* || $line == *NOAUTH* ]] ;;
    http)
        exec 3<> "/dev/tcp/127.0.0.1/$2" && printf 'GET %s HTTP/1.0\r\n\r\n' "$3" >&3 \
            && read -r -t 4 line <&3 && [[ $line == HTTP/1.?\ [23]* ]] ;;
    nginx) # with https the plain port answers a redirect
        exec 3<> /dev/tcp/127.0.0.1/8080 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 \
            && read -r -t 4 line <&3 && [[ $line == HTTP/1.?\ [23]* ]] ;;
    *) exit 2 ;;
esac
