# What it is: Debian's busybox under the name of the official image.
image=docker.io/library/busybox:1.37
entrypoint=(sh)
