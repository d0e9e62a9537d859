# What it is: Debian's bash 5.2 under the name and the path of the official image.
image=docker.io/library/bash:5.2
part=long
packages=(bash)
files=(/bin/bash:/usr/local/bin/bash)
entrypoint=(bash)
