# What it is: A stand-in for Fluent Bit with the same arguments: a shell program that tails as `log-tail` does.
#
# Debian and the language registries do not have Fluent Bit. The stand-in takes the port, the files and the added fields out of the
# arguments, keeps its positions below /state, prints JSON as the output "stdout" with json_lines does, and answers the probes.
image=cr.fluentbit.io/fluent/fluent-bit:4.0.3
part=long
files=("$cache/fluent-bit:/fluent-bit/bin/fluent-bit")
entrypoint=(/fluent-bit/bin/fluent-bit)
prepare() {
  {
    cat <<'END'
#!/bin/sh
port='' FIELDS='' output=''
for option; do
  case $option in
    --port=*) port=${option#*=} ;;
    --output=*) output=${option#*=} ;;
    --prop=path=*) GLOBS=${option#--prop=path=/logs/} ;;
    --prop=record=*)
      record=${option#--prop=record=}
      FIELDS="$FIELDS,\"${record%% *}\":\"${record#* }\""
      ;;
  esac
done
export FIELDS
[ "$output" = stdout ] || { echo 'fluent-bit: the stand-in only has the output stdout' >&2; exit 1; }
if [ "$port" ]; then
  mkdir -p /state/www/api/v1
  echo '{}' >/state/www/api/v1/uptime
  httpd -p "$port" -h /state/www
fi
emit() {
  FILE=/logs/${1#./} DATE=$(date -u +%Y-%m-%dT%H:%M:%SZ) awk '{
    gsub(/\\/, "\\\\"); gsub(/"/, "\\\"")
    print "{\"date\":\"" ENVIRON["DATE"] "\",\"file\":\"" ENVIRON["FILE"] "\",\"log\":\"" $0 "\"" ENVIRON["FIELDS"] "}"
  }'
}
END
    sed -n '/^      log-tail.sh: |$/,/^  app:$/p' config/templates/log-tail.yaml |
      sed -e '1d;$d' -e 's/^        //' -e 's/\$\${/${/g' -e '/^emit() {/,/^}/d' -e 's/"log-tail: /"fluent-bit: /'
  } >"$cache/fluent-bit"
  chmod 0755 "$cache/fluent-bit"
}
