# What it is: Debian's exporter of nginx under the name and the path of the official image.
#
# Debian 12 has 0.11, which ends if nginx does not respond when it starts. The template's version waits, so a script stands before it here
# that responds to the kubelet until nginx is there, and then becomes the exporter.
image=docker.io/nginx/nginx-prometheus-exporter:1.4.2
packages=(prometheus-nginx-exporter)
files=("$cache/start:/usr/bin/nginx-prometheus-exporter" "$cache/index.html:/srv/index.html" /usr/bin/prometheus-nginx-exporter)
entrypoint=(/usr/bin/nginx-prometheus-exporter)
user=1001
prepare() {
  echo 'waiting for nginx' >"$cache/index.html"
  cat >"$cache/start" <<'END'
#!/bin/sh
trap 'exit 0' TERM
for argument; do
  case $argument in
    --nginx.scrape-uri=*) page=${argument#*=} ;;
    --web.listen-address=*) port=${argument##*:} ;;
  esac
done
httpd -f -p "$port" -h /srv &
until wget -q -O /dev/null "$page"; do sleep 1; done
kill $!
wait $!
exec /usr/bin/prometheus-nginx-exporter "$@"
END
  chmod 0755 "$cache/start"
}
