# What it is: Debian's tools for processes and networks under the name of the image netshoot, which has more of them.
image=docker.io/nicolaka/netshoot:v0.13
part=long
packages=(curl iproute2 lsof procps strace tcpdump)
files=(/usr/bin/curl /bin/ss /bin/ip /usr/bin/lsof /bin/ps /usr/bin/pgrep /usr/bin/strace /usr/bin/tcpdump)
