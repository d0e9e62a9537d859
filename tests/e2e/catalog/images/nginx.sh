# What it is: Debian's nginx under the name and the paths of the image that runs as an ordinary user.
#
# Debian 12 has nginx 1.22. It listens on port 8080, serves /usr/share/nginx/html and reads /etc/nginx/conf.d, as that image does.
image=docker.io/nginxinc/nginx-unprivileged:1.29
packages=(nginx-light)
files=(/usr/sbin/nginx /etc/nginx/mime.types "$cache/nginx.conf:/etc/nginx/nginx.conf" "$cache/default.conf:/etc/nginx/conf.d/default.conf"
  "$cache/index.html:/usr/share/nginx/html/index.html")
entrypoint=(nginx -g 'daemon off;')
user=101
prepare() {
  cat >"$cache/nginx.conf" <<'END'
worker_processes auto;
pid /tmp/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log /dev/stdout combined;
  client_body_temp_path /tmp/client;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  include /etc/nginx/conf.d/*.conf;
}
END
  cat >"$cache/default.conf" <<'END'
server {
  listen 8080;
  root /usr/share/nginx/html;
}
END
  echo 'nginx serves' >"$cache/index.html"
}
