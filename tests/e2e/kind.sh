#!/usr/bin/env bash
# Outrigger in a kind cluster: creates it, builds and loads the image, installs, runs the end-to-end tests, deletes it.
#
#   tests/e2e/kind.sh            # everything; exit code 0 when all holds
#   tests/e2e/kind.sh --keep     # leaves the cluster with Outrigger installed, to try things out; runs no tests
#   tests/e2e/kind.sh --delete   # deletes what --keep left
#
# Needs docker, kind, kubectl and helm; without --keep also cargo. Variables:
#   KUBERNETES  version of the node's image, such as 1.30.13; empty: kind's own
#   CLUSTER     name of the cluster (outrigger-e2e)
#   IMAGE       an image that is there already, instead of building one
#   CATALOG     yes: also the templates of the catalog, whose public images are pulled
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly cluster=${CLUSTER:-outrigger-e2e}
readonly busybox=busybox:1.37
readonly second_busybox=busybox:1.36
image=${IMAGE:-}
catalog=${CATALOG:-}
log_collector=
work=

say() { printf '\n==> %s\n' "$*" >&2; }
fail() { printf 'kind.sh: %s\n' "$*" >&2; exit 1; }

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

need() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || fail "$program is needed and was not found"
  done
  docker info >/dev/null 2>&1 || fail "docker does not answer: is its service running, and may you use it?"
}

# On failure what a reader of the log will want to see, in any case no cluster left behind.
clean_up() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "$work" ]; then
    if [ "$status" -ne 0 ] && [ -s "$work/kubeconfig" ]; then
      say "failed with exit code $status; the state of the cluster:"
      {
        kubectl get nodes,pods --all-namespaces --output wide
        kubectl get mutatingwebhookconfigurations
        kubectl --namespace outrigger-system logs --selector app.kubernetes.io/name=outrigger --tail 100 --prefix
        kubectl get events --all-namespaces --sort-by .lastTimestamp | tail -n 40
      } >&2 || true
    fi
    if [ "$created" = yes ] && { [ "$keep" = no ] || [ "$status" -ne 0 ]; }; then
      kind delete cluster --name "$cluster" || true
    fi
    rm -rf -- "$work"
  fi
  exit "$status"
}

create_cluster() {
  local node=()
  [ -z "${KUBERNETES:-}" ] || node=(--image "kindest/node:v$KUBERNETES")
  kind get clusters 2>/dev/null | grep -qxF "$cluster" &&
    fail "there is a cluster $cluster already: delete it with $0 --delete, or set CLUSTER"
  say "cluster $cluster"
  created=yes
  kind create cluster --name "$cluster" --kubeconfig "$KUBECONFIG" --wait 180s ${node[@]+"${node[@]}"}
}

# What the nodes will run is here: it is loaded into them by name.
provide_images() {
  if [ -z "$image" ]; then
    image=outrigger:e2e
    say "image $image"
    docker build --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" --tag "$image" .
  fi
  log_collector=$(sed -n 's/^ *default: \(.*fluent-bit:.*\)$/\1/p' config/templates/log-collector.yaml)
  [ -n "$log_collector" ] || fail "config/templates/log-collector.yaml names no image of Fluent Bit"
  local other
  for other in "$busybox" "$second_busybox" "$log_collector"; do
    docker image inspect "$other" >/dev/null 2>&1 || docker pull "$other"
  done
}

install() {
  say "installation"
  # A kustomization of our own, as a user would write it, with the image that was built. It names the manifests by a link,
  # since kustomize takes no absolute paths.
  ln -s "$PWD/manifests" "$work/manifests"
  cat >"$work/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [manifests/base]
images:
- name: registry.example/outrigger
  newName: ${image%:*}
  newTag: ${image##*:}
YAML
  kubectl apply --kustomize "$work"
  kubectl --namespace outrigger-system rollout status deployment/outrigger --timeout 120s
}

# The API server says what it would store: with the sidecar, as soon as it trusts the webhook.
shows_injection() {
  local second
  for second in $(seq 30); do
    if kubectl create --dry-run=server --output jsonpath='{.spec.initContainers[*].name}' --filename - <<'YAML' 2>"$work/error" | grep -qw fluent-bit
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: default, annotations: {outrigger.dev/inject: log-collector}}
spec: {containers: [{name: web, image: registry.example/web:1}]}
YAML
    then
      say "a pod comes back injected, after $second s"
      return
    fi
    sleep 1
  done
  cat "$work/error" >&2
  fail "no pod comes back injected within 30 s"
}

# The API server of kind is a static pod: it ends when its file goes, and starts when the file is there again.
run_tests() {
  say "end-to-end tests"
  local manifests=/etc/kubernetes/manifests away=/etc/kubernetes/kube-apiserver.yaml inside="docker exec $cluster-control-plane"
  OUTRIGGER_E2E_KUBECONFIG=$KUBECONFIG OUTRIGGER_E2E_IMAGE=$image OUTRIGGER_E2E_BUSYBOX=$busybox OUTRIGGER_E2E_BUSYBOX_2=$second_busybox \
    OUTRIGGER_E2E_LOG_COLLECTOR=$log_collector OUTRIGGER_E2E_LOAD="kind load docker-image --name $cluster" \
    OUTRIGGER_E2E_STOP_API_SERVER="$inside mv $manifests/kube-apiserver.yaml $away" \
    OUTRIGGER_E2E_START_API_SERVER="$inside mv $away $manifests/kube-apiserver.yaml" \
    cargo test --locked --test e2e -- kustomize chart ${catalog:+catalog}
}

keep=no
created=no
case ${1:-} in
  '') ;;
  --keep) keep=yes ;;
  --delete) need docker kind; exec kind delete cluster --name "$cluster" ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
[ "$#" -le 1 ] || { usage >&2; exit 2; }

need docker kind kubectl helm
[ "$keep" = yes ] || need cargo
work=$(mktemp -d)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export KUBECONFIG=$work/kubeconfig

create_cluster
provide_images
if [ "$keep" = yes ]; then
  kind load docker-image --name "$cluster" "$image" "$busybox"
  install
  shows_injection
  kind export kubeconfig --name "$cluster" --kubeconfig "${HOME}/.kube/config"
  say "Outrigger runs in the cluster $cluster: kubectl config use-context kind-$cluster"
else
  run_tests
  say "everything holds"
fi
