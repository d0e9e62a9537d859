# What it is: Debian's git with its daemon under the name and the path of the image alpine/git.
image=docker.io/alpine/git:v2.49.1
part=long
packages=(git)
files=(/usr/bin/git /usr/lib/git-core/git-daemon /usr/share/git-core/templates)
entrypoint=(git)
