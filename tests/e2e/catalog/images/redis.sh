# What it is: Debian's redis-server and redis-cli under the name and the paths of the official image.
#
# Debian 12 has Redis 7.0, so the cases run 7.0 under the tag of the catalog's default image.
image=docker.io/library/redis:8.2
packages=(redis-server)
files=(/usr/bin/redis-server:/usr/local/bin/redis-server /usr/bin/redis-cli:/usr/local/bin/redis-cli)
entrypoint=(redis-server)
