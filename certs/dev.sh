#!/bin/sh
# Makes a certificate authority and a certificate for development, good for 7 days. Not for a cluster that matters.
#
#   certs/dev.sh DIRECTORY NAME...      names and IP addresses under which the webhook is called
set -eu

if [ "$#" -lt 2 ]; then
  echo "usage: certs/dev.sh DIRECTORY NAME..." >&2
  exit 2
fi
directory=$1
shift

names=
for name in "$@"; do
  case $name in
    "" | *[!A-Za-z0-9.:*-]*)
      echo "error: '$name': expected a DNS name or an IP address" >&2
      exit 2
      ;;
    *:*) kind=IP ;;       # IPv6
    *[!0-9.]*) kind=DNS ;;
    *) kind=IP ;;         # digits and dots alone: IPv4
  esac
  names="${names:+$names,}$kind:$name"
done

umask 077
mkdir -p "$directory"
# A file that is there already would keep its mode: all are made anew, and moved to their place when all are there.
made=$(mktemp -d "$directory/.dev.XXXXXX")
trap 'rm -rf "$made"' EXIT

# What openssl says while all goes well helps nobody.
run() {
  openssl "$@" 2>"$made/messages" || {
    cat "$made/messages" >&2
    echo "error: openssl $1 failed for $names" >&2
    exit 1
  }
}

run req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -keyout "$made/ca.key" -out "$made/ca.pem" \
  -subj "/CN=outrigger development CA" \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign"
run req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$made/tls.key" -out "$made/request" -subj "/CN=outrigger"
printf '%s\n' "subjectAltName=$names" "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" \
  "extendedKeyUsage=serverAuth" >"$made/extensions"
run x509 -req -in "$made/request" -CA "$made/ca.pem" -CAkey "$made/ca.key" -CAcreateserial -days 7 \
  -extfile "$made/extensions" -out "$made/tls.pem"
run verify -CAfile "$made/ca.pem" "$made/tls.pem" >/dev/null

for file in ca.pem ca.key tls.pem tls.key; do
  mv -f "$made/$file" "$directory/$file"
done
echo "$directory: ca.pem ca.key tls.pem tls.key for $names"
