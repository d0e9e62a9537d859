# What it is: the machine's Node.js 20 under the name and the path of the official image.
image=docker.io/library/node:20-slim
files=("$(command -v node || echo /usr/bin/node):/usr/local/bin/node")
entrypoint=(node)
part=long
