# What it is: Debian's exporter of Redis under the name and the path of the official image.
#
# Debian 12 has 1.45, so the cases run 1.45 under the tag of the catalog's default image.
image=docker.io/oliver006/redis_exporter:v1.74.0
packages=(prometheus-redis-exporter)
files=(/usr/bin/prometheus-redis-exporter:/redis_exporter)
entrypoint=(/redis_exporter)
user=59000
