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
    *:*) kind=IP ;;       # IPv6
    *[!0-9.]*) kind=DNS ;;
    *) kind=IP ;;         # digits and dots alone: IPv4
  esac
  names="${names:+$names,}$kind:$name"
done

umask 077
mkdir -p "$directory"
cd "$directory"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -keyout ca.key -out ca.pem \
  -subj "/CN=outrigger development CA" \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null

request=$(mktemp)
extensions=$(mktemp)
trap 'rm -f "$request" "$extensions"' EXIT
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out "$request" -subj "/CN=outrigger" 2>/dev/null
printf '%s\n' "subjectAltName=$names" "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" \
  "extendedKeyUsage=serverAuth" >"$extensions"
openssl x509 -req -in "$request" -CA ca.pem -CAkey ca.key -CAcreateserial -days 7 -extfile "$extensions" -out tls.pem 2>/dev/null
rm -f ca.srl

openssl verify -CAfile ca.pem tls.pem >/dev/null
echo "$directory: ca.pem ca.key tls.pem tls.key for $names"
