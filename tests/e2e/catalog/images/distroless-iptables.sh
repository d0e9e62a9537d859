# What it is: Debian's nft under the name and the path of Kubernetes' image for kube-proxy.
image=registry.k8s.io/build-image/distroless-iptables:v0.8.7
part=long
packages=(nftables)
files=(/usr/sbin/nft)
