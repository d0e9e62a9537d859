# What it is: oauth2-proxy itself, built of its Go module, at the path of the official image.
image=quay.io/oauth2-proxy/oauth2-proxy:v7.15.6
part=long
version=7.15.6
files=("$cache/oauth2-proxy-$version:/bin/oauth2-proxy")
entrypoint=(/bin/oauth2-proxy)
user=65532
prepare() {
  [ -x "$cache/oauth2-proxy-$version" ] && return
  CGO_ENABLED=0 GOBIN=$cache/bin go install -trimpath "github.com/oauth2-proxy/oauth2-proxy/v7@v$version"
  mv "$cache/bin/oauth2-proxy" "$cache/oauth2-proxy-$version"
}
