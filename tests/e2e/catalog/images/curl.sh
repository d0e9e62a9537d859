# What it is: Debian's curl and getent under the names and paths of the official image of curl.
#
# Debian 12 has curl 7.88. Its curl finds the certificates of authorities at the same path as the image's.
image=docker.io/curlimages/curl:8.16.0
packages=(curl ca-certificates)
files=(/usr/bin/curl /usr/bin/getent /etc/ssl/certs/ca-certificates.crt)
entrypoint=(curl)
user=100
