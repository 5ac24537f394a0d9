#!/bin/sh
# Makes the comparisons of this folder on the embedded model: about ten minutes on two cores.
set -eu
cd "$(dirname "$0")/../.."

compare() {
    output=$1
    shift
    echo "docs/compare/$output"
    OMP_WAIT_POLICY=PASSIVE target/release/darkroom compare --seeds 4 --output "docs/compare/$output" "$@" > /dev/null
}

wrapped() {
    echo "{\"name\": \"$1\", \"wrap\": [$2]}"
}

HEAVY_BALL='{"name": "momentum", "beta": 0.8}'

compare uniform-lambda --schedule uniform_lambda --samplers ddim,heun,dpmpp_2m,deis,unipc,plms
compare trailing --schedule trailing --samplers ddim,heun,dpmpp_2m,deis,unipc,plms
compare wrappers --schedule uniform_lambda --steps 5,8,10,20 --samplers ddim,plms,dpmpp_2m \
    --sampler "$(wrapped ddim '"dualfast"')" --sampler "$(wrapped ddim '"time_shift"')" \
    --sampler "$(wrapped ddim '"teleport"')" --sampler "$(wrapped plms "$HEAVY_BALL")" \
    --sampler "$(wrapped dpmpp_2m "$HEAVY_BALL")" --sampler "$(wrapped dpmpp_2m '"dualfast"')"
compare strong-guidance --schedule uniform_lambda --guidance 10 --steps 8,10,20 --samplers ddim,plms,ghvb,dpmpp_2m \
    --sampler "$(wrapped plms "$HEAVY_BALL")" --sampler "$(wrapped dpmpp_2m "$HEAVY_BALL")"
