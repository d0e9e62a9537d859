# What it is: busybox and Debian's database of time zones under the name of Debian's image.
image=docker.io/library/debian:12-slim
packages=(tzdata)
files=(/usr/share/zoneinfo)
entrypoint=(sh)
