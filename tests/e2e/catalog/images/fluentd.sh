# What it is: A stand-in for Fluentd with the same arguments: a shell program that reads the configuration and tails as `log-tail` does.
#
# Fluentd is a Ruby gem, which is not built here. The stand-in takes the port, the files and the added fields out of fluent.conf, keeps
# its positions below /state, prints JSON as the output "stdout" with the format "json" does, and answers on the monitoring port.
image=docker.io/library/fluentd:v1.19.1-debian-1.0
part=long
files=("$cache/fluentd:/bin/entrypoint")
entrypoint=(/bin/entrypoint)
user=999
prepare() {
  {
    cat <<'END'
#!/bin/sh
for option; do
  case ${before-} in --config) conf=$option ;; esac
  before=$option
done
value() { sed -n "s/^ *$1 //p" "$conf" | head -n 1; }
[ "$(value 'path')" ] || { echo "fluentd: no path in $conf" >&2; exit 1; }
grep -q '@type stdout' "$conf" || { echo 'fluentd: the stand-in only has the output stdout' >&2; exit 1; }
GLOBS=$(value path | sed 's|^/logs/||')
# The lines of <record> become the end of each object.
export FIELDS="$(sed -n '/<record>/,/<\/record>/s/^ *\([a-zA-Z_.-]*\) "\(.*\)"$/,"\1":"\2"/p' "$conf" |
  sed "s/#{ENV\['POD_NAME'\]}/$POD_NAME/; s/#{ENV\['POD_NAMESPACE'\]}/$POD_NAMESPACE/" | tr -d '\n')"
port=$(value port)
if [ "$port" ]; then
  mkdir -p /state/www/api
  echo '{"plugins":[]}' >/state/www/api/plugins.json
  httpd -p "$POD_IP:$port" -h /state/www
fi
emit() {
  FILE=/logs/${1#./} awk '{
    gsub(/\\/, "\\\\"); gsub(/"/, "\\\"")
    print "{\"file\":\"" ENVIRON["FILE"] "\",\"message\":\"" $0 "\"" ENVIRON["FIELDS"] "}"
  }'
}
END
    sed -n '/^      log-tail.sh: |$/,/^  app:$/p' config/templates/log-tail.yaml |
      sed -e '1d;$d' -e 's/^        //' -e 's/\$\${/${/g' -e '/^emit() {/,/^}/d' -e 's/"log-tail: /"fluentd: /'
  } >"$cache/fluentd"
  chmod 0755 "$cache/fluentd"
}
