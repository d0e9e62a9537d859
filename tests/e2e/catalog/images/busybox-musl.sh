# What it is: Debian's busybox, linked statically, under the name of the official image that is so too.
image=docker.io/library/busybox:1.37-musl
entrypoint=(sh)
