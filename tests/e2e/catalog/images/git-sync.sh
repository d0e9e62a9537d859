# What it is: a script with the arguments of git-sync that the catalog uses, and Debian's git.
#
# git-sync itself is in no registry of a language. The script fetches, checks out beside the last checkout, and moves the link, as
# git-sync does; it serves its port after the first checkout.
image=registry.k8s.io/git-sync/git-sync:v4.4.2
part=long
packages=(git)
core=/usr/lib/git-core
files=(/usr/bin/git $core/git-remote-http $core/git-remote-http:$core/git-remote-https $core/git-submodule $core/git-sh-setup
  $core/git-sh-i18n /usr/share/git-core/templates "$cache/git-sync:/git-sync")
entrypoint=(/git-sync)
user=65533
prepare() {
  cat >"$cache/git-sync" <<'END'
#!/bin/sh
set -u
ref=HEAD depth=1 root=. link= period=10 limit=120 once= failures=0 bind=
for word in "$@"; do
  value=${word#*=}
  case $word in
    --repo=*) repo=$value ;;
    --ref=*) ref=$value ;;
    --depth=*) depth=$value ;;
    --root=*) root=$value ;;
    --link=*) link=$value ;;
    --period=*) period=${value%s} ;;
    --sync-timeout=*) limit=${value%s} ;;
    --max-failures=*) failures=$value ;;
    --http-bind=*) bind=${value##*:} ;;
    --one-time) once=yes ;;
    --submodules=*) ;;
    *) echo "git-sync: unknown argument $word" >&2; exit 1 ;;
  esac
done
say() { printf '{"logger":"","ts":"%s","level":0,"msg":"%s"%s}\n' "$(date '+%F %T')" "$1" "${2:-}" >&2; }
git=/usr/bin/git
fetch() {
  set -- fetch --quiet --no-tags "$repo" "$ref"
  [ "$depth" = 0 ] || { shift; set -- fetch "--depth=$depth" "$@"; }
  timeout "$limit" $git -C "$root/.repo" "$@" 2>&1
}
sync() {
  [ -d "$root/.repo" ] || $git init --quiet --bare "$root/.repo" || return 1
  error=$(fetch) || { say "error syncing repo, will retry" ",\"error\":\"$(echo "$error" | tail -n 1 | tr -d '"\\')\""; return 1; }
  hash=$($git -C "$root/.repo" rev-parse 'FETCH_HEAD^{commit}') || return 1
  [ "$(readlink "$root/$link")" = ".worktrees/$hash" ] && return 0
  mkdir -p "$root/.worktrees"
  [ -d "$root/.worktrees/$hash" ] || $git -C "$root/.repo" worktree add --quiet --force --detach "$root/.worktrees/$hash" "$hash" || return 1
  ln -sfn ".worktrees/$hash" "$root/.link" && mv -T "$root/.link" "$root/$link" || return 1
  for old in "$root"/.worktrees/*; do [ "$old" = "$root/.worktrees/$hash" ] || rm -rf "$old"; done
  say "updated successfully" ",\"ref\":\"$ref\",\"remote\":\"$hash\""
}
trap 'exit 0' TERM
failed=0
while :; do
  if sync; then
    failed=0
    [ -z "$once" ] || exit 0
    if [ -n "$bind" ]; then
      mkdir -p /tmp/www && echo ok >/tmp/www/index.html && httpd -p "$bind" -h /tmp/www
      bind=
    fi
  else
    failed=$((failed + 1))
    [ "$failures" = -1 ] || [ "$failed" -le "$failures" ] || { say "too many failures, aborting" ",\"failCount\":$failed"; exit 1; }
  fi
  sleep "$period" &
  wait "$!"
done
END
  chmod 0755 "$cache/git-sync"
}
