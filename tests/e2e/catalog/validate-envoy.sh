#!/usr/bin/env bash
# Lets Envoy check the configuration that each template of the catalog gives it, with the parameters that change its structure.
#
#   NAMESPACE=N tests/e2e/catalog/validate-envoy.sh TEMPLATE   # makes pods with the template whose Envoy only validates, and prints what it says
#   tests/e2e/catalog/validate-envoy.sh                        # prints the templates that run Envoy and are not checked here
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

jwks='{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"test","x":"fFqghNrXqwTGM0aoFx7gAB14MAOQeSkMdAjgG_8nCvo","y":"gHajFL94bA-l4jJd-P_PVvpq4uAG5NGybFIYaRLrLHY"}]}'

# Prints a pod: variant NAME [PARAMETER=VALUE…]. The container with `image: auto` takes all but its args from the template.
variant() {
  local name=$template-$1 setting
  shift
  cat <<YAML
---
apiVersion: v1
kind: Pod
metadata:
  name: $name
  namespace: $NAMESPACE
  labels: {validates: $template}
  annotations:
    outrigger.dev/inject: $template
YAML
  for setting in "$@"; do echo "    $template.outrigger.dev/${setting%%=*}: '${setting#*=}'"; done
  cat <<YAML
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {seccompProfile: {type: RuntimeDefault}}
  initContainers:
  - name: $container
    image: auto
    args: [--mode, validate, --config-path, /etc/$template/envoy.yaml]
  containers:
  - name: web
    image: docker.io/library/busybox:1.37
    command: [sleep, "1000000"]
    ports: [{containerPort: 8080}]
YAML
}

variants() {
  template=$1 container=$1
  case $template in
    proxy)
      container=envoy
      variant http
      variant tcp mode=tcp idleTimeoutSeconds=0
      variant h2c appProtocol=h2c timeoutSeconds=0 idleTimeoutSeconds=0 address=::
      variant socket appSocket=/run/web/http.sock
      variant tcp-socket mode=tcp appSocket=/run/web/db.sock ;;
    egress-proxy)
      variant one upstreams=api=http://api.example.com:80
      variant all caConfigMap=kube-root-ca.crt \
        'upstreams=api=https://api.example.com:443, null=http://10.0.0.7:8080, db=tcp://db.example.com:5432, on=tls://10.0.0.8:6380' ;;
    proxy-transparent)
      variant both
      variant ipv4 ipFamily=IPv4 idleTimeoutSeconds=0 ;;
    rate-limit)
      variant pod
      variant client limitBy=client requests=10 intervalSeconds=60 burst=30 appProtocol=h2c 'exemptPaths=/healthz, /a/b' ;;
    auth-proxy)
      variant jwks issuer=https://issuer.example "jwks=$jwks" appProtocol=h2c
      variant map issuer=https://issuer.example jwksConfigMap=issuer-keys 'claimHeaders=sub=x-user, org.id=x-org' publicPaths=/healthz \
        'audiences=shop, https://shop.example/' forwardToken=false
      variant url issuer=https://issuer.example jwksUrl=https://issuer.example:8443/keys caConfigMap=kube-root-ca.crt
      variant http issuer=https://issuer.example jwksUrl=http://issuer.example/keys ;;
    adapter-api)
      variant plain
      variant all livenessPath=/live 'readinessPath=/ready?full=1' infoPath=/version 'facts=team=payments, docs=https://docs.example/web' ;;
    metrics-exporter)
      variant one extraEndpoints=app=8080/metrics
      variant two 'extraEndpoints=app=8080/metrics, other=8081/metrics?all=1' address=:: ;;
    *) return 1 ;;
  esac
}

if [ "$#" -eq 0 ]; then
  NAMESPACE=none
  for file in config/templates/*.yaml; do
    name=$(basename "$file" .yaml)
    if [[ $name == *.test ]] || ! grep -q 'command: \[/usr/local/bin/envoy\]' "$file"; then continue; fi
    variants "$name" >/dev/null || echo "not checked: $name"
  done
  exit
fi

pods=$(variants "$1")
container=$(sed -n '/image: auto/{g;p;q}; s/^  - name: //; h' <<<"$pods")
kubectl apply --filename - <<<"$pods" >/dev/null
mapfile -t names < <(sed -n 's/^  name: //p' <<<"$pods")
for pod in "${names[@]}"; do
  said=
  for _ in $(seq 60); do
    said=$(kubectl logs "$pod" --container "$container" --namespace "$NAMESPACE" 2>/dev/null || true)
    case $said in *"configuration '"*) break ;; *) sleep 1 ;; esac
  done
  case $said in
    *"' OK"*) echo "$pod: valid" ;;
    *) echo "$pod: not valid: ${said:-Envoy said nothing}"; status=1 ;;
  esac
done
kubectl delete pods --selector "validates=$1" --namespace "$NAMESPACE" --wait=false >/dev/null
exit "${status:-0}"
