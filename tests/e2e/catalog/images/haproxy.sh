# What it is: Debian's HAProxy under the name and the path of the official image.
#
# Debian 12 has HAProxy 2.6, so the cases run 2.6 under the tag of the catalog's default image.
image=docker.io/library/haproxy:3.2
packages=(haproxy)
files=(/usr/sbin/haproxy:/usr/local/sbin/haproxy)
entrypoint=(/usr/local/sbin/haproxy)
user=99
# Only long cases run it.
part=long
