# What it is: Debian's Python 3.11 under the name and the paths of the official image.
image=docker.io/library/python:3.11-slim
packages=(python3.11)
# The modules are listed for the sake of their shared libraries.
modules=/usr/lib/python3.11/lib-dynload
files=(/usr/bin/python3.11:/usr/local/bin/python3 /usr/bin/python3.11:/usr/local/bin/python
  /usr/lib/python3.11:/usr/local/lib/python3.11
  "$modules"/_ssl.cpython-311-x86_64-linux-gnu.so "$modules"/_ctypes.cpython-311-x86_64-linux-gnu.so
  "$modules"/_lzma.cpython-311-x86_64-linux-gnu.so "$modules"/_bz2.cpython-311-x86_64-linux-gnu.so)
entrypoint=(python3)
part=long
