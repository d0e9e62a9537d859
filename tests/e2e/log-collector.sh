#!/bin/sh
# Stands in for Fluent Bit where its image cannot be had: copies what the app writes to standard output, and answers its probe.
# It is put where the template `log-collector` calls it, in an image with busybox. Arguments it understands: --port=NUMBER.
port=2020
for argument in "$@"; do
  case $argument in --port=*) port=${argument#--port=} ;; esac
done
mkdir -p /state/www/api/v1
echo '{}' > /state/www/api/v1/uptime
busybox httpd -p "$port" -h /state/www

copied=0
copy() {
  size=$(cat /logs/*.log 2>/dev/null | wc -c)
  if [ "$size" -gt "$copied" ]; then
    cat /logs/*.log | tail -c +$((copied + 1))
    copied=$size
  fi
}
trap 'copy; exit 0' TERM
while :; do
  copy
  sleep 1 &
  wait $!
done
